//! Results by number and name, as libmemcached knows them, so that scripts, dialplans and logs that were
//! written against libmemcached keep their meaning.

use std::fmt;

macro_rules! result_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)+) => {
        /// What became of an operation: libmemcached's `memcached_return_t` as far as it applies here, and
        /// the results that `res_memcached` added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ResultCode {
            $($(#[$doc])* $variant = $number,)+
        }

        impl ResultCode {
            /// Every code, by its number.
            pub const ALL: &[ResultCode] = &[$(ResultCode::$variant,)+];

            /// The name, as `MEMCACHED_NOTFOUND`.
            pub fn name(self) -> &'static str {
                match self {
                    $(ResultCode::$variant => $name,)+
                }
            }
        }
    };
}

result_codes! {
    /// Done.
    Success = 0 "MEMCACHED_SUCCESS",
    /// Failed for a reason that has no code.
    Failure = 1 "MEMCACHED_FAILURE",
    /// The server's name has no address.
    HostLookupFailure = 2 "MEMCACHED_HOST_LOOKUP_FAILURE",
    /// No connection could be made.
    ConnectionFailure = 3 "MEMCACHED_CONNECTION_FAILURE",
    /// The connection broke while the request was sent.
    WriteFailure = 5 "MEMCACHED_WRITE_FAILURE",
    /// The connection broke before the answer was complete.
    UnknownReadFailure = 7 "MEMCACHED_UNKNOWN_READ_FAILURE",
    /// The server sent what the protocol doesn't know.
    ProtocolError = 8 "MEMCACHED_PROTOCOL_ERROR",
    /// The server found fault with the request.
    ClientError = 9 "MEMCACHED_CLIENT_ERROR",
    /// The server could not do it.
    ServerError = 10 "MEMCACHED_SERVER_ERROR",
    /// The item changed since it was read.
    DataExists = 12 "MEMCACHED_DATA_EXISTS",
    /// A condition of the storage command was not met.
    NotStored = 14 "MEMCACHED_NOTSTORED",
    /// There is no such item.
    NotFound = 16 "MEMCACHED_NOTFOUND",
    /// No server is configured.
    NoServers = 20 "MEMCACHED_NO_SERVERS",
    /// A system call failed.
    Errno = 26 "MEMCACHED_ERRNO",
    /// The server, or this protocol with it, can't do this.
    NotSupported = 28 "MEMCACHED_NOT_SUPPORTED",
    /// The time limit passed.
    Timeout = 31 "MEMCACHED_TIMEOUT",
    /// The key is empty or has bytes that keys may not have.
    BadKeyProvided = 33 "MEMCACHED_BAD_KEY_PROVIDED",
    /// Every server that may hold the key is out of use.
    ServerMarkedDead = 35 "MEMCACHED_SERVER_MARKED_DEAD",
    /// The value is larger than the server takes.
    E2Big = 37 "MEMCACHED_E2BIG",
    /// An argument or the configuration makes no sense.
    InvalidArguments = 38 "MEMCACHED_INVALID_ARGUMENTS",
    /// The key is too long.
    KeyTooBig = 39 "MEMCACHED_KEY_TOO_BIG",
    /// Authentication failed for an unknown reason.
    AuthProblem = 40 "MEMCACHED_AUTH_PROBLEM",
    /// User or password are wrong.
    AuthFailure = 41 "MEMCACHED_AUTH_FAILURE",
    /// Authentication was not finished.
    AuthContinue = 42 "MEMCACHED_AUTH_CONTINUE",
    /// The server failed a moment ago and is left alone for a while.
    ServerTemporarilyDisabled = 47 "MEMCACHED_SERVER_TEMPORARILY_DISABLED",
    /// `res_memcached`: neither protocol can count here.
    BinaryProtoNeeded = 123 "MEMCACHED_BINARY_PROTO_NEEDED",
    /// `res_memcached`: the increment is not an integer.
    BadIncrement = 124 "MEMCACHED_BAD_INCREMENT",
    /// `res_memcached`: the value is longer than 4096 bytes.
    ValueTooLong = 125 "MEMCACHED_VALUE_TOO_LONG",
    /// `res_memcached`: the key is longer than 64 characters.
    KeyTooLong = 126 "MEMCACHED_KEY_TOO_LONG",
    /// `res_memcached`: an argument is missing or invalid.
    ArgumentNeeded = 127 "MEMCACHED_ARGUMENT_NEEDED",
}

impl ResultCode {
    /// libmemcached's number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code with this number.
    pub fn from_number(number: u8) -> Option<ResultCode> {
        ResultCode::ALL.iter().copied().find(|code| code.number() == number)
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_libmemcacheds() {
        for (number, name) in [
            (0, "MEMCACHED_SUCCESS"),
            (14, "MEMCACHED_NOTSTORED"),
            (16, "MEMCACHED_NOTFOUND"),
            (31, "MEMCACHED_TIMEOUT"),
            (33, "MEMCACHED_BAD_KEY_PROVIDED"),
            (35, "MEMCACHED_SERVER_MARKED_DEAD"),
            (37, "MEMCACHED_E2BIG"),
            (47, "MEMCACHED_SERVER_TEMPORARILY_DISABLED"),
            (123, "MEMCACHED_BINARY_PROTO_NEEDED"),
            (127, "MEMCACHED_ARGUMENT_NEEDED"),
        ] {
            let code = ResultCode::from_number(number).unwrap_or_else(|| panic!("no code {number}"));
            assert_eq!((code.name(), code.number()), (name, number));
        }
    }

    #[test]
    fn a_number_stands_for_one_code() {
        for pair in ResultCode::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{} comes before {}", pair[0], pair[1]);
        }
    }
}
