//! What is wrong with an address, and what could be written.

use thiserror::Error;

use super::Address;

/// Why a text is no address. No message shows a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with nothing known.
    #[error(
        "{found:?} begins no address of memcached: write memcached://HOST[:PORT], memcached+unix:///PATH or \
         a configuration of libmemcached that begins with --SERVER="
    )]
    Scheme {
        /// What stands before `://`, or the first word.
        found: String,
    },
    /// It names no server.
    #[error("the address names no server: write memcached://HOST[:PORT][,HOST…]")]
    NoServer,
    /// It names too many.
    #[error("the address names {count} servers; at most {} are possible", Address::MAX_SERVERS)]
    TooManyServers {
        /// How many.
        count: usize,
    },
    /// A user before `@`.
    #[error("a user is not written before @ but as ?user=NAME&password=SECRET")]
    UserInfo,
    /// One server is written wrongly.
    #[error("server {server:?}: {problem}")]
    Server {
        /// As it is written.
        server: String,
        /// What is wrong.
        problem: String,
    },
    /// A setting nobody knows.
    #[error("there is no setting {name:?}{hint}")]
    Unknown {
        /// Its name.
        name: String,
        /// The nearest one, or all of them.
        hint: String,
    },
    /// A setting that is given twice.
    #[error("{name} is given twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// A setting with a value it can't have.
    #[error("{name}={value}: expected {expected}")]
    Value {
        /// Its name.
        name: String,
        /// The value, hidden when it is secret.
        value: String,
        /// What could be written.
        expected: String,
    },
    /// More copies than servers.
    #[error("replicas={replicas}: expected a number from 1 to {count}, the number of servers")]
    Replicas {
        /// Copies asked for.
        replicas: u32,
        /// Servers there are.
        count: usize,
    },
    /// A byte in the prefix that no key can have.
    #[error("the prefix has the byte {byte:#04x}; spaces and control bytes can't stand in a key")]
    PrefixByte {
        /// The byte.
        byte: u8,
    },
    /// Too long a prefix.
    #[error("the prefix has {length} bytes; at most {} are allowed", Address::MAX_PREFIX)]
    PrefixTooLong {
        /// Its bytes.
        length: usize,
    },
    /// A password for nobody.
    #[error("there is a password but no user: add user=NAME")]
    PasswordWithoutUser,
    /// Certificates for connections that aren't encrypted.
    #[error("tls_ca has no effect without tls=true: add it, or leave both out")]
    CertificatesWithoutTls,
    /// An option of libmemcached's that can't be followed.
    #[error("{option} of the libmemcached configuration: {problem}")]
    Option {
        /// The option.
        option: String,
        /// Why not, and what to write instead.
        problem: String,
    },
}

/// ` (did you mean …?)`, or none when no known word is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A third of the word may be wrong: a slip or two, not another word.
    let most = (word.chars().count() / 3).max(1);
    let word = word.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_ascii_lowercase());
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!(" (did you mean {name}?)"))
}

/// `; there are …`: every word that could be written.
pub(super) fn options<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    format!("; there are {}", known.into_iter().collect::<Vec<_>>().join(", "))
}
