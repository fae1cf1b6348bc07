//! The whole walk from the bytes of a client to the bytes of the server, on a small site in memory.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the files are small, and chance is cut down"
)]

mod mutations;
mod requests;
mod responses;
mod site;
