//! A router and a neighbour over IPv6 that are made of bytes, by the standards and without the stack's own code.

use std::net::Ipv6Addr;

use crate::wire::MAC;

pub(crate) const ROUTER_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0xfe];
pub(crate) const PEER_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x77];
/// Modified EUI-64 of [`MAC`], by hand.
pub(crate) const OWN: &str = "fe80::5054:ff:fe00:1";
pub(crate) const GLOBAL: &str = "2001:db8:1:2:5054:ff:fe00:1";
pub(crate) const ROUTER: &str = "fe80::1";
pub(crate) const PEER: &str = "fe80::77";
pub(crate) const FAR: &str = "2001:db8:ffff::9";

pub(crate) fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub(crate) fn sum(pseudo: &[u8], payload: &[u8]) -> u16 {
    let mut sum = 0u32;
    for bytes in [pseudo, payload] {
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// RFC 8200, 8.1.
pub(crate) fn pseudo(frame: &[u8], protocol: u8) -> Vec<u8> {
    let len = (frame.len() - 54) as u32;
    [&frame[22..54], &len.to_be_bytes(), &[0, 0, 0, protocol]].concat()
}

/// A packet to the stack; the checksum belongs to byte `at` of the payload.
pub(crate) fn packet(
    protocol: u8,
    hop: u8,
    from: (&str, [u8; 6]),
    to: &str,
    at: usize,
    payload: &[u8],
) -> Vec<u8> {
    let target = ip(to);
    let [.., a, b, c, d] = target.octets();
    let mac = if target.is_multicast() {
        [0x33, 0x33, a, b, c, d]
    } else {
        MAC
    };
    let mut frame = [&mac[..], &from.1, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[protocol, hop]);
    frame.extend_from_slice(&ip(from.0).octets());
    frame.extend_from_slice(&target.octets());
    frame.extend_from_slice(payload);
    let sum = !sum(&pseudo(&frame, protocol), &frame[54..]);
    frame[54 + at..56 + at].copy_from_slice(&sum.to_be_bytes());
    frame
}

pub(crate) fn icmp(hop: u8, from: (&str, [u8; 6]), to: &str, payload: &[u8]) -> Vec<u8> {
    packet(58, hop, from, to, 2, payload)
}

/// An advertisement of a prefix, with a lifetime of the router and of the prefix.
pub(crate) fn advertisement(router: &str, prefix: &str, lifetimes: (u16, u32)) -> Vec<u8> {
    let mut payload = vec![134, 0, 0, 0, 64, 0];
    payload.extend_from_slice(&lifetimes.0.to_be_bytes());
    payload.extend_from_slice(&[0; 8]);
    payload.extend_from_slice(&[1, 1]);
    payload.extend_from_slice(&ROUTER_MAC);
    payload.extend_from_slice(&[5, 1, 0, 0]);
    payload.extend_from_slice(&1400u32.to_be_bytes());
    payload.extend_from_slice(&[3, 4, 64, 0xc0]);
    payload.extend_from_slice(&lifetimes.1.to_be_bytes());
    payload.extend_from_slice(&lifetimes.1.to_be_bytes());
    payload.extend_from_slice(&[0; 4]);
    payload.extend_from_slice(&ip(prefix).octets());
    payload.extend_from_slice(&[25, 3, 0, 0]);
    payload.extend_from_slice(&lifetimes.1.to_be_bytes());
    payload.extend_from_slice(&ip("2001:db8::53").octets());
    icmp(255, (router, ROUTER_MAC), "ff02::1", &payload)
}

pub(crate) fn neighbour(kind: u8, flags: u8, target: &str, option: u8, mac: [u8; 6]) -> Vec<u8> {
    let mut payload = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    payload.extend_from_slice(&ip(target).octets());
    payload.extend_from_slice(&[option, 1]);
    payload.extend_from_slice(&mac);
    payload
}

/// A packet that the stack has sent, if it is of IPv6: its sums are checked.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) to_mac: [u8; 6],
    pub(crate) source: Ipv6Addr,
    pub(crate) target: Ipv6Addr,
    pub(crate) protocol: u8,
    pub(crate) hop: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn sent(frame: &[u8]) -> Option<Sent> {
    if frame[12..14] != [0x86, 0xdd] {
        assert!(
            frame[12..14] != [8, 0] || frame[30] < 240,
            "a stand-in has left"
        );
        return None;
    }
    let len = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
    assert_eq!(frame.len(), 54 + len);
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
    let protocol = frame[20];
    if protocol != 0 {
        assert_eq!(
            sum(&pseudo(frame, protocol), &frame[54..]),
            0xffff,
            "{frame:02x?}"
        );
    }
    Some(Sent {
        to_mac: frame[..6].try_into().unwrap(),
        source: address(22),
        target: address(38),
        protocol,
        hop: frame[21],
        payload: frame[54..].to_vec(),
    })
}

/// A segment from `from` with `payload`.
pub(crate) fn segment(
    from: &str,
    ports: [u16; 2],
    numbers: [u32; 2],
    flags: u8,
    options: &[u8],
) -> Vec<u8> {
    let mut tcp = [ports[0].to_be_bytes(), ports[1].to_be_bytes()].concat();
    tcp.extend_from_slice(&numbers[0].to_be_bytes());
    tcp.extend_from_slice(&numbers[1].to_be_bytes());
    let words = (20 + options.len() / 4 * 4) / 4;
    tcp.extend_from_slice(&[(words as u8) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend_from_slice(options);
    packet(6, 64, (from, PEER_MAC), OWN, 16, &tcp)
}
