//! What arrives, sorted: [`classify`] checks the headers of a frame and says which part of the stack it is for.
//!
//! All lengths are checked here, before any table is asked. smoltcp parses again what it is handed; the second
//! look costs little and lets each of the two be read alone.

use core::net::Ipv4Addr;

use crate::checksum;
use crate::random::low_word;
use crate::stats::DropReason;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;
/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_LEN: usize = 20;
/// Bytes of a TCP header without options.
pub(crate) const TCP_LEN: usize = 20;
/// TCP's number in the IPv4 header.
pub(crate) const PROTOCOL_TCP: u8 = 6;

/// ICMP's.
pub(crate) const PROTOCOL_ICMP: u8 = 1;
/// ICMPv6's.
pub(crate) const PROTOCOL_ICMPV6: u8 = 58;
/// UDP's.
pub(crate) const PROTOCOL_UDP: u8 = 17;
/// IPv4's number in the Ethernet header.
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP's number in the Ethernet header.
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const ICMP_ECHO_REQUEST: u8 = 8;
/// The destination is unreachable, for a packet that is not to be cut is too long.
const ICMP_TOO_LONG: [u8; 2] = [3, 4];

/// The addresses and ports of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) local: Ipv4Addr,
    pub(crate) remote: Ipv4Addr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    /// The same, as the peer sees it.
    pub(crate) fn turned(&self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
            local_port: self.remote_port,
            remote_port: self.local_port,
        }
    }
}

/// The control bits of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;

    pub(crate) fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }
    pub(crate) fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }
    pub(crate) fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }
    pub(crate) fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
    /// Only the bit that opens a connection.
    pub(crate) fn opens(self) -> bool {
        self.syn() && !self.ack() && !self.rst() && !self.fin()
    }
}

/// The header of a received TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where the frame came from, for replies that need no address lookup.
    pub(crate) mac: [u8; 6],
    pub(crate) tuple: Tuple,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// Where the TCP header lies in the frame.
    pub(crate) start: usize,
    /// Where the payload lies in the frame.
    pub(crate) payload: usize,
    /// Where the packet ends in the frame.
    pub(crate) end: usize,
}

impl Segment {
    /// Bytes of payload.
    pub(crate) fn payload_len(&self) -> usize {
        self.end - self.payload
    }

    /// Whether it acknowledges and does nothing else.
    pub(crate) fn is_bare_ack(&self) -> bool {
        self.flags.ack() && !self.flags.rst() && self.len() == 0
    }

    /// Whether there are options of more than `usual` bytes: in a connection that stands, those are selective acknowledgements.
    pub(crate) fn has_options_beyond(&self, usual: usize) -> bool {
        self.payload - self.start > TCP_LEN + usual
    }

    /// Puts another number, acknowledgement and window into its `frame`, whose checksum was verified and is not looked at again.
    pub(crate) fn correct(&self, frame: &mut [u8], seq: u32, ack: u32, window: u16) {
        let header = frame[self.start..].first_chunk_mut::<TCP_LEN>();
        if let Some(header) = header {
            header[4..8].copy_from_slice(&seq.to_be_bytes());
            header[8..12].copy_from_slice(&ack.to_be_bytes());
            header[14..16].copy_from_slice(&window.to_be_bytes());
        }
    }

    /// Sequence numbers that the segment occupies.
    pub(crate) fn len(&self) -> u32 {
        let controls = u32::from(self.flags.syn()) + u32::from(self.flags.fin());
        // A frame is shorter than 4 GiB.
        low_word(self.payload_len() as u64) + controls
    }

    fn checksum_is_right(&self, frame: &[u8]) -> bool {
        let len = self.end - self.start;
        let start = checksum::pseudo_header(self.tuple.remote, self.tuple.local, PROTOCOL_TCP, len);
        checksum::adds_up(start, &frame[self.start..self.end])
    }
}

/// Who a frame is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packet {
    /// Address resolution.
    Arp,
    /// A ping.
    Echo,
    /// From a DHCP server.
    Dhcp,
    /// A packet of ours was too long for the way.
    TooLong,
    /// TCP, to our address.
    Tcp(Segment),
}

/// Who we are, for [`classify`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) mac: [u8; 6],
    pub(crate) address: Option<Ipv4Addr>,
    /// Listen to DHCP servers.
    pub(crate) dhcp: bool,
}

/// Checks the headers of `frame` and sorts it; `trusted` says that the device vouches for the transport checksum.
///
/// # Errors
/// Says why the frame is not for us or not well formed.
pub(crate) fn classify(frame: &[u8], trusted: bool, us: &Identity) -> Result<Packet, DropReason> {
    let (header, payload) = frame
        .split_at_checked(ETHERNET_LEN)
        .ok_or(DropReason::Truncated)?;
    let group = header[0] & 1 != 0;
    if !group && header[..6] != us.mac {
        return Err(DropReason::OtherStation);
    }
    match be16(header, 12) {
        ETHERTYPE_IPV4 => classify_ipv4(frame, payload, group, trusted, us),
        ETHERTYPE_ARP => Ok(Packet::Arp),
        _ => Err(DropReason::EtherType),
    }
}

fn classify_ipv4(
    frame: &[u8],
    packet: &[u8],
    group: bool,
    trusted: bool,
    us: &Identity,
) -> Result<Packet, DropReason> {
    // An array: what is read from it needs no more checks.
    let ip: &[u8; IPV4_LEN] = packet.first_chunk().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(ip[0] & 0x0f) * 4;
    let total_len = usize::from(be16(ip, 2));
    if ip[0] >> 4 != 4 || header_len < IPV4_LEN || header_len > total_len {
        return Err(DropReason::BadIpHeader);
    }
    if total_len > packet.len() {
        return Err(DropReason::Truncated);
    }
    let adds_up = match header_len {
        IPV4_LEN => checksum::adds_up(0, ip),
        _ => checksum::adds_up(0, &packet[..header_len]),
    };
    if !adds_up {
        return Err(DropReason::BadChecksum);
    }
    // More fragments, or an offset: reassembly is left out, see the crate's documentation.
    if be16(ip, 6) & 0x3fff != 0 {
        return Err(DropReason::Fragment);
    }
    let (source, target) = (address(ip, 12), address(ip, 16));
    if !may_be_source(source) || Some(source) == us.address {
        return Err(DropReason::BadSource);
    }
    let (start, end) = (ETHERNET_LEN + header_len, ETHERNET_LEN + total_len);
    let payload = &packet[header_len..total_len];
    match ip[9] {
        PROTOCOL_TCP if group || Some(target) != us.address => Err(DropReason::NotOurAddress),
        PROTOCOL_TCP => {
            let segment = parse_segment(frame, source, target, start, end)?;
            let right = trusted || segment.checksum_is_right(frame);
            right
                .then_some(Packet::Tcp(segment))
                .ok_or(DropReason::BadChecksum)
        }
        PROTOCOL_UDP => classify_udp(payload, source, target, trusted, us),
        PROTOCOL_ICMP if Some(target) != us.address => Err(DropReason::NotOurAddress),
        PROTOCOL_ICMP if payload.first() == Some(&ICMP_ECHO_REQUEST) => Ok(Packet::Echo),
        PROTOCOL_ICMP if payload.starts_with(&ICMP_TOO_LONG) => Ok(Packet::TooLong),
        _ => Err(DropReason::NoSocket),
    }
}

/// Whether a packet may come from `source` (RFC 1122, 3.2.1.3).
pub(crate) fn may_be_source(source: Ipv4Addr) -> bool {
    !source.is_multicast()
        && !source.is_broadcast()
        && !source.is_unspecified()
        && !source.is_loopback()
        && source.octets()[0] < 240
}

pub(crate) fn parse_segment(
    frame: &[u8],
    source: Ipv4Addr,
    target: Ipv4Addr,
    start: usize,
    end: usize,
) -> Result<Segment, DropReason> {
    let segment = frame.get(start..end).ok_or(DropReason::Truncated)?;
    let tcp: &[u8; TCP_LEN] = segment.first_chunk().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(tcp[12] >> 4) * 4;
    if header_len < TCP_LEN || header_len > segment.len() {
        return Err(DropReason::BadTcpHeader);
    }
    let tuple = Tuple {
        local: target,
        remote: source,
        local_port: be16(tcp, 2),
        remote_port: be16(tcp, 0),
    };
    if tuple.local_port == 0 || tuple.remote_port == 0 {
        return Err(DropReason::BadTcpHeader);
    }
    let mut mac = [0; 6];
    mac.copy_from_slice(&frame[6..12]);
    Ok(Segment {
        mac,
        tuple,
        seq: be32(tcp, 4),
        ack: be32(tcp, 8),
        flags: Flags(tcp[13]),
        window: be16(tcp, 14),
        start,
        payload: start + header_len,
        end,
    })
}

fn classify_udp(
    datagram: &[u8],
    source: Ipv4Addr,
    target: Ipv4Addr,
    trusted: bool,
    us: &Identity,
) -> Result<Packet, DropReason> {
    if datagram.len() < 8 {
        return Err(DropReason::Truncated);
    }
    if !us.dhcp || be16(datagram, 0) != DHCP_SERVER_PORT || be16(datagram, 2) != DHCP_CLIENT_PORT {
        return Err(DropReason::NoSocket);
    }
    // A checksum of zero means that the sender left it out (RFC 768).
    let len = usize::from(be16(datagram, 4));
    let datagram = datagram.get(..len).ok_or(DropReason::Truncated)?;
    let start = checksum::pseudo_header(source, target, PROTOCOL_UDP, len);
    let unchecked = trusted || be16(datagram, 6) == 0;
    if len < 8 || !(unchecked || checksum::adds_up(start, datagram)) {
        return Err(DropReason::BadChecksum);
    }
    Ok(Packet::Dhcp)
}

/// The 16 bits at `at`.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The 32 bits at `at`.
#[inline]
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The IPv4 address at `at`.
#[inline]
pub(crate) fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(be32(bytes, at))
}
