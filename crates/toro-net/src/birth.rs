//! Making a socket that is established from the start.
//!
//! The handshake of a request is ours ([`half_open`](crate::half_open)) and needs no socket. When it is complete,
//! the socket is told the same story in private: a fresh interface whose generator yields the sequence number we
//! gave out ([`isn`](crate::isn)) hears the SYN and the ACK, and what it would answer is thrown away. So buffers
//! exist only for peers that answered, and their size is chosen then.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::phy::Checksum;
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, TcpControl, TcpRepr, TcpTimestampRepr};

use crate::config::{self, Buffers, Config, Times};
use crate::device::Phy;
use crate::headers::Ends;
use crate::interfaces;
use crate::isn;
use crate::packet::Tuple;
use crate::segment;
use crate::slot::Slot;

/// What the two ends told each other in the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreement {
    /// Our initial sequence number.
    pub(crate) isn: u32,
    /// The peer's.
    pub(crate) peer_isn: u32,
    /// The window in the peer's SYN, which is never scaled.
    pub(crate) window: u16,
    /// Largest segment the peer takes.
    pub(crate) mss: Option<u16>,
    /// The peer's window scale; `None` if it does not scale.
    pub(crate) scale: Option<u8>,
    /// The peer takes selective acknowledgements.
    pub(crate) sack: bool,
    /// The peer's clock in its SYN; `None` if segments have no timestamps.
    pub(crate) timestamps: Slot<u32>,
}

/// A socket in a set of its own.
pub(crate) type Lone = (SocketSet<'static>, SocketHandle);

/// Of what waits to be read, this much is told at a time.
const LONGEST_PIECE: usize = 32 << 10;

/// Any station will do: the frames of this file never leave it.
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Makes an established socket; `None` if memory is short.
pub(crate) fn established(
    config: &Config,
    tuple: &Tuple,
    agreed: &Agreement,
    now: smoltcp::time::Instant,
) -> Option<Lone> {
    let window = agreed.window >> agreed.scale.unwrap_or(0).min(14);
    let now_heard = (window, &[][..]);
    made(
        &config.times,
        &config.buffers,
        tuple,
        agreed,
        now_heard,
        now,
    )
}

/// Makes an established socket with these rings, whose peer now offers `window`, scaled, and has sent `unread` that nobody has
/// read; `None` if memory is short.
pub(crate) fn made(
    times: &Times,
    buffers: &Buffers,
    tuple: &Tuple,
    agreed: &Agreement,
    (window, unread): (u16, &[u8]),
    now: smoltcp::time::Instant,
) -> Option<Lone> {
    let mut socket = new_socket(times, buffers, agreed.timestamps.get().is_some())?;
    socket.listen((tuple.local, tuple.local_port)).ok()?;
    let mut interface = interface(agreed.isn, now);
    let (mut sockets, handle) = alone(socket);
    let mut hear = |repr: &TcpRepr<'_>| tell(&mut interface, &mut sockets, tuple, repr, now);

    let (isn, peer_isn) = (agreed.isn.wrapping_add(1), agreed.peer_isn.wrapping_add(1));
    let ack = segment::acknowledgement(&tuple.turned(), peer_isn, isn, window);
    let mut syn = ack;
    syn.control = TcpControl::Syn;
    syn.seq_number = segment::seq(agreed.peer_isn);
    syn.ack_number = None;
    syn.window_len = agreed.window;
    syn.max_seg_size = agreed.mss;
    syn.window_scale = agreed.scale;
    syn.sack_permitted = agreed.sack;
    syn.timestamp = agreed
        .timestamps
        .get()
        .map(|recent| TcpTimestampRepr::new(recent, 0));
    hear(&syn);

    hear(&ack);

    // A byte from before the window makes the socket acknowledge and so commit to a window: it would otherwise
    // believe that its SYN|ACK, which it never sent, offered none.
    let mut old = ack;
    old.seq_number = segment::seq(agreed.peer_isn);
    old.payload = &[0];
    hear(&old);

    // A whole ring and its headers are longer than a packet can be.
    let mut data = ack;
    for piece in unread.chunks(LONGEST_PIECE) {
        data.payload = piece;
        hear(&data);
        data.seq_number += piece.len();
    }

    let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
    let is_whole = socket.state() == tcp::State::Established && socket.recv_queue() == unread.len();
    is_whole.then_some((sockets, handle))
}

/// Makes a socket that asks the peer of `tuple` for a connection, beginning with `isn`; `None` if memory is short.
pub(crate) fn connecting(
    config: &Config,
    tuple: &Tuple,
    isn: u32,
    now: smoltcp::time::Instant,
) -> Option<Lone> {
    let mut socket = new_socket(
        &config.times,
        &config.buffers,
        config.timestamps.get().is_some(),
    )?;
    let remote = (tuple.remote, tuple.remote_port);
    socket
        .connect(
            interface(isn, now).context(),
            remote,
            (tuple.local, tuple.local_port),
        )
        .ok()?;
    Some(alone(socket))
}

/// The shift that smoltcp gives its windows with this ring.
pub(crate) fn window_shift(receive_ring: usize) -> u8 {
    let bits = usize::BITS - receive_ring.leading_zeros();
    u8::try_from(bits.saturating_sub(16)).unwrap_or(u8::MAX)
}

fn new_socket(times: &Times, buffers: &Buffers, timestamps: bool) -> Option<tcp::Socket<'static>> {
    let (receive, send) = (ring(buffers.receive)?, ring(buffers.send)?);
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(receive),
        tcp::SocketBuffer::new(send),
    );
    config::tune(&mut socket, times, timestamps);
    Some(socket)
}

/// Zeroed bytes, unless memory is short: peers decide how many of these there are.
pub(crate) fn ring(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

fn alone(socket: tcp::Socket<'static>) -> Lone {
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let handle = sockets.add(socket);
    (sockets, handle)
}

fn interface(isn: u32, now: smoltcp::time::Instant) -> Interface {
    let phy = Phy {
        wire: None,
        frame: None,
    };
    let mut interface = interfaces::new(STATION, isn::seed_for(isn), phy, now);
    interface.set_any_ip(true);
    interface
}

/// Shows `repr` to the socket of `tuple` as if it came from the peer. What it would answer is thrown away.
#[inline(never)]
pub(crate) fn tell(
    interface: &mut Interface,
    sockets: &mut SocketSet<'_>,
    tuple: &Tuple,
    repr: &TcpRepr<'_>,
    now: smoltcp::time::Instant,
) {
    let HardwareAddress::Ethernet(station) = interface.hardware_addr();
    let ends = Ends {
        from: STATION,
        to: station.0,
        source: tuple.remote,
        target: tuple.local,
    };
    let mut frame = vec![0; segment::frame_len(repr)];
    segment::write(&mut frame, &ends, repr, Checksum::None);
    interface.poll_ingress_single(
        now,
        &mut Phy {
            wire: None,
            frame: Some(&frame),
        },
        sockets,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const TUPLE: Tuple = Tuple {
        local: Ipv4Addr::new(10, 0, 2, 15),
        remote: Ipv4Addr::new(192, 0, 2, 7),
        local_port: 80,
        remote_port: 40000,
    };
    const AGREED: Agreement = Agreement {
        isn: 0xffff_fff0,
        peer_isn: 0x7fff_fffe,
        window: 65535,
        mss: Some(1460),
        scale: Some(7),
        sack: true,
        timestamps: Slot::EMPTY,
    };

    fn now() -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_millis(5)
    }

    #[test]
    fn the_socket_is_established_and_takes_data_at_the_agreed_numbers() {
        let config = Config::new([1, 2]);
        let (mut sockets, handle) = established(&config, &TUPLE, &AGREED, now()).unwrap();
        let mut interface = interface(0, now());
        let (isn, peer_isn) = (AGREED.isn.wrapping_add(1), AGREED.peer_isn.wrapping_add(1));
        let mut data = segment::acknowledgement(&TUPLE.turned(), peer_isn, isn, 500);
        data.payload = b"hello";
        tell(&mut interface, &mut sockets, &TUPLE, &data, now());
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        let mut read = [0; 8];
        assert_eq!(socket.recv_slice(&mut read), Ok(5));
        assert_eq!(&read[..5], b"hello");
    }

    #[test]
    fn a_connecting_socket_is_waiting_for_its_answer() {
        let config = Config::new([1, 2]);
        let (sockets, handle) = connecting(&config, &TUPLE, 77, now()).unwrap();
        assert_eq!(
            sockets.get::<tcp::Socket<'_>>(handle).state(),
            tcp::State::SynSent
        );
    }

    #[test]
    fn the_shift_is_the_one_smoltcp_uses() {
        for (ring, shift) in [(8 << 10, 0), (65_535, 0), (65_536, 1), (1 << 20, 5)] {
            assert_eq!(window_shift(ring), shift, "{ring} bytes");
        }
    }
}
