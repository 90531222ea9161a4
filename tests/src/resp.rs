//! A client of Redis that speaks just enough RESP2 for tests, any bytes in and any bytes out. It shares no
//! code with the router's.

use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: a key that is not there, a transaction that was aborted.
    Nil,
    /// A line, as `OK`.
    Status(String),
    /// An error, its code first.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Several of these.
    Array(Vec<Reply>),
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum RespError {
    /// The server can't be reached, went away, or said nothing for too long.
    #[error("the connection to Redis failed: {0}")]
    Connection(#[from] std::io::Error),
    /// The server answered with an error.
    #[error("Redis refused: {0}")]
    Refused(String),
}

/// A connection to a Redis server.
#[derive(Debug)]
pub struct RedisClient {
    reader: BufReader<TcpStream>,
}

impl RedisClient {
    /// Connects, if the server takes connections, and waits for each answer no longer than `patience`.
    pub fn connect(address: SocketAddr, patience: Duration) -> Result<RedisClient, RespError> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(RedisClient { reader: BufReader::new(stream) })
    }

    /// Sends a command and reads its answer.
    pub fn try_run(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Reply, RespError> {
        self.send(&encode(words))?;
        match self.read()? {
            Reply::Error(error) => Err(RespError::Refused(error)),
            reply => Ok(reply),
        }
    }

    /// Sends a command that must succeed.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn run(&mut self, words: &[impl AsRef<[u8]>]) -> Reply {
        self.try_run(words).unwrap_or_else(|error| panic!("{}: {error}", shown(words)))
    }

    /// Sends many commands at once, as [`encode`]d, and reads their answers.
    pub fn try_pipeline(&mut self, commands: &[Vec<u8>]) -> Result<Vec<Reply>, RespError> {
        let mut replies = Vec::with_capacity(commands.len());
        // Few enough that neither side waits for the other to read.
        for some in commands.chunks(500) {
            self.send(&some.concat())?;
            for _ in some {
                replies.push(self.read()?);
            }
        }
        Ok(replies)
    }

    /// Sends many commands, each of which must succeed.
    ///
    /// # Panics
    /// When one doesn't.
    pub fn pipeline(&mut self, commands: &[Vec<u8>]) -> Vec<Reply> {
        let replies = self.try_pipeline(commands).unwrap_or_else(|error| panic!("a pipeline: {error}"));
        for (reply, command) in replies.iter().zip(commands) {
            assert!(!matches!(reply, Reply::Error(_)), "{reply:?} to {:?}", String::from_utf8_lossy(command));
        }
        replies
    }

    /// Runs commands in one `MULTI`/`EXEC`; the answers of each.
    pub fn try_transaction(&mut self, commands: &[Vec<u8>]) -> Result<Vec<Reply>, RespError> {
        let framed: Vec<Vec<u8>> =
            [vec![encode(&["MULTI"])], commands.to_vec(), vec![encode(&["EXEC"])]].concat();
        match self.try_pipeline(&framed)?.pop() {
            Some(Reply::Array(replies)) => Ok(replies),
            other => Err(RespError::Refused(format!("EXEC answered {other:?}"))),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), RespError> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }

    /// Reads the next answer.
    pub fn read(&mut self) -> Result<Reply, RespError> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(&line))?;
        let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(bytes)
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array((0..length).map(|_| self.read()).collect::<Result<_, _>>()?),
            },
            _ => return Err(malformed(&line).into()),
        })
    }

    fn line(&mut self) -> Result<String, RespError> {
        let mut bytes = Vec::new();
        self.reader.read_until(b'\n', &mut bytes)?;
        let Some(line) = bytes.strip_suffix(b"\r\n") else {
            return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
        };
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}

impl Reply {
    /// The number.
    ///
    /// # Panics
    /// When it is none.
    pub fn integer(&self) -> i64 {
        match self {
            Reply::Integer(number) => *number,
            Reply::Bulk(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
            }
            other => panic!("{other:?} is no number"),
        }
    }

    /// The bytes as text; none for [`Reply::Nil`].
    ///
    /// # Panics
    /// When it is neither.
    pub fn text(&self) -> Option<String> {
        match self {
            Reply::Nil => None,
            Reply::Status(text) => Some(text.clone()),
            Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            other => panic!("{other:?} is no text"),
        }
    }

    /// The items, each as text, sorted.
    ///
    /// # Panics
    /// When it is no array of texts.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.items().iter().map(|item| item.text().expect("an item that is there")).collect();
        texts.sort_unstable();
        texts
    }

    /// The items.
    ///
    /// # Panics
    /// When it is no array.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) => items,
            other => panic!("{other:?} is no array"),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Nil => f.write_str("nil"),
            Reply::Status(text) => write!(f, "+{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Reply::Array(items) => f.debug_list().entries(items).finish(),
        }
    }
}

/// A command as it is sent.
pub fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn shown(words: &[impl AsRef<[u8]>]) -> String {
    words.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn malformed(line: &str) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, format!("{line:?} is no answer of Redis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_hold_any_bytes() {
        assert_eq!(encode(&[&b"SET"[..], b"a\r\n\xff"]), b"*2\r\n$3\r\nSET\r\n$4\r\na\r\n\xff\r\n");
    }
}
