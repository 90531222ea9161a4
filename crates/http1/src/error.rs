//! What can be wrong with a message's head, and the status a server answers it with.

use http::StatusCode;

/// Why a request was not taken. Each names the one rule that it broke; [`RequestError::status`] is the
/// answer, after which the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A line that does not end in CR LF (RFC 9112 §2.2 allows refusing a lone LF).
    #[error("a line of the head ends in a bare line feed")]
    BareLineFeed,
    /// The request line is not `method SP target SP version`.
    #[error("the request line is malformed")]
    RequestLine,
    /// The request line is longer than allowed.
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// A version other than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A method this proxy does not serve (CONNECT).
    #[error("the method is not supported")]
    Method,
    /// The target is none of RFC 9112 §3.2's forms, or has a byte that may not stand in it.
    #[error("the request target is malformed")]
    Target,
    /// A field line is malformed: name, colon, folding or a forbidden byte.
    #[error("a header field is malformed")]
    Field,
    /// More fields than allowed.
    #[error("there are too many header fields")]
    TooManyFields,
    /// The head is larger than allowed.
    #[error("the head is too large")]
    HeadTooLarge,
    /// No `Host`, more than one, or one that is no host.
    #[error("the Host field is missing, repeated or invalid")]
    Host,
    /// `Content-Length` that is not one decimal number, or stands beside `Transfer-Encoding`.
    #[error("the length of the body is ambiguous")]
    Length,
    /// A transfer coding other than `chunked` alone.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// An expectation other than `100-continue`.
    #[error("the expectation can't be met")]
    Expectation,
}

impl RequestError {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            RequestError::RequestLineTooLong => StatusCode::URI_TOO_LONG,
            RequestError::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            RequestError::Method | RequestError::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            RequestError::TooManyFields | RequestError::HeadTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            RequestError::Expectation => StatusCode::EXPECTATION_FAILED,
            RequestError::BareLineFeed
            | RequestError::RequestLine
            | RequestError::Target
            | RequestError::Field
            | RequestError::Host
            | RequestError::Length => StatusCode::BAD_REQUEST,
        }
    }
}

/// Why an upstream's response was not taken. The connection it came on is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// A line of the head ends in a bare line feed.
    #[error("a line of the response head ends in a bare line feed")]
    BareLineFeed,
    /// The status line is malformed or has a version other than 1.0 and 1.1.
    #[error("the status line is malformed")]
    StatusLine,
    /// A field line is malformed.
    #[error("a field of the response is malformed")]
    Field,
    /// The head is larger than allowed, or has too many fields.
    #[error("the response head is too large")]
    HeadTooLarge,
    /// Two lengths, a bad one, or a transfer coding that is not `chunked` alone.
    #[error("the length of the response body is ambiguous")]
    Length,
}
