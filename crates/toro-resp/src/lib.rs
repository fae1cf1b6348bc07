//! RESP2, the protocol of Redis, for servers and without sockets: commands in, replies out.
//!
//! [`parse`] finds the command at the start of the bytes that have arrived; [`Reply`] writes an answer into a slice of
//! the caller. Nothing here reads, waits or allocates, and nothing that arrives can make it panic or hold on to memory.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod command;
mod number;
mod parse;
mod reply;

pub use command::{Args, Command};
pub use number::{DIGITS_MAX, integer, write_integer};
pub use parse::{Limits, Parsed, ProtocolError, parse};
pub use reply::{HEADER_MAX, Reply};
