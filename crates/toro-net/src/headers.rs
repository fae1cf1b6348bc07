//! The headers of our own packets: Ethernet and IPv4, where smoltcp does not write them.

use core::net::Ipv4Addr;

use crate::checksum;
use crate::packet::{ETHERNET_LEN, ETHERTYPE_IPV4, IPV4_LEN};

/// The stations and addresses of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) from: [u8; 6],
    pub(crate) to: [u8; 6],
    pub(crate) source: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

/// Writes both headers into `frame`, whose length is that of the packet.
#[inline(never)]
pub(crate) fn write(frame: &mut [u8], ends: &Ends, protocol: u8) {
    let total_len = u16::try_from(frame.len() - ETHERNET_LEN).unwrap_or(u16::MAX);
    let headers: Option<&mut [u8; ETHERNET_LEN + IPV4_LEN]> = frame.first_chunk_mut();
    let Some(headers) = headers else { return };
    headers[..6].copy_from_slice(&ends.to);
    headers[6..12].copy_from_slice(&ends.from);
    headers[12..14].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
    let ip = &mut headers[ETHERNET_LEN..];
    ip.fill(0);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&total_len.to_be_bytes());
    // Never cut into fragments, so the identification may stay zero (RFC 6864, 4.1).
    ip[6] = 0x40;
    (ip[8], ip[9]) = (64, protocol);
    ip[12..16].copy_from_slice(&ends.source.octets());
    ip[16..20].copy_from_slice(&ends.target.octets());
    let sum = checksum::of(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}
