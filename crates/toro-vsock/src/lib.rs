//! Streams between this machine and its host, or another guest (VIRTIO 1.2, 5.10): connections over a
//! [`SocketDevice`](toro_dev::socket::SocketDevice), and sockets with names from `std`.
//!
//! ```text
//! stream, listener, service      the faces: blocking, for futures, the event loop
//!       │
//!     Stack      ingress: a packet finds its connection      egress: what connections have to say
//!       │        calls: what sockets ask for                 aging: what happens when nothing does
//!   connection   credit, buffers, who has shut what down
//! ```
//!
//! Credit is what makes it work: each side says how much room it has and how much has left it, and sends no more than fits. Who sends
//! more than we have room for loses the connection. The host may be hostile: tables and buffers are bounded, and what makes no sense is
//! counted and dropped, or ends the one connection that it is about.
//!
//! A host can go away without a word. So a connection that has heard nothing for a while asks for credit, and ends if there is no answer;
//! a device that takes no packet for a while is started anew ([`aging`]).
//!
//! Everything up to `poll` takes the time and the device as arguments and runs on the host.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod aging;
mod buffer;
mod calls;
mod config;
mod connection;
mod credit;
mod dispatch;
mod egress;
mod error;
mod ingress;
mod listener;
mod poll;
mod stack;
mod stats;
mod stream;

pub use calls::ConnectionId;
pub use config::{Buffers, Config, Limits, Times};
pub use error::{BindError, ConnectError};
pub use listener::VsockListener;
pub use poll::{Serving, cid, init, is_init, run, serve, set_times, stats};
pub use stack::Stack;
pub use stats::Stats;
pub use stream::VsockStream;
pub use toro_dev::socket::VsockAddr;
pub use toro_service::{Closed, Conn, Output, Service};
pub use toro_stream::{AcceptError, ReadError, Shutdown, StreamError, WriteError};
