//! Frames of a peer that knows the standards, for whoever wants to break them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::card::Said;

/// The stack's station and the peer's.
pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 9];
pub(super) const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const OWN_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe00, 1);
const PEER_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

pub(super) fn peer(is_six: bool) -> IpAddr {
    match is_six {
        true => PEER_6.into(),
        false => PEER.into(),
    }
}

pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

/// RFC 1071.
pub(super) fn sum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub(super) fn pseudo(frame: &[u8], is_six: bool, protocol: u8, len: usize) -> u32 {
    let addresses = if is_six { 22..54 } else { 26..34 };
    u32::from(sum(0, &frame[addresses])) + u32::from(protocol) + len as u32
}

/// Whether a frame holds IPv6 or IPv4, and which protocol above.
pub(super) fn kind(frame: &[u8]) -> Option<(bool, u8)> {
    match (be16(frame.get(12..14)?, 0), frame.len()) {
        (0x0800, 34..) => Some((false, frame[23])),
        (0x86dd, 54..) => Some((true, frame[20])),
        _ => None,
    }
}

/// Fills in the sums, as far as the lengths make sense.
pub(super) fn repaired(mut frame: Vec<u8>) -> Vec<u8> {
    let Some((is_six, protocol)) = kind(&frame) else {
        return frame;
    };
    let at = if is_six {
        54
    } else {
        14 + usize::from(frame[14] & 15) * 4
    };
    let end = match is_six {
        true => 54 + usize::from(be16(&frame, 18)),
        false => 14 + usize::from(be16(&frame, 16)),
    };
    if !is_six && at >= 34 && at <= frame.len() {
        frame[24..26].fill(0);
        let sum = !sum(0, &frame[14..at]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    let place = match protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return frame,
    };
    if end > frame.len() || at + place + 2 > end {
        return frame;
    }
    let start = match protocol {
        1 => 0,
        _ => pseudo(&frame, is_six, protocol, end - at),
    };
    frame[at + place..at + place + 2].fill(0);
    let sum = !sum(start, &frame[at..end]);
    frame[at + place..at + place + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A packet from the peer to us, or to a group.
pub(super) fn packet(is_six: bool, protocol: u8, is_group: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&MAC[..], &PEER_MAC].concat();
    let len = payload.len() as u16;
    if is_six {
        let target = match is_group {
            true => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            false => OWN_6,
        };
        frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend_from_slice(&len.to_be_bytes());
        frame.extend_from_slice(&[protocol, 255]);
        frame.extend_from_slice(&PEER_6.octets());
        frame.extend_from_slice(&target.octets());
    } else {
        let target = match is_group {
            true => Ipv4Addr::BROADCAST,
            false => OWN,
        };
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        frame.extend_from_slice(&(20 + len).to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend_from_slice(&PEER.octets());
        frame.extend_from_slice(&target.octets());
    }
    if is_group {
        frame[..6].fill(0xff);
    }
    frame.extend_from_slice(payload);
    frame
}

/// A segment with these flags that goes with what was `said` last, or is off by what `place` says; `bytes` are its options,
/// as many as it has bits for, and its payload. A `stamped` one has a timestamp before those.
pub(super) fn segment(
    is_six: bool,
    said: Option<Said>,
    flags: u8,
    place: u8,
    stamped: bool,
    bytes: &[u8],
) -> Vec<u8> {
    let said = said.unwrap_or(Said {
        ports: [80, 4000],
        next: 0,
        ack: 1000,
        times: [0, 5000],
    });
    let off = |bits: u8| match bits & 7 {
        0..=3 => 0u32,
        4 => 1,
        5 => u32::MAX,
        6 => 1000,
        _ => 1 << 31,
    };
    let fresh = u16::from(flags & 2 != 0) * u16::from(place >> 6);
    let words = usize::from(flags >> 6) * 4 % 11;
    let options = &bytes[..bytes.len().min(words * 4) / 4 * 4];
    let mut stamp = Vec::new();
    if stamped {
        stamp.extend_from_slice(&[1, 1, 8, 10]);
        let time = said.times[1].wrapping_add(off(place >> 2));
        stamp.extend_from_slice(&time.to_be_bytes());
        stamp.extend_from_slice(&said.times[0].to_be_bytes());
    }
    let mut tcp = (said.ports[1] ^ fresh).to_be_bytes().to_vec();
    tcp.extend_from_slice(&said.ports[0].to_be_bytes());
    tcp.extend_from_slice(&said.ack.wrapping_add(off(place)).to_be_bytes());
    tcp.extend_from_slice(&said.next.wrapping_add(off(place >> 3)).to_be_bytes());
    tcp.push(((20 + stamp.len() + options.len()) / 4 * 16) as u8);
    let window = u16::from(bytes.first().copied().unwrap_or(9)) << 4;
    tcp.push(flags & 0x3f);
    tcp.extend_from_slice(&window.to_be_bytes());
    tcp.extend_from_slice(&[0; 4]);
    tcp.extend_from_slice(&stamp);
    tcp.extend_from_slice(bytes);
    packet(is_six, 6, false, &tcp)
}

/// A packet of ARP, of which `bytes` overwrite the beginning, or the end.
pub(super) fn arp(choice: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = [&MAC[..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0]].concat();
    frame.push(1 + choice % 3);
    frame.extend_from_slice(&PEER_MAC);
    frame.extend_from_slice(&PEER.octets());
    frame.extend_from_slice(&MAC);
    frame.extend_from_slice(&OWN.octets());
    let len = bytes.len().min(28);
    match choice & 4 {
        0 => frame[42 - len..].copy_from_slice(&bytes[..len]),
        _ => frame[14..14 + len].copy_from_slice(&bytes[..len]),
    }
    frame
}

/// A message of neighbour discovery whose body is `bytes`.
pub(super) fn discovery(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let icmp = [&[kind, 0, 0, 0], bytes].concat();
    packet(true, 58, kind == 134, &icmp)
}

/// A frame that goes back where it came from, with its ports the other way round.
pub(super) fn turned(mut frame: Vec<u8>) -> Option<Vec<u8>> {
    let (is_six, protocol) = kind(&frame)?;
    let (first, len) = if is_six { (22, 16) } else { (26, 4) };
    let ports = if is_six { 54 } else { 34 };
    let mut swap = |at: usize, len: usize| {
        for index in at..at + len {
            frame.swap(index, index + len);
        }
    };
    swap(0, 6);
    swap(first, len);
    if matches!(protocol, 6 | 17) {
        swap(ports, 2);
    }
    frame[..6].copy_from_slice(&MAC);
    Some(frame)
}

/// What a router says to a packet that is longer than the next link takes.
pub(super) fn too_long(sent: &[u8], longest: u16) -> Option<Vec<u8>> {
    let (is_six, _) = kind(sent)?;
    let (protocol, message) = if is_six { (58, [2, 0]) } else { (1, [3, 4]) };
    let mut icmp = [&message[..], &[0; 4], &longest.to_be_bytes()].concat();
    icmp.extend_from_slice(&sent[14..sent.len().min(14 + 64)]);
    Some(packet(is_six, protocol, false, &icmp))
}

/// What a server of DHCP answers to the question `last`, with these options.
pub(super) fn dhcp(last: &[u8], choice: u8, options: &[u8]) -> Vec<u8> {
    let mut udp = [0, 67, 0, 68, 0, 0, 0, 0].to_vec();
    udp.extend_from_slice(&last[42..282]);
    udp[8] = 2;
    udp[24..28].copy_from_slice(&OWN.octets());
    // An offer or an agreement, of this server.
    let kind = [2, 5, 6, choice][usize::from(choice) % 4];
    udp.extend_from_slice(&[53, 1, kind, 54, 4]);
    udp.extend_from_slice(&PEER.octets());
    if choice & 4 == 0 {
        udp.extend_from_slice(&[1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 14, 16]);
    }
    udp.extend_from_slice(options);
    udp.push(255);
    let len = udp.len() as u16;
    udp[4..6].copy_from_slice(&len.to_be_bytes());
    packet(false, 17, true, &udp)
}
