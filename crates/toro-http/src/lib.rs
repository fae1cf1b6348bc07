//! HTTP/1.1 for servers, without sockets: requests in, responses out.
//!
//! Nothing here reads, writes, waits or allocates. Bytes arrive as a slice, the reply is written into a slice of the
//! caller, time and files arrive as arguments. So the same code serves a thread that blocks on its socket and an
//! event loop that is handed the bytes of a receive ring, and every rule of the protocol is tested on the host.
//!
//! ```text
//!  bytes ─► request ─► body ─► target ─► Site::find ─► conditional ─► range ─► response ─► bytes
//!           head       skip    path      the caller    304, 412       206,416  head
//!           └───────────────────── Connection::step ─────────────────────────┘
//! ```
//!
//! [`Connection::step`] is the whole walk. It answers one request per call and says how much input it consumed, so a
//! pipelined batch is a loop around it. A reply is a head in the output slice plus a [`Body`]: a byte range of a
//! handle that only the [`Site`] understands. The appliance moves those bytes, and that is all it does.
//!
//! A message whose end is in any doubt is answered with an error and the connection ends with it, since guessing is
//! how one request becomes two (RFC 9112, 11.2).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod body;
mod charset;
mod conditional;
mod connection;
mod date;
mod field;
mod head;
mod mime;
mod output;
mod prepared;
mod range;
mod request;
mod response;
mod site;
mod status;
mod target;

pub use body::Framing;
pub use conditional::ETag;
pub use connection::{Connection, Step, Then};
pub use prepared::Prepared;
pub use request::{Limits, Method, Parsed, Request, Version, parse};
pub use response::MIN_OUTPUT;
pub use site::{Body, Entry, Found, Site};
pub use status::Status;
pub use target::Target;
