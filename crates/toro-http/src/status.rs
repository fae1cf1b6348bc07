//! The status codes that a server of files sends.

/// A response status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// The file follows.
    Ok = 200,
    /// An answer without content.
    NoContent = 204,
    /// A part of the file follows.
    PartialContent = 206,
    /// A directory was named without its slash.
    MovedPermanently = 301,
    /// The client's copy is still good.
    NotModified = 304,
    /// The request breaks the protocol.
    BadRequest = 400,
    /// There is no such file.
    NotFound = 404,
    /// A file can only be read.
    MethodNotAllowed = 405,
    /// The rest of the request did not come in time.
    RequestTimeout = 408,
    /// The file is not in the state that the client demands.
    PreconditionFailed = 412,
    /// The request's body is longer than the server will read.
    ContentTooLarge = 413,
    /// The request target is longer than the server will read.
    UriTooLong = 414,
    /// The range begins past the end of the file.
    RangeNotSatisfiable = 416,
    /// The client expects something that is not `100-continue`.
    ExpectationFailed = 417,
    /// The header section is too long or has too many fields.
    HeadersTooLarge = 431,
    /// The file is there and could not be read.
    InternalError = 500,
    /// A method or transfer coding that the server does not know.
    NotImplemented = 501,
    /// The server has no memory or thread left for this request.
    Unavailable = 503,
    /// A version of HTTP other than 1.0 and 1.1.
    VersionNotSupported = 505,
}

impl Status {
    /// The number in the status line.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The number and the reason phrase.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::NoContent => "204 No Content",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UriTooLong => "414 URI Too Long",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::InternalError => "500 Internal Server Error",
            Self::NotImplemented => "501 Not Implemented",
            Self::Unavailable => "503 Service Unavailable",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}
