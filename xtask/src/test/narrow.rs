//! A router before a link that takes only shorter packets, as far as the sender of one that is too long hears of it (RFC 1191).

/// Headers of Ethernet, of IPv4 without options, and of ICMP; and what of a packet is quoted.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const ICMP: usize = 8;
const QUOTED: usize = IPV4 + 8;
/// The router.
const ADDRESS: [u8; 4] = [10, 0, 3, 254];

/// What the router says to `frame`, if that is a packet of IPv4 longer than `longest` bytes that may not be cut.
pub(super) fn answer(frame: &[u8], longest: u16) -> Option<Vec<u8>> {
    let is_long = frame.len() > ETHERNET + usize::from(longest);
    let packet = frame.get(ETHERNET..)?;
    let may_not_be_cut = packet.get(6)? & 0x40 != 0;
    if !is_long || frame[12..14] != [8, 0] || !may_not_be_cut {
        return None;
    }
    let quoted = packet.get(..QUOTED)?;
    let len = u16::try_from(IPV4 + ICMP + QUOTED).ok()?;
    let mut ip = vec![0x45, 0];
    ip.extend(len.to_be_bytes());
    // No number, no fragment; 64 hops, ICMP.
    ip.extend([0, 0, 0, 0, 64, 1, 0, 0]);
    ip.extend(ADDRESS);
    ip.extend(&quoted[12..16]);
    put_sum(&mut ip, 10);
    let mut icmp = vec![3, 4, 0, 0, 0, 0];
    icmp.extend(longest.to_be_bytes());
    icmp.extend(quoted);
    put_sum(&mut icmp, 2);
    let stations = [&frame[6..12], &frame[..6], &[8, 0]].concat();
    Some([stations, ip, icmp].concat())
}

/// Puts the checksum of `bytes`, which are even in number, at `at`.
fn put_sum(bytes: &mut [u8], at: usize) {
    let pairs = bytes.chunks_exact(2);
    let sum: u32 = pairs
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let sum = !u16::try_from(folded).unwrap_or(u16::MAX);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: u8) -> Vec<u8> {
        let mut frame: Vec<u8> = (0..len).collect();
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[20] = 0x40;
        frame
    }

    #[test]
    fn a_long_packet_is_quoted_to_its_sender() {
        let long = frame(115);
        let answer = answer(&long, 100).expect("it is too long");
        assert_eq!(answer[..6], long[6..12]);
        assert_eq!(answer[6..12], long[..6]);
        assert_eq!(answer[30..34], long[26..30], "to its source");
        assert_eq!(answer[34..36], [3, 4]);
        assert_eq!(answer[40..42], [0, 100]);
        assert_eq!(answer[42..], long[14..42]);
        // By hand, as in RFC 1071.
        assert_eq!(answer.len(), 70);
        let sum: u32 = answer[34..]
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn others_are_left_alone() {
        assert_eq!(answer(&frame(114), 100), None);
        let mut other = frame(115);
        other[20] = 0;
        assert_eq!(answer(&other, 100), None, "it could be cut");
        let mut other = frame(115);
        other[13] = 6;
        assert_eq!(answer(&other, 100), None, "no packet of IPv4");
        assert_eq!(answer(&[0; 20], 0), None);
    }
}
