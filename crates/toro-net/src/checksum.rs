//! The internet checksum (RFC 1071), as the demultiplexer verifies it and the transmit path starts it.

use core::net::Ipv4Addr;

use crate::random::low_word;

/// Sums `bytes` as big-endian 16-bit words, an odd last byte padded with zero, on top of `start`.
#[inline]
pub(crate) fn sum(start: u64, bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<4>();
    // Folding 32-bit words gives the same sum modulo 0xffff, in half the steps.
    let mut total = words.iter().fold(start, |sum, word| {
        sum + u64::from(u32::from_be_bytes(*word))
    });
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    total += u64::from(u32::from_be_bytes(last));
    total
}

/// Folds a sum into 16 bits.
#[inline]
pub(crate) fn fold(sum: u64) -> u16 {
    // 2^32 and 2^16 are 1 modulo 0xffff. Each step adds the halves and takes the carry back in.
    let (low, carry) = low_word(sum).overflowing_add(low_word(sum >> 32));
    let word = low.wrapping_add(u32::from(carry));
    let (low, carry) = low_half(word).overflowing_add(low_half(word >> 16));
    low.wrapping_add(u16::from(carry))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
fn low_half(word: u32) -> u16 {
    word as u16
}

/// The sum of the pseudo-header that TCP and UDP put in front of themselves.
pub(crate) fn pseudo_header(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, len: usize) -> u64 {
    let addresses = u64::from(source.to_bits()) + u64::from(target.to_bits());
    addresses + u64::from(protocol) + len as u64
}

/// The checksum of `bytes`, in which its own place is zero.
#[inline(never)]
pub(crate) fn of(bytes: &[u8]) -> u16 {
    !fold(sum(0, bytes))
}

/// A checksum after some of what it covers was changed, whose sum was `before` and is `after` (RFC 1624, equation 3).
pub(crate) fn corrected(checksum: u16, before: u16, after: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!before) + u64::from(after))
}

/// Whether a header or segment that contains its own checksum adds up.
pub(crate) fn adds_up(start: u64, bytes: &[u8]) -> bool {
    fold(sum(start, bytes)) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_the_book(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn agrees_with_the_definition_at_every_length() {
        let bytes: [u8; 67] = core::array::from_fn(|i| u8::try_from((i * 37 + 11) % 256).unwrap());
        for len in 0..bytes.len() {
            assert_eq!(
                fold(sum(0, &bytes[..len])),
                by_the_book(&bytes[..len]),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_header_with_its_checksum_adds_up() {
        let header = [
            0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0xb1, 0xe6, 0xac, 0x10,
            0x0a, 0x63, 0xac, 0x10, 0x0a, 0x0c,
        ];
        assert!(adds_up(0, &header));
        let mut broken = header;
        broken[9] ^= 1;
        assert!(!adds_up(0, &broken));
    }
}
