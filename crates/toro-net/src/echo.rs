//! Answers to pings: the same packet the other way round.
//!
//! smoltcp would look the sender's station up and lose the first answer when it is not known.

use crate::checksum;
use crate::headers::{self, Ends};
use crate::packet::{self, ETHERNET_LEN, IPV4_LEN, PROTOCOL_ICMP};

/// Bytes of an ICMP echo header.
const ECHO_LEN: usize = 8;

/// Bytes of the answer to `request`; `None` if its ICMP part is not whole.
pub(crate) fn answer_len(request: &[u8]) -> Option<usize> {
    let icmp = icmp_part(request)?;
    (icmp.len() >= ECHO_LEN && checksum::adds_up(0, icmp))
        .then_some(ETHERNET_LEN + IPV4_LEN + icmp.len())
}

/// Writes the answer to `request`, whose headers were checked by [`packet::classify`], over `answer`.
pub(crate) fn write_answer(answer: &mut [u8], request: &[u8], mac: [u8; 6]) {
    let mut to = [0; 6];
    to.copy_from_slice(&request[6..12]);
    let ends = Ends {
        from: mac,
        to,
        source: packet::address(request, ETHERNET_LEN + 16),
        target: packet::address(request, ETHERNET_LEN + 12),
    };
    headers::write(answer, &ends, PROTOCOL_ICMP);
    let icmp = &mut answer[ETHERNET_LEN + IPV4_LEN..];
    icmp.copy_from_slice(icmp_part(request).expect("answer_len found it"));
    // Type 0 is the answer.
    icmp[0] = 0;
    icmp[2..4].fill(0);
    let sum = checksum::of(icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// The part of `frame` behind its IP header.
pub(crate) fn icmp_part(frame: &[u8]) -> Option<&[u8]> {
    let ip = frame.get(ETHERNET_LEN..)?;
    let header_len = usize::from(ip.first()? & 0x0f) * 4;
    ip.get(header_len..usize::from(packet::be16(ip, 2)))
}
