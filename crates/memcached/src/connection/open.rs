//! Opening a connection: TCP or unix socket, TLS, user and password, and the server's version, which says
//! what it understands.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use super::stream::{NoStream, Stream};
use super::timer::Timer;
use super::{Connection, Login, Place, Speech, Target};
use crate::error::Error;
use crate::protocol::{Dialect, Limits, Outgoing, Pipeline, RefusalKind, Reply, Request};
use crate::version::Version;

impl Connection {
    /// Connects, and asks who is there.
    pub(crate) async fn open(target: &Target) -> Result<Connection, Error> {
        let stream = match &target.place {
            Place::Tcp { host, port, tls } => Stream::tcp(host, *port, tls.as_ref()).await,
            Place::Unix(path) => Stream::unix(path).await,
        };
        let server = target.name.clone();
        let stream = stream.map_err(|failure| match failure {
            NoStream::Lookup(source) => Error::Lookup { server, source: Arc::new(source) },
            NoStream::Connect(source) => Error::Connect { server, source: Arc::new(source) },
        })?;
        let dialect = match target.speech {
            Speech::Binary => Dialect::Binary,
            // What every server understands.
            Speech::Best | Speech::Meta | Speech::Text => Dialect::Text,
        };
        let mut connection = Connection {
            server: target.name.clone(),
            stream,
            pipeline: Pipeline::new(dialect, Limits::default()),
            out: Outgoing::default(),
            flushed: true,
            write_failure: None,
            input: BytesMut::new(),
            in_step: false,
            timer: Timer::default(),
            vivifies: false,
            compares: false,
            item_limit: None,
        };
        if let Some(login) = &target.login {
            connection.authenticate(login).await?;
        }
        let version = connection.ask_version().await?;
        connection.choose(target.speech, &version)?;
        Ok(connection)
    }

    async fn authenticate(&mut self, login: &Login) -> Result<(), Error> {
        let Login { user, password } = login;
        if self.pipeline.dialect() == Dialect::Binary {
            self.pipeline.send_auth(user, password, &mut self.out);
        } else {
            // memcached's ASCII authentication (`-Y`): the first `set`, whatever its key. Where nobody asked
            // for it, it would be stored, hence a time to live that has passed.
            let head = format!("set auth 0 -1 {}\r\n", user.len() + 1 + password.len());
            self.out.put(head.as_bytes());
            self.out.put(format!("{user} {password}\r\n").as_bytes());
            self.pipeline.expect_auth();
        }
        let mut reply = [None];
        let outcome = self.exchange(&[], &mut reply).await;
        match reply {
            [Some(Ok(Reply::Done))] => outcome,
            [Some(Ok(Reply::Refused(refusal)))] => {
                Err(Error::Auth { server: self.server.clone(), message: refusal.message })
            }
            _ => outcome.and(Err(self.closed())),
        }
    }

    async fn ask_version(&mut self) -> Result<String, Error> {
        let mut reply = [None];
        let outcome = self.exchange(&[Request::Version], &mut reply).await;
        match reply {
            [Some(Ok(Reply::Version(version)))] => outcome.map(|()| version),
            [Some(Ok(Reply::Refused(refusal)))] => {
                let server = self.server.clone();
                let message = refusal.message;
                match refusal.kind {
                    RefusalKind::Auth => Err(Error::Auth { server, message }),
                    // A proxy that doesn't tell.
                    RefusalKind::UnknownCommand if message == "ERROR" => outcome.map(|()| String::new()),
                    // Too many connections, say: the server closes it.
                    _ => Err(Error::Server { server, message }),
                }
            }
            _ => outcome.and(Err(self.closed())),
        }
    }

    /// Settles on a protocol.
    fn choose(&mut self, speech: Speech, version: &str) -> Result<(), Error> {
        let parsed = Version::parse(version);
        let has_meta = parsed.is_some_and(Version::has_meta);
        let dialect = match speech {
            Speech::Best | Speech::Meta if has_meta => Dialect::Meta,
            Speech::Meta => {
                let what = format!(
                    "version {version:?} has no meta commands (memcached has them from 1.6.10 on): \
                     leave the protocol open, or set it to text"
                );
                return Err(Error::Unsupported { server: self.server.clone(), what });
            }
            Speech::Best | Speech::Text => Dialect::Text,
            Speech::Binary => return Ok(()),
        };
        self.compares = dialect == Dialect::Meta && parsed.is_some_and(Version::has_conditional_get);
        self.vivifies = dialect == Dialect::Meta && parsed.is_some_and(Version::vivifies_on_append);
        self.pipeline = Pipeline::new(dialect, Limits::default());
        Ok(())
    }

    fn closed(&self) -> Error {
        let source = Arc::new(io::ErrorKind::UnexpectedEof.into());
        Error::Read { server: self.server.clone(), source }
    }
}
