//! What byte streams have in common, whatever stack carries them: [errors](ReadError), [time-outs](Waits), and the traits of `embedded-io`
//! and `embedded-io-async` ([`implement_io`]).
//!
//! TCP and the sockets to the host have it from here, so that a service can be generic over both.

#![no_std]
#![forbid(unsafe_code)]

mod error;
mod io;
mod waits;

pub use error::{AcceptError, ReadError, WriteError};
pub use io::StreamError;
pub use waits::{Shutdown, Waits};

/// What [`implement_io`] names.
#[doc(hidden)]
pub mod names {
    pub use {embedded_io, embedded_io_async};
}
