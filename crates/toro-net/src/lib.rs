//! TCP/IP of a core: a demultiplexer over smoltcp, and sockets with names from `std`.
//!
//! smoltcp is the protocol engine and does not show. In front of it stands [`Stack`], because smoltcp looks at every
//! socket for every packet, has no backlog and keeps whole sockets for closed connections:
//!
//! - `packet` checks the headers of a frame, `demux` finds its connection by a keyed hash, and smoltcp gets to see
//!   the frame together with that one socket.
//! - `half_open` answers connection requests without a socket; `birth` makes one when the handshake is complete.
//! - `time_wait` remembers closed connections in 40 bytes each.
//! - `growth` makes rings larger, and sends long packets through a device that cuts them; `slumber` takes the rings of idle
//!   connections when memory is short.
//! - `window` puts right what peers say of their windows, `recovery` sends again what was lost, before smoltcp would, and
//!   `path` makes packets shorter that a router on the way does not take.
//! - `egress` lets those send that something happened to, timers included.
//! - `neighbours` decides who may teach us addresses; `local` holds DHCP.
//! - `extension` is where `datagrams` hangs, UDP and pings, and on top of those `lookup`; they come with the first socket that needs them.
//!
//! Everything up to here takes the time, the device and its secrets as arguments and runs on the host.
//!
//! On top, `poll` holds the stack of a core and takes its turns. Programs have three faces: the sockets of `tcp_listener` and
//! `tcp`, blocking for threads and with futures for tasks, and `toro_service`, the event loop, whose calls `dispatch` makes.
//!
//! `ipv6` translates at the edge, in images that start it.
//!
//! `timestamps` stamps segments and tells old ones from new ones, in images with the unit of that name, and
//! `scale` writes windows that reach further, in images with `large-windows`.
//!
//! Left out: fragments (dropped and counted).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod aging;
mod birth;
mod calls;
mod checksum;
mod clock;
mod config;
mod connection;
mod datagram_calls;
mod datagrams;
mod demux;
mod device;
mod dispatch;
mod dns;
mod echo;
mod egress;
mod error;
mod extension;
mod growth;
mod half_open;
mod headers;
mod ingress;
mod interfaces;
mod ipv6;
mod isn;
mod lease;
mod listener;
mod local;
mod lookup;
mod names;
mod neighbours;
mod packet;
mod path;
mod ping;
mod pings;
mod poll;
mod random;
mod recovery;
mod route;
mod scale;
mod seat;
mod segment;
mod slot;
mod slumber;
mod sockets;
mod stack;
mod stats;
mod tcp;
mod tcp_listener;
mod time_wait;
mod timestamps;
mod udp;
mod window;

pub use address::{Address, ParseAddressError, parse_ip};
pub use calls::ConnectionId;
pub use config::{Buffers, Config, Growth, Limits, Times};
pub use datagram_calls::{PingId, UdpId};
pub use error::{BindError, ConnectError, PingError, ReceiveError, SendError};
pub use ipv6::{
    Address6, Addresses6, Ipv6, View, addresses6, parse_ip6, start_ipv6, wait_for_address6,
};
pub use lease::{Lease, hostname};
pub use local::Addresses;
pub use lookup::{ConnectToError, LookupError, looked_up, lookup};
pub use ping::{ping, pinged};
pub use poll::{
    Serving, addresses, init, is_init, join, look, run, serve, serve_on_each_core, stats,
    wait_for_address,
};
pub use seat::{Seat, seats};
pub use sockets::{Socket, sockets};
pub use stack::Stack;
pub use stats::{DropReason, Stats};
pub use tcp::TcpStream;
pub use tcp_listener::{Accept, TcpListener};
pub use toro_service::{Closed, Conn, Output, Service};
pub use toro_stream::{AcceptError, ReadError, Shutdown, StreamError, WriteError};
pub use udp::UdpSocket;

use toro_queue::slab;
