//! The smallest unit a server sends, whichever protocol it comes in.

use std::ops::Range;

/// How far a decoder came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// The frame has not arrived completely: it has at least this many bytes.
    Partial(usize),
    /// A frame, and how many bytes it took.
    Complete(Frame<'a>, usize),
}

/// One reply, or one part of a list of replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An item, or the number that arithmetic made.
    Item {
        /// The tag of the request it answers (meta and binary).
        tag: Option<u32>,
        /// The key it belongs to (text).
        key: Option<&'a [u8]>,
        /// The number kept with it.
        flags: u32,
        /// Its token.
        cas: Option<u64>,
        /// How long it still lives; for ever is `u32::MAX`.
        ttl: Option<u32>,
        /// Where in the input its value lies.
        value: Range<usize>,
    },
    /// A number (text and binary).
    Number {
        /// The tag of the request it answers (binary).
        tag: Option<u32>,
        /// The number.
        value: u64,
    },
    /// How it ended.
    Status {
        /// The tag of the request it answers (meta and binary).
        tag: Option<u32>,
        /// How.
        status: Status,
    },
    /// Everything before this was answered (`MN`, `END`, the answer to a binary no-op).
    Fence {
        /// The tag of the request it answers (binary).
        tag: Option<u32>,
    },
    /// One of the server's statistics.
    Stat {
        /// The tag of the request it answers (binary).
        tag: Option<u32>,
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The server's version.
    Version {
        /// The tag of the request it answers (binary).
        tag: Option<u32>,
        /// As the server writes it.
        text: &'a [u8],
    },
    /// It won't, or can't.
    Refused {
        /// The tag of the request it answers (binary).
        tag: Option<u32>,
        /// Why.
        refusal: Refusal,
    },
}

/// How a request ended. The text protocol has a word for each kind of request, the others don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `HD`, and success in binary.
    Done,
    /// `OK` and `RESET`.
    Ok,
    /// `STORED`.
    Stored,
    /// `DELETED`.
    Deleted,
    /// `TOUCHED`.
    Touched,
    /// `EN`: no such item to read.
    Miss,
    /// `NF`, `NOT_FOUND`.
    NotFound,
    /// `NS`, `NOT_STORED`.
    NotStored,
    /// `EX`, `EXISTS`.
    Exists,
}

/// A server's word on why it didn't do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose fault it is.
    pub kind: RefusalKind,
    /// What the server said.
    pub message: String,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The server doesn't know the command (`ERROR`).
    UnknownCommand,
    /// The request's (`CLIENT_ERROR`).
    Client,
    /// The server's (`SERVER_ERROR`).
    Server,
    /// The value's: it is too large for an item.
    TooLarge {
        /// The server's item size, when it is known.
        limit: Option<usize>,
    },
    /// The item's: arithmetic on what is no number.
    NotANumber,
    /// User and password are missing or wrong.
    Auth,
}

impl Refusal {
    /// Whether the server read the whole request, its value included, before it refused: what follows is
    /// an answer to the next request.
    pub(super) fn is_in_step(&self, had_value: bool) -> bool {
        match self.kind {
            RefusalKind::TooLarge { .. } | RefusalKind::NotANumber => true,
            RefusalKind::Server if had_value => self.message.starts_with("out of memory"),
            RefusalKind::Auth => false,
            _ => !had_value,
        }
    }
}
