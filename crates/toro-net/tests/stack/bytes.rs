//! A peer made of bytes, by the standards and without the stack's own code.

use std::net::{Ipv4Addr, SocketAddr};

use crate::world::ADDRESS;

pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);
pub(crate) const PEER_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 77];

/// A datagram in a frame.
#[derive(Debug)]
pub(crate) struct Udp {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

fn sum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum over the pseudo-header (RFC 768) and what follows.
fn udp_sum(frame: &[u8]) -> u16 {
    let pseudo = u32::from(sum(0, &frame[26..34])) + 17 + (frame.len() - 34) as u32;
    sum(pseudo, &frame[34..])
}

fn ipv4(protocol: u8, source: Ipv4Addr, target: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 34];
    frame[..6].copy_from_slice(&crate::wire::MAC);
    frame[6..12].copy_from_slice(&PEER_MAC);
    frame[12] = 8;
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    (frame[22], frame[23]) = (64, protocol);
    frame[26..30].copy_from_slice(&source.octets());
    frame[30..34].copy_from_slice(&target.octets());
    frame.extend_from_slice(payload);
    fix_ip(&mut frame);
    frame
}

fn fix_ip(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = !sum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// Fills in the sums, as far as the frame makes sense.
pub(crate) fn fix(frame: &mut [u8]) {
    if frame.len() < 42 || frame[14] != 0x45 {
        return;
    }
    fix_ip(frame);
    match frame[23] {
        1 => fix_icmp(frame),
        17 => {
            frame[40..42].fill(0);
            let sum = !udp_sum(frame);
            frame[40..42].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {}
    }
}

pub(crate) fn fix_icmp(frame: &mut [u8]) {
    frame[36..38].fill(0);
    let sum = !sum(0, &frame[34..]);
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
}

/// A frame with a datagram.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let (SocketAddr::V4(source), SocketAddr::V4(target)) = (from, to) else {
        panic!("IPv4 only");
    };
    let mut datagram = Vec::new();
    datagram.extend_from_slice(&from.port().to_be_bytes());
    datagram.extend_from_slice(&to.port().to_be_bytes());
    datagram.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    let mut frame = ipv4(17, *source.ip(), *target.ip(), &datagram);
    fix(&mut frame);
    frame
}

/// Reads a frame of the stack's; `None` if it is no datagram or a sum is wrong.
pub(crate) fn udp_of(frame: &[u8]) -> Option<Udp> {
    let is_right = frame[12..14] == [8, 0]
        && frame[23] == 17
        && sum(0, &frame[14..34]) == 0xffff
        && udp_sum(frame) == 0xffff;
    let len = usize::from(u16::from_be_bytes([frame[38], frame[39]]));
    (is_right && len == frame.len() - 34).then(|| {
        let address = |at: usize, port: usize| {
            let ip: [u8; 4] = frame[at..at + 4].try_into().unwrap();
            SocketAddr::from((ip, u16::from_be_bytes([frame[port], frame[port + 1]])))
        };
        Udp {
            from: address(26, 34),
            to: address(30, 36),
            payload: frame[42..].to_vec(),
        }
    })
}

pub(crate) fn is_arp(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6]
}

/// The answer to a question for a station, whosever: all are the peer's.
pub(crate) fn arp_reply(question: &[u8]) -> Vec<u8> {
    assert_eq!(question[..6], [0xff; 6]);
    assert_eq!(question[20..22], [0, 1], "a question");
    arp_from(Ipv4Addr::from(
        <[u8; 4]>::try_from(&question[38..42]).unwrap(),
    ))
}

/// What the station of `address` says to the stack.
pub(crate) fn arp_from(address: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&crate::wire::MAC);
    frame.extend_from_slice(&PEER_MAC);
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend_from_slice(&PEER_MAC);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&crate::wire::MAC);
    frame.extend_from_slice(&ADDRESS.octets());
    frame
}

/// The answer to a ping of the stack's.
pub(crate) fn echo_reply(asked: &[u8]) -> Vec<u8> {
    assert_eq!((asked[23], asked[34]), (1, 8), "a ping");
    assert_eq!(sum(0, &asked[34..]), 0xffff);
    let mut frame = ipv4(1, PEER, ADDRESS, &asked[34..]);
    frame[34] = 0;
    fix_icmp(&mut frame);
    frame
}

/// What a host says to a packet for a port that it does not have (RFC 792).
pub(crate) fn port_unreachable(sent: &[u8]) -> Vec<u8> {
    let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&sent[14..42]);
    let mut frame = ipv4(1, PEER, ADDRESS, &message);
    fix_icmp(&mut frame);
    frame
}

/// A segment of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    /// From the peer's port to ours, or the other way.
    pub(crate) ports: [u16; 2],
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) payload: Vec<u8>,
}

/// The sum over the pseudo-header (RFC 9293, 3.1) and what follows.
fn tcp_sum(frame: &[u8]) -> u16 {
    let pseudo = u32::from(sum(0, &frame[26..34])) + 6 + (frame.len() - 34) as u32;
    sum(pseudo, &frame[34..])
}

/// A frame with a segment from the peer, whose urgent pointer is `urgent`.
pub(crate) fn tcp(segment: &Tcp, urgent: u16) -> Vec<u8> {
    let mut tcp = segment.ports.map(u16::to_be_bytes).concat();
    tcp.extend_from_slice(&segment.seq.to_be_bytes());
    tcp.extend_from_slice(&segment.ack.to_be_bytes());
    tcp.extend_from_slice(&[5 << 4, segment.flags]);
    tcp.extend_from_slice(&segment.window.to_be_bytes());
    tcp.extend_from_slice(&[0, 0]);
    tcp.extend_from_slice(&urgent.to_be_bytes());
    tcp.extend_from_slice(&segment.payload);
    let mut frame = ipv4(6, PEER, ADDRESS, &tcp);
    let sum = !tcp_sum(&frame);
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Reads a frame of the stack's; `None` if it is no segment.
///
/// # Panics
/// Panics if a sum is wrong.
pub(crate) fn tcp_of(frame: &[u8]) -> Option<Tcp> {
    if frame[12..14] != [8, 0] || frame[23] != 6 {
        return None;
    }
    assert_eq!((sum(0, &frame[14..34]), tcp_sum(frame)), (0xffff, 0xffff));
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    Some(Tcp {
        ports: [half(34), half(36)],
        seq: word(38),
        ack: word(42),
        flags: frame[47],
        window: half(48),
        payload: frame[34 + usize::from(frame[46] >> 4) * 4..].to_vec(),
    })
}

/// What a router says to a packet that is longer than the next link takes (RFC 1191).
pub(crate) fn too_long(sent: &[u8], longest: u16) -> Vec<u8> {
    let [high, low] = longest.to_be_bytes();
    let mut message = vec![3, 4, 0, 0, 0, 0, high, low];
    message.extend_from_slice(&sent[14..42]);
    let mut frame = ipv4(1, Ipv4Addr::new(192, 0, 2, 1), ADDRESS, &message);
    fix_icmp(&mut frame);
    frame
}

pub(crate) fn change_source(frame: &mut [u8], source: Ipv4Addr) {
    frame[26..30].copy_from_slice(&source.octets());
    fix_ip(frame);
}
