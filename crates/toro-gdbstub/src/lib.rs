//! The debugger inside the image: gdb attaches over a serial port, a console or a socket, and sees cores, threads, memory.
//!
//! Two halves that meet in the trait [`Machine`]. The protocol knows no processor and runs on the host, in tests and under the fuzzer:
//!
//! ```text
//! bytes -> packet.rs (frames, checksums) -> command.rs (what a packet says) -> session.rs (does it to a Machine)
//!                                            registers.rs, points.rs, resume.rs, threads.rs: its words
//! ```
//!
//! The other half is the machine that the image runs on:
//!
//! ```text
//! exception, or a byte at the port as an interrupt that cannot be masked
//!   -> stop.rs   one core talks, the others wait in their exception handlers with their registers on the stack
//!   -> stub.rs   the talk, until gdb lets the cores go
//!   -> kernel.rs registers from trap frames and parked threads, memory through the page tables; breakpoints.rs
//! ```
//!
//! While it talks nothing is allocated, locked or waited for: the image may have been stopped in the middle of anything.

#![cfg_attr(not(test), no_std)]

mod breakpoints;
mod command;
mod hex;
mod kernel;
mod machine;
mod packet;
mod points;
mod port;
mod registers;
mod resume;
mod session;
mod stop;
mod stub;
mod threads;

pub use machine::{Machine, Stop, StopKind, Thread};
pub use packet::{Event, Receiver, Reply};
pub use points::{Point, PointKind};
pub use port::{Port, SerialError, SerialPort};
pub use registers::Registers;
pub use resume::{Action, Resume};
pub use session::{Next, Session};
pub use stub::{Monitor, enter, expect, is_attached, is_wanted_at_failure, start, stop_here};
