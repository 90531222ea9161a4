//! The admin API of a running router, as the commands use it.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};
use waypost_admin::Problem;

use crate::failure::Failure;
use crate::output::Output;

/// How long the system may take to connect: the router is near, or it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the router may be silent. Checking a large table's instances takes a while.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest problem that is read.
const MAX_PROBLEM: u64 = 1 << 20;

/// Why the router could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Nobody listens there.
    #[error(
        "no router answers at {address}: start one with `waypost serve`{} name another with --admin{}",
        if instead.is_some() { "," } else { ", or" },
        instead.map(|instead| format!(", or {instead}")).unwrap_or_default()
    )]
    NoRouter {
        /// The address.
        address: String,
        /// What else a person could do who has none.
        instead: Option<&'static str>,
    },
    /// Somebody listens who is no router.
    #[error("what answers at {address} is no Waypost router ({detail}): name its admin address with --admin")]
    NotARouter {
        /// The address.
        address: String,
        /// How it was found out.
        detail: String,
    },
    /// The router wants a token.
    #[error("the router at {0} wants a token: give it with --token-file, or in WAYPOST_ADMIN_TOKEN")]
    Token(String),
    /// The router refuses, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The connection broke, or the router was silent for too long.
    #[error("the router at {address} did not finish its answer: {detail}")]
    Broken {
        /// The address.
        address: String,
        /// What happened.
        detail: String,
    },
    /// The file with the token.
    #[error("the token can't be read from {path}: {detail}")]
    TokenFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// An admin address, as `--admin` takes it: `HOST:PORT`, with or without `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminAddress(String);

impl std::str::FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("the admin API speaks http: leave the https:// out".into());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: Result<http::uri::Authority, _> = authority.parse();
        match parsed {
            Ok(parsed)
                if parsed.port_u16().is_some() && !parsed.host().is_empty() && !authority.contains('@') =>
            {
                Ok(Self(authority.to_owned()))
            }
            _ => Err("write HOST:PORT, as 127.0.0.1:8081".into()),
        }
    }
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// A router's API.
#[derive(Debug)]
pub(crate) struct Api {
    agent: Agent,
    address: AdminAddress,
    token: Option<String>,
    /// What else a person could do who has no router.
    instead: Option<&'static str>,
}

/// The first line of a file, which is how a token is kept.
pub(crate) fn read_token(path: &Path) -> Result<String, ApiError> {
    let failed = |detail: String| ApiError::TokenFile { path: path.display().to_string(), detail };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut line = String::new();
    // A token has a bound; what is longer is some other file.
    BufReader::new(file.take(8192)).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
    let token = line.trim();
    crate::config::check_token(token).map_err(failed)?;
    Ok(token.to_owned())
}

impl Api {
    pub(crate) fn new(address: AdminAddress, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            // The router is asked directly, whatever the environment says of the web.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT))
            .timeout_per_write(Some(SILENCE_TIMEOUT))
            .build();
        Self { agent: config.new_agent(), address, token, instead: None }
    }

    /// Says what else a person could do who has no router.
    pub(crate) fn or_instead(self, what: &'static str) -> Self {
        Self { instead: Some(what), ..self }
    }

    /// What stands at a path, read as JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ApiError> {
        self.json(self.fetch(path, query, "application/json")?)
    }

    /// What stands at a path, to be read as it comes.
    pub(crate) fn read(&self, path: &str, kind: &str) -> Result<impl BufRead + use<>, ApiError> {
        let response = self.fetch(path, &[], kind)?;
        Ok(BufReader::with_capacity(
            64 << 10,
            response.into_body().into_with_config().limit(u64::MAX).reader(),
        ))
    }

    /// Writes what stands at a path to the output as it comes.
    pub(crate) fn copy(&self, path: &str, kind: &str, output: &mut Output) -> Result<(), Failure> {
        let mut body = self.read(path, kind)?;
        loop {
            // Reading and writing fail for different reasons, so this is not io::copy.
            let chunk = body.fill_buf().map_err(|error| self.cut_short(&error))?;
            if chunk.is_empty() {
                return Ok(());
            }
            let length = chunk.len();
            output.with(|out| out.write_all(chunk))?;
            body.consume(length);
        }
    }

    /// Sends a change, and reads what became of it.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        change: &impl Serialize,
    ) -> Result<T, ApiError> {
        let request = self.agent.post(self.url(path)).header("Accept", "application/json");
        let request = match self.bearer() {
            Some(bearer) => request.header("Authorization", bearer),
            None => request,
        };
        self.json(self.checked(request.send_json(change))?)
    }

    /// Sends JSON lines, as long as they may be.
    pub(crate) fn send_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        mut lines: impl Read,
    ) -> Result<T, ApiError> {
        let request = self.agent.post(self.url(path)).query_pairs(query.iter().copied());
        let request = request.header("Content-Type", "application/x-ndjson");
        let request = match self.bearer() {
            Some(bearer) => request.header("Authorization", bearer),
            None => request,
        };
        self.json(self.checked(request.send(SendBody::from_reader(&mut lines)))?)
    }

    fn fetch(&self, path: &str, query: &[(&str, &str)], kind: &str) -> Result<Response<Body>, ApiError> {
        let request =
            self.agent.get(self.url(path)).query_pairs(query.iter().copied()).header("Accept", kind);
        let request = match self.bearer() {
            Some(bearer) => request.header("Authorization", bearer),
            None => request,
        };
        self.checked(request.call())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    /// The response, if it is the one that was asked for.
    fn checked(&self, result: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, ApiError> {
        let response = result.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == http::StatusCode::UNAUTHORIZED {
            return Err(ApiError::Token(self.address.to_string()));
        }
        let body = response.into_body().into_with_config().limit(MAX_PROBLEM).reader();
        match serde_json::from_reader::<_, Problem>(body) {
            Ok(problem) => Err(ApiError::Refused(problem.detail)),
            Err(_) => Err(self.not_a_router(format!("it says {status}"))),
        }
    }

    fn json<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ApiError> {
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        serde_json::from_reader(BufReader::new(body)).map_err(|error| match error.io_error_kind() {
            Some(_) => self.cut_short(&error.into()),
            None => self.not_a_router(error.to_string()),
        })
    }

    /// The error for an answer that no router gives.
    pub(crate) fn not_a_router(&self, detail: String) -> ApiError {
        ApiError::NotARouter { address: self.address.to_string(), detail }
    }

    /// The error for an answer that broke off while it was read.
    pub(crate) fn cut_short(&self, error: &io::Error) -> ApiError {
        ApiError::Broken { address: self.address.to_string(), detail: error.to_string() }
    }

    fn broken(&self, error: ureq::Error) -> ApiError {
        let address = self.address.to_string();
        match error {
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                ApiError::NoRouter { address, instead: self.instead }
            }
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                ApiError::NoRouter { address, instead: self.instead }
            }
            ureq::Error::Protocol(error) => self.not_a_router(error.to_string()),
            error => ApiError::Broken { address, detail: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_a_host_and_a_port() {
        for (text, expected) in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("http://127.0.0.1:8081/", "127.0.0.1:8081"),
            ("[::1]:8081", "[::1]:8081"),
            ("router.internal:80", "router.internal:80"),
        ] {
            assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), expected);
        }
        for text in ["", "127.0.0.1", ":8081", "https://127.0.0.1:8081", "a:b", "a:1/x", "u@a:1", "a:99999"] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn a_token_is_the_first_line_of_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\nand more\n").unwrap();
        assert_eq!(read_token(file.path()).unwrap(), "0123456789abcdef");
        std::fs::write(file.path(), "short\n").unwrap();
        assert!(read_token(file.path()).is_err());
    }
}
