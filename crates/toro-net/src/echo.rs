//! Answers to pings: the same packet the other way round.
//!
//! smoltcp would look the sender's station up and lose the first answer when it is not known.

use crate::checksum;
use crate::packet::{self, ETHERNET_LEN, IPV4_LEN};

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
    answer[..6].copy_from_slice(&request[6..12]);
    answer[6..12].copy_from_slice(&mac);
    answer[12..14].copy_from_slice(&request[12..14]);
    let total_len = u16::try_from(answer.len() - ETHERNET_LEN).unwrap_or(u16::MAX);
    let (ip, icmp) = answer[ETHERNET_LEN..].split_at_mut(IPV4_LEN);
    // Version and header length, without the options of the request.
    ip.fill(0);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&total_len.to_be_bytes());
    ip[8] = 64;
    ip[9] = 1;
    ip[12..16].copy_from_slice(&request[ETHERNET_LEN + 16..ETHERNET_LEN + 20]);
    ip[16..20].copy_from_slice(&request[ETHERNET_LEN + 12..ETHERNET_LEN + 16]);
    let sum = !checksum::fold(checksum::sum(0, ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    icmp.copy_from_slice(icmp_part(request).expect("answer_len found it"));
    // Type 0 is the answer.
    icmp[0] = 0;
    icmp[2..4].fill(0);
    let sum = !checksum::fold(checksum::sum(0, icmp));
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn icmp_part(frame: &[u8]) -> Option<&[u8]> {
    let ip = frame.get(ETHERNET_LEN..)?;
    let header_len = usize::from(ip.first()? & 0x0f) * 4;
    ip.get(header_len..usize::from(packet::be16(ip, 2)))
}
