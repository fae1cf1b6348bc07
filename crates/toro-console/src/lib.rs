//! Ports of consoles for services: named byte streams to the host.
//!
//! A console belongs to one core (`dedicate=console0:1`), and so do its ports: [`Port::open`] finds those of the running core. Each console
//! has a thread there that takes the device's turns and wakes who waits for a port.
//!
//! ```text
//! Port::read, write ─> Console ──┐ turn, arm
//!      │                         ├─────────────> ConsoleDevice
//!      └─ wakers <───────────────┘ the thread of the console
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod console;
mod port;

#[cfg(test)]
mod tests;

pub use console::add;
pub use port::{OpenError, PATIENCE, Port};
pub use toro_dev::console::ConsoleError;
