//! Services of the event loop, whatever stack serves them.
//!
//! [`Service`] is the program, [`Conn`] a connection and [`Output`] its send ring during a call. [`host`] is how a stack keeps services of
//! any kind. A service that does not look at addresses is written once for all stacks: `impl<A: Copy + 'static> Service<A> for Echo`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod host;
mod output;
mod service;

pub use output::{Output, Written};
pub use service::{Closed, Conn, Leave, Service};
