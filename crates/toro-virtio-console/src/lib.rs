//! The virtio console (VIRTIO 1.3, 5.3): ports as byte streams behind [`ConsoleDevice`](toro_dev::console::ConsoleDevice).
//!
//! [`VirtioConsole::probe`] agrees on features and sets up two queues a port. A plain console is port 0 and nothing else; with MULTIPORT two
//! more queues carry [`control`] messages, by which ports come, go, and get names. [`port`] holds the streams: a port has buffers only once
//! it is opened, and never more than its pools.
//!
//! What port 0 sends is the log's: a [`LogPort`] has that queue to itself and asks nobody, so that last words leave, too.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod control;
mod device;
mod log_port;
mod port;
mod probe;

#[cfg(test)]
mod tests;

pub use device::VirtioConsole;
pub use log_port::LogPort;
pub use probe::Config;
pub use toro_virtio::ProbeError;
