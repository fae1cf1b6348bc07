//! Writing TCP segments that belong to no socket: resets, SYN|ACKs, the acknowledgements of TIME-WAIT.
//!
//! They go back to the station the segment came from, so they need no address lookup and cannot make the stack
//! send ARP requests for the addresses of a flood.

use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use crate::device::Wire;
use crate::headers::{self, Ends};
use crate::packet::{ETHERNET_LEN, Flags, IPV4_LEN, PROTOCOL_TCP, Segment, Tuple};

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

/// Bytes of a frame with `repr` in it.
pub(crate) fn frame_len(repr: &TcpRepr<'_>) -> usize {
    ETHERNET_LEN + IPV4_LEN + repr.buffer_len()
}

/// Writes `repr` with its headers over the whole of `frame`.
pub(crate) fn write(frame: &mut [u8], ends: &Ends, repr: &TcpRepr<'_>, tcp: Checksum) {
    headers::write(frame, ends, PROTOCOL_TCP);
    let mut checksums = ChecksumCapabilities::default();
    checksums.tcp = tcp;
    let (source, target) = (IpAddress::Ipv4(ends.source), IpAddress::Ipv4(ends.target));
    let mut tcp = TcpPacket::new_unchecked(&mut frame[ETHERNET_LEN + IPV4_LEN..]);
    repr.emit(&mut tcp, &source, &target, &checksums);
}

/// Sends `repr` to the station `mac`.
#[inline(never)]
pub(crate) fn send(wire: &mut Wire, mac: [u8; 6], tuple: &Tuple, repr: &TcpRepr<'_>) {
    wire.start_log(None);
    let info = *wire.info();
    let ends = Ends {
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
    wire.send_rare(frame_len(repr), &mut |frame| {
        write(frame, &ends, repr, checksum);
    });
}

/// Refuses `segment` (RFC 9293, 3.10.7.1). Never answers a reset.
pub(crate) fn refuse(wire: &mut Wire, segment: &Segment) -> bool {
    if segment.flags.rst() {
        return false;
    }
    let end = segment.seq.wrapping_add(segment.len());
    let mut repr = acknowledgement(&segment.tuple, 0, end, 0);
    repr.control = TcpControl::Rst;
    if segment.flags.ack() {
        (repr.seq_number, repr.ack_number) = (seq(segment.ack), None);
    }
    send(wire, segment.mac, &segment.tuple, &repr);
    true
}

/// An acknowledgement without a payload.
#[inline(never)]
pub(crate) fn acknowledgement(
    tuple: &Tuple,
    next: u32,
    expected: u32,
    window: u16,
) -> TcpRepr<'static> {
    let mut repr = blank(tuple);
    repr.seq_number = seq(next);
    repr.ack_number = Some(seq(expected));
    repr.window_len = window;
    repr
}

/// Whether `flags` can stand together in one segment.
pub(crate) fn flags_make_sense(flags: Flags) -> bool {
    let alone = u8::from(flags.syn()) + u8::from(flags.fin()) + u8::from(flags.rst());
    alone <= 1 && (flags.ack() || alone == 1)
}
