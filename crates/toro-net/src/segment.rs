//! Writing TCP segments that belong to no socket: resets, SYN|ACKs, the acknowledgements of TIME-WAIT.
//!
//! They go back to the station the segment came from, so they need no address lookup and cannot make the stack
//! send ARP requests for the addresses of a flood.

use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use crate::device::Wire;
use crate::packet::{ETHERNET_LEN, Flags, IPV4_LEN, Segment, Tuple};

/// Sequence number `value` as smoltcp writes it.
pub(crate) fn seq(value: u32) -> TcpSeqNumber {
    TcpSeqNumber(value.cast_signed())
}

/// An empty segment from the local to the remote end of `tuple`.
pub(crate) fn blank(tuple: &Tuple) -> TcpRepr<'static> {
    TcpRepr {
        src_port: tuple.local_port,
        dst_port: tuple.remote_port,
        control: TcpControl::None,
        seq_number: seq(0),
        ack_number: None,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// The other way round: an empty segment from the remote to the local end.
pub(crate) fn blank_from_peer(tuple: &Tuple) -> TcpRepr<'static> {
    let mut repr = blank(tuple);
    (repr.src_port, repr.dst_port) = (tuple.remote_port, tuple.local_port);
    repr
}

/// Bytes of a frame with `repr` in it.
pub(crate) fn frame_len(repr: &TcpRepr<'_>) -> usize {
    ETHERNET_LEN + IPV4_LEN + repr.buffer_len()
}

/// The stations and addresses of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) from: [u8; 6],
    pub(crate) to: [u8; 6],
    pub(crate) source: core::net::Ipv4Addr,
    pub(crate) target: core::net::Ipv4Addr,
}

/// Writes `repr` with its headers over the whole of `frame`.
pub(crate) fn write(frame: &mut [u8], route: &Route, repr: &TcpRepr<'_>, tcp: Checksum) {
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(route.from),
        dst_addr: EthernetAddress(route.to),
        ethertype: EthernetProtocol::Ipv4,
    };
    let ip = Ipv4Repr {
        src_addr: route.source,
        dst_addr: route.target,
        next_header: IpProtocol::Tcp,
        payload_len: repr.buffer_len(),
        hop_limit: 64,
    };
    let mut checksums = ChecksumCapabilities::default();
    checksums.tcp = tcp;
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut *frame));
    let packet = &mut frame[ETHERNET_LEN..];
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &checksums);
    let (source, target) = (IpAddress::Ipv4(route.source), IpAddress::Ipv4(route.target));
    let mut tcp = TcpPacket::new_unchecked(&mut packet[IPV4_LEN..]);
    repr.emit(&mut tcp, &source, &target, &checksums);
}

/// Sends `repr` to the station `mac`.
pub(crate) fn send(wire: &mut Wire, mac: [u8; 6], tuple: &Tuple, repr: &TcpRepr<'_>) {
    wire.start_log(None);
    let info = *wire.info();
    let route = Route {
        from: info.mac,
        to: mac,
        source: tuple.local,
        target: tuple.remote,
    };
    let checksum = if info.tx_checksum {
        Checksum::None
    } else {
        Checksum::Tx
    };
    wire.send(frame_len(repr), |frame| {
        write(frame, &route, repr, checksum)
    });
}

/// Refuses `segment` (RFC 9293, 3.10.7.1). Never answers a reset.
pub(crate) fn refuse(wire: &mut Wire, segment: &Segment) -> bool {
    if segment.flags.rst() {
        return false;
    }
    let mut repr = blank(&segment.tuple);
    repr.control = TcpControl::Rst;
    if segment.flags.ack() {
        repr.seq_number = seq(segment.ack);
    } else {
        repr.ack_number = Some(seq(segment.seq.wrapping_add(segment.len())));
    }
    send(wire, segment.mac, &segment.tuple, &repr);
    true
}

/// Sends an acknowledgement without a payload.
pub(crate) fn acknowledge(wire: &mut Wire, mac: [u8; 6], tuple: &Tuple, next: u32, expected: u32) {
    let mut repr = blank(tuple);
    repr.seq_number = seq(next);
    repr.ack_number = Some(seq(expected));
    send(wire, mac, tuple, &repr);
}

/// Whether `flags` can stand together in one segment.
pub(crate) fn flags_make_sense(flags: Flags) -> bool {
    let alone = u8::from(flags.syn()) + u8::from(flags.fin()) + u8::from(flags.rst());
    alone <= 1 && (flags.ack() || alone == 1)
}
