//! Packets: `$`, a text, `#` and the sum of its bytes in two digits (GDB manual, E.1).

use std::fmt::Write as _;

/// The longest packet that is taken, in bytes.
pub(crate) const MOST: usize = 0x4000;

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A packet with this text.
    Packet(Vec<u8>),
    /// A packet whose sum is wrong.
    Damaged,
    /// Ctrl-C.
    Interrupt,
}

/// Takes the first whole item out of `bytes`, if there is one. What is none is dropped.
pub(crate) fn next(bytes: &mut Vec<u8>) -> Option<Item> {
    let start = bytes.iter().position(|byte| matches!(byte, b'$' | 3));
    let Some(start) = start else {
        bytes.clear();
        return None;
    };
    bytes.drain(..start);
    if bytes[0] == 3 {
        bytes.remove(0);
        return Some(Item::Interrupt);
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'#') else {
        if bytes.len() > MOST {
            bytes.clear();
            return Some(Item::Damaged);
        }
        return None;
    };
    let digits = bytes.get(end + 1..end + 3)?;
    let sum = number(digits);
    let packet: Vec<u8> = bytes.drain(..end + 3).collect();
    let text = &packet[1..end];
    if sum == Some(u64::from(sum_of(text))) {
        Some(Item::Packet(unescaped(text)))
    } else {
        Some(Item::Damaged)
    }
}

/// `text` as a packet; bytes that mean something to the protocol are written differently.
pub(crate) fn packet(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'$'];
    for byte in text {
        match byte {
            b'$' | b'#' | b'}' | b'*' => bytes.extend([b'}', byte ^ 0x20]),
            byte => bytes.push(*byte),
        }
    }
    let sum = sum_of(&bytes[1..]);
    bytes.extend(format!("#{sum:02x}").bytes());
    bytes
}

fn sum_of(text: &[u8]) -> u8 {
    text.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut text = text.iter();
    while let Some(byte) = text.next() {
        match byte {
            b'}' => bytes.extend(text.next().map(|byte| byte ^ 0x20)),
            byte => bytes.push(*byte),
        }
    }
    bytes
}

/// A number in digits of base 16.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(text, 16).ok()
}

/// Bytes as digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Digits as bytes.
pub(crate) fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| number(pair).and_then(|byte| u8::try_from(byte).ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Item, bytes, hex, next, packet};

    #[test]
    fn packets_come_in_pieces_and_with_noise() {
        let mut stream = b"+++$g#6".to_vec();
        assert_eq!(next(&mut stream), None);
        stream.extend(b"7\x03$qC#00");
        assert_eq!(next(&mut stream), Some(Item::Packet(b"g".to_vec())));
        assert_eq!(next(&mut stream), Some(Item::Interrupt));
        assert_eq!(next(&mut stream), Some(Item::Damaged));
        assert_eq!(next(&mut stream), None);
        let mut long = vec![b'$'; 0x5000];
        assert_eq!(next(&mut long), Some(Item::Damaged));
    }

    #[test]
    fn what_means_something_is_written_differently() {
        let text = b"a#b$c}d*e";
        let mut stream = packet(text);
        assert_eq!(next(&mut stream), Some(Item::Packet(text.to_vec())));
        assert_eq!(packet(b"OK"), b"$OK#9a");
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(bytes(b"00ab"), Some(vec![0, 0xab]));
        assert_eq!(bytes(b"0"), None);
        assert_eq!(bytes(b"zz"), None);
    }
}
