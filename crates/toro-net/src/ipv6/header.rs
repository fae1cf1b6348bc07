//! IPv6 headers (RFC 8200): what a received one says, and writing one.

use core::net::Ipv6Addr;

use super::chain;
use crate::checksum;
use crate::packet::{ETHERNET_LEN, be16};
use crate::stats::DropReason;

/// IPv6's number in the Ethernet header.
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Bytes of a header.
pub(super) const IPV6_LEN: usize = 40;
/// Where the payload lies in a frame.
pub(super) const PAYLOAD: usize = ETHERNET_LEN + IPV6_LEN;
/// The machines of a link, and its routers.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A received header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) source: Ipv6Addr,
    pub(super) target: Ipv6Addr,
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    /// Where what it carries begins in the frame, behind all other headers.
    pub(super) start: usize,
    /// Where the packet ends in the frame.
    pub(super) end: usize,
}

/// Reads the header of a frame and checks its lengths and its source.
///
/// # Errors
/// Says why the packet is to be dropped.
pub(super) fn parse(frame: &[u8]) -> Result<Header, DropReason> {
    let packet = frame.get(ETHERNET_LEN..).ok_or(DropReason::Truncated)?;
    let ip: &[u8; IPV6_LEN] = packet.first_chunk().ok_or(DropReason::Truncated)?;
    if ip[0] >> 4 != 6 {
        return Err(DropReason::BadIpHeader);
    }
    let end = PAYLOAD + usize::from(be16(ip, 4));
    if end > frame.len() {
        return Err(DropReason::Truncated);
    }
    let mut header = Header {
        source: address(ip, 8),
        target: address(ip, 24),
        protocol: ip[6],
        hop_limit: ip[7],
        start: PAYLOAD,
        end,
    };
    let is_mapped = header.source.to_ipv4_mapped().is_some();
    if header.source.is_multicast() || header.source.is_loopback() || is_mapped {
        return Err(DropReason::BadSource);
    }
    let (protocol, at) = chain::walk(&frame[PAYLOAD..end], header.protocol)?;
    (header.protocol, header.start) = (protocol, PAYLOAD + at);
    Ok(header)
}

/// Writes the headers of a packet over the beginning of `frame`, whose length is the packet's. The stations stay as they are.
pub(super) fn write(frame: &mut [u8], header: &Header) {
    let payload_len = u16::try_from(frame.len() - PAYLOAD).unwrap_or(u16::MAX);
    frame[12..14].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
    let ip = &mut frame[ETHERNET_LEN..PAYLOAD];
    ip[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    ip[4..6].copy_from_slice(&payload_len.to_be_bytes());
    (ip[6], ip[7]) = (header.protocol, header.hop_limit);
    ip[8..24].copy_from_slice(&header.source.octets());
    ip[24..40].copy_from_slice(&header.target.octets());
}

/// The sum of the pseudo-header (RFC 8200, 8.1).
pub(super) fn pseudo_header(source: Ipv6Addr, target: Ipv6Addr, protocol: u8, len: usize) -> u64 {
    let sum = checksum::sum(0, &source.octets());
    checksum::sum(sum, &target.octets()) + u64::from(protocol) + len as u64
}

/// Whether the payload of a frame, which contains its own checksum, adds up.
pub(super) fn adds_up(frame: &[u8], header: &Header) -> bool {
    let len = header.end - header.start;
    let start = pseudo_header(header.source, header.target, header.protocol, len);
    checksum::adds_up(start, &frame[header.start..header.end])
}

/// Puts the checksum of the payload of a frame into its place, `at` bytes behind the header.
pub(super) fn put_checksum(frame: &mut [u8], header: &Header, at: usize) {
    let at = PAYLOAD + at;
    frame[at..at + 2].fill(0);
    let len = frame.len() - PAYLOAD;
    let start = pseudo_header(header.source, header.target, header.protocol, len);
    let sum = !checksum::fold(checksum::sum(start, &frame[PAYLOAD..]));
    // Zero would say that there is none, which UDP over IPv6 forbids.
    let sum = if sum == 0 { 0xffff } else { sum };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The address at `at`.
pub(super) fn address(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    Ipv6Addr::from(octets)
}

/// The group whose members have to answer for `address` (RFC 4291, 2.7.1).
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    )
}

/// The station of a group (RFC 2464, 7).
pub(super) fn station_of_group(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// The first `len` bits of `address`.
pub(super) fn prefix_of(address: Ipv6Addr, len: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128)));
    Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0))
}
