//! Why an operation did not do what was asked, with libmemcached's number for it.

use std::path::PathBuf;
use std::time::Duration;

use waypost_memcached::ResultCode;

/// Why an operation did not do what was asked. The first three are answers of a store that works.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is nothing under this key.
    #[error("there is nothing under this key")]
    NotFound,
    /// `add` found a value, or `replace`, `append`, `prepend` found none.
    #[error("not stored: {0}")]
    NotStored(&'static str),
    /// The value changed since its token was read.
    #[error("the value has changed since its token was read: get it again")]
    Exists,
    /// A key of no byte.
    #[error("the key is empty")]
    EmptyKey,
    /// A key that is too long.
    #[error("the key has {length} bytes with its prefix: at most {limit} are allowed")]
    LongKey {
        /// Its bytes, with the prefix.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A value that is too large.
    #[error("the value would have {size} bytes: {store} takes at most {limit}")]
    TooLarge {
        /// The store.
        store: String,
        /// The bytes it has or would have.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Counting on a value that is no number from 0 to 2⁶⁴−1.
    #[error("the value is no number from 0 to 18446744073709551615, and can't be counted on")]
    NotANumber,
    /// The key holds something that is no value: a list of Redis, say.
    #[error("the key holds another kind of thing than a value ({0})")]
    OtherKind(String),
    /// A token of another kind of store.
    #[error("this is no token of {0}: use the one that came with the value")]
    OtherToken(String),
    /// What was asked can't be done on this kind of store.
    #[error("{0}")]
    Unsupported(String),
    /// The time-out passed. Whether a change was made is not known.
    #[error("no answer within {limit:?}")]
    Timeout {
        /// The time-out.
        limit: Duration,
    },
    /// The name of the server has no address.
    #[error("the server's name can't be looked up: {0}")]
    Lookup(String),
    /// Nobody takes the connection.
    #[error("the server can't be reached: {0}: check the address, and whether it runs")]
    Unreachable(String),
    /// The connection ended. Whether a change was made is not known.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// User or password are wrong.
    #[error("the server refuses user and password: {0}")]
    Auth(String),
    /// The server finds fault with the request, or doesn't permit it.
    #[error("the server refuses it: {0}")]
    Refused(String),
    /// The server can't do it now.
    #[error("the server can't do it now: {0}")]
    Busy(String),
    /// An answer that the protocol doesn't know.
    #[error("the server answers otherwise than its protocol says: {0}")]
    Protocol(&'static str),
    /// Another process owns the directory.
    #[error("{} is in use by another process: a directory has one owner at a time", .0.display())]
    InUse(PathBuf),
    /// The directory or the file in it can't be used.
    #[error("{}: {detail}: check that it is there and that this user may write it", .path.display())]
    Access {
        /// What can't be used.
        path: PathBuf,
        /// The system's reason.
        detail: String,
    },
    /// The file could not be written; nothing of the change is in it.
    #[error("{} could not be written: {detail}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        detail: String,
    },
    /// The file is no store, or damaged.
    #[error("{} is damaged or no store: {detail}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// What is needed to reach the server, TLS files say, can't be used.
    #[error("{0}")]
    Setup(String),
    /// What the memcached client says.
    #[error(transparent)]
    Memcached(waypost_memcached::Error),
}

impl StoreError {
    /// libmemcached's number and name for it.
    pub fn code(&self) -> ResultCode {
        match self {
            StoreError::NotFound => ResultCode::NotFound,
            StoreError::NotStored(_) => ResultCode::NotStored,
            StoreError::Exists => ResultCode::DataExists,
            StoreError::EmptyKey => ResultCode::BadKeyProvided,
            StoreError::LongKey { .. } => ResultCode::KeyTooBig,
            StoreError::TooLarge { .. } => ResultCode::E2Big,
            StoreError::NotANumber | StoreError::OtherKind(_) | StoreError::Refused(_) => {
                ResultCode::ClientError
            }
            StoreError::OtherToken(_) | StoreError::Setup(_) => ResultCode::InvalidArguments,
            StoreError::Unsupported(_) => ResultCode::NotSupported,
            StoreError::Timeout { .. } => ResultCode::Timeout,
            StoreError::Lookup(_) => ResultCode::HostLookupFailure,
            StoreError::Unreachable(_) => ResultCode::ConnectionFailure,
            StoreError::Lost(_) => ResultCode::UnknownReadFailure,
            StoreError::Auth(_) => ResultCode::AuthFailure,
            StoreError::Busy(_) => ResultCode::ServerError,
            StoreError::Protocol(_) => ResultCode::ProtocolError,
            StoreError::InUse(_)
            | StoreError::Access { .. }
            | StoreError::Write { .. }
            | StoreError::Corrupt { .. } => ResultCode::Errno,
            StoreError::Memcached(error) => error.code(),
        }
    }

    /// Whether it is the answer of a store that works, rather than a failure.
    pub fn is_answer(&self) -> bool {
        matches!(self.code(), ResultCode::NotFound | ResultCode::NotStored | ResultCode::DataExists)
    }
}

impl From<waypost_memcached::Error> for StoreError {
    fn from(error: waypost_memcached::Error) -> StoreError {
        match error {
            waypost_memcached::Error::NotFound => StoreError::NotFound,
            waypost_memcached::Error::Exists => StoreError::Exists,
            waypost_memcached::Error::NotANumber { .. } => StoreError::NotANumber,
            other => StoreError::Memcached(other),
        }
    }
}
