//! The messages of neighbour discovery (RFC 4861), of the groups we are in (RFC 3810), pings and errors (RFC 4443): as bytes.
//!
//! Whoever is on the link may have sent them, so each length is checked here.

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use super::header::{self, ALL_ROUTERS, Header, PAYLOAD, solicited_node};
use crate::packet::{PROTOCOL_ICMPV6, PROTOCOL_TCP, be16, be32};
use crate::stats::DropReason;

pub(super) const TOO_BIG: u8 = 2;
pub(super) const ECHO_REQUEST: u8 = 128;
pub(super) const ECHO_REPLY: u8 = 129;
pub(super) const ROUTER_SOLICITATION: u8 = 133;
pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(super) const NEIGHBOUR_SOLICITATION: u8 = 135;
pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const LISTENER_REPORT: u8 = 143;

const SOURCE_STATION: u8 = 1;
const TARGET_STATION: u8 = 2;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const NAME_SERVERS: u8 = 25;
/// Prefixes and name servers of one message that are looked at.
const MOST: usize = 8;

/// Only a neighbour can send with it: a router would count it down (RFC 4861, 3.1).
pub(super) const NEIGHBOURS_ONLY: u8 = 255;
/// Where the checksum lies behind the header of ICMPv6.
pub(super) const CHECKSUM: usize = 2;

/// A prefix that a router advertises (RFC 4861, 4.6.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    pub(super) prefix: Ipv6Addr,
    pub(super) len: u8,
    pub(super) is_on_link: bool,
    pub(super) is_for_addresses: bool,
    /// Seconds.
    pub(super) valid: u32,
    /// Seconds.
    pub(super) preferred: u32,
}

/// What a router says.
#[derive(Clone, Debug, Default)]
pub(super) struct Advertisement {
    /// Seconds for which it routes; 0 if it does not.
    pub(super) lifetime: u16,
    pub(super) station: Option<[u8; 6]>,
    pub(super) mtu: Option<u32>,
    pub(super) prefixes: Vec<Prefix>,
    /// Name servers and for how many seconds (RFC 8106).
    pub(super) servers: Vec<(Ipv6Addr, u32)>,
}

/// Calls `each` with the kind and the whole of each option.
fn options<'a>(mut bytes: &'a [u8], mut each: impl FnMut(u8, &'a [u8])) -> Result<(), DropReason> {
    while let [kind, units, ..] = *bytes {
        let len = usize::from(units) * 8;
        // RFC 4861, 4.6: a length of zero makes the packet void.
        let (option, rest) = bytes
            .split_at_checked(len)
            .filter(|_| len > 0)
            .ok_or(DropReason::Truncated)?;
        each(kind, option);
        bytes = rest;
    }
    match bytes {
        [] => Ok(()),
        _ => Err(DropReason::Truncated),
    }
}

fn station(option: &[u8]) -> Option<[u8; 6]> {
    let station: [u8; 6] = option.get(2..8)?.try_into().ok()?;
    // A group or nobody is no station.
    (station[0] & 1 == 0 && station != [0; 6]).then_some(station)
}

/// Reads a router's advertisement.
///
/// # Errors
/// Says why it is to be dropped.
pub(super) fn read_advertisement(icmp: &[u8]) -> Result<Advertisement, DropReason> {
    let (fixed, rest) = icmp.split_at_checked(16).ok_or(DropReason::Truncated)?;
    let mut said = Advertisement {
        lifetime: be16(fixed, 6),
        ..Advertisement::default()
    };
    options(rest, |kind, option| match (kind, option.len()) {
        (SOURCE_STATION, _) => said.station = station(option),
        (MTU, 8) => said.mtu = Some(be32(option, 4)),
        (PREFIX, 32) if said.prefixes.len() < MOST => said.prefixes.push(Prefix {
            prefix: header::address(option, 16),
            len: option[2],
            is_on_link: option[3] & 0x80 != 0,
            is_for_addresses: option[3] & 0x40 != 0,
            valid: be32(option, 4),
            preferred: be32(option, 8),
        }),
        (NAME_SERVERS, 24..) => {
            let lifetime = be32(option, 4);
            for bytes in option[8..].chunks_exact(16) {
                if said.servers.len() < MOST {
                    said.servers.push((header::address(bytes, 0), lifetime));
                }
            }
        }
        _ => {}
    })?;
    Ok(said)
}

/// A question for a neighbour, or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) target: Ipv6Addr,
    pub(super) station: Option<[u8; 6]>,
    /// An answer: to a question.
    pub(super) is_solicited: bool,
}

/// Reads a question for a neighbour, or an answer.
///
/// # Errors
/// Says why it is to be dropped.
pub(super) fn read_neighbour(icmp: &[u8]) -> Result<Neighbour, DropReason> {
    let (fixed, rest) = icmp.split_at_checked(24).ok_or(DropReason::Truncated)?;
    let target = header::address(fixed, 8);
    if target.is_multicast() {
        return Err(DropReason::BadIpHeader);
    }
    let wanted = match icmp[0] {
        NEIGHBOUR_SOLICITATION => SOURCE_STATION,
        _ => TARGET_STATION,
    };
    let mut said = Neighbour {
        target,
        station: None,
        is_solicited: fixed[4] & 0x40 != 0,
    };
    options(rest, |kind, option| {
        if kind == wanted {
            said.station = station(option);
        }
    })?;
    Ok(said)
}

/// A message of ICMPv6 with its headers, and no stations yet.
pub(super) fn frame(source: Ipv6Addr, target: Ipv6Addr, hop_limit: u8, icmp: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; PAYLOAD];
    frame.extend_from_slice(icmp);
    let header = Header {
        source,
        target,
        protocol: PROTOCOL_ICMPV6,
        hop_limit,
        start: PAYLOAD,
        end: frame.len(),
    };
    header::write(&mut frame, &header);
    header::put_checksum(&mut frame, &header, CHECKSUM);
    frame
}

/// The beginning of a packet of ours that a router has found too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) local: Ipv6Addr,
    pub(super) remote: Ipv6Addr,
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    /// The sequence number of the segment in it.
    pub(super) seq: u32,
    /// How long it was.
    pub(super) len: usize,
    /// How long it may be.
    pub(super) longest: usize,
}

/// Reads what a router says of a packet that was too long, if that was a segment of ours, which has no further headers.
///
/// # Errors
/// Says why it is to be dropped.
pub(super) fn read_too_big(icmp: &[u8]) -> Result<Quote, DropReason> {
    let quote: &[u8; 56] = icmp.first_chunk().ok_or(DropReason::Truncated)?;
    let longest = be32(quote, 4) as usize;
    // RFC 8201, 4: any link takes 1,280 bytes.
    if longest < 1280 {
        return Err(DropReason::ForgedError);
    }
    if quote[8] >> 4 != 6 || quote[14] != PROTOCOL_TCP {
        return Err(DropReason::NoSocket);
    }
    Ok(Quote {
        local: header::address(quote, 16),
        remote: header::address(quote, 32),
        local_port: be16(quote, 48),
        remote_port: be16(quote, 50),
        seq: be32(quote, 52),
        len: header::IPV6_LEN + usize::from(be16(quote, 12)),
        longest,
    })
}

fn station_option(kind: u8, mac: [u8; 6]) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac;
    [kind, 1, a, b, c, d, e, f]
}

/// Asks who has `address`; from nobody if it is one that we would like to have ourselves (RFC 4862, 5.4.2).
pub(super) fn solicit(source: Ipv6Addr, to: Ipv6Addr, address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut icmp = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(&address.octets());
    if !source.is_unspecified() {
        icmp.extend_from_slice(&station_option(SOURCE_STATION, mac));
    }
    frame(source, to, NEIGHBOURS_ONLY, &icmp)
}

/// Says that we have `address`; to everybody if nobody in particular has asked.
pub(super) fn advertise(address: Ipv6Addr, to: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    // Solicited, if somebody asked, and to be believed rather than what was known.
    let flags = if to.is_multicast() { 0x20 } else { 0x60 };
    let mut icmp = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    icmp.extend_from_slice(&address.octets());
    icmp.extend_from_slice(&station_option(TARGET_STATION, mac));
    frame(address, to, NEIGHBOURS_ONLY, &icmp)
}

/// Asks for routers.
pub(super) fn solicit_routers(source: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut icmp = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(&station_option(SOURCE_STATION, mac));
    frame(source, ALL_ROUTERS, NEIGHBOURS_ONLY, &icmp)
}

/// Tells switches that look that we are in the group of `address` (RFC 3810, 5.2).
pub(super) fn report_membership(source: Ipv6Addr, address: Ipv6Addr) -> Vec<u8> {
    // Hop-by-hop options first: router alert (RFC 2711), and padding. Then the report of one group that we have joined.
    let mut payload = vec![PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0];
    payload.extend_from_slice(&[LISTENER_REPORT, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0]);
    payload.extend_from_slice(&solicited_node(address).octets());
    let mut frame = vec![0; PAYLOAD];
    frame.extend_from_slice(&payload);
    // MLDv2-capable routers.
    let target = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
    let header = Header {
        source,
        target,
        protocol: 0,
        hop_limit: 1,
        start: PAYLOAD,
        end: frame.len(),
    };
    header::write(&mut frame, &header);
    let report = PAYLOAD + 8;
    let len = frame.len() - report;
    let start = header::pseudo_header(source, target, PROTOCOL_ICMPV6, len);
    let sum = !crate::checksum::fold(crate::checksum::sum(start, &frame[report..]));
    frame[report + 2..report + 4].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The answer to the ping `icmp`.
pub(super) fn echo(source: Ipv6Addr, target: Ipv6Addr, icmp: &[u8]) -> Vec<u8> {
    let mut answer = icmp.to_vec();
    answer[0] = ECHO_REPLY;
    frame(source, target, 64, &answer)
}
