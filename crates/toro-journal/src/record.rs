//! The form of a record: 28 bytes of header, then the payload.
//!
//! ```text
//!  0  magic    4   8  number  8   16  epoch  4   20  before  4   24  sum  4
//!  4  len      4
//! ```
//!
//! Numbers are little-endian. `before` is the sum of the record before it, `sum` that of the header up to there and the payload
//! (CRC-32, IEEE 802.3).

/// Bytes of a header.
pub(crate) const HEADER: usize = 28;

/// Longest payload in bytes.
pub const LONGEST: usize = 64 << 10;

/// What every record begins with.
const MAGIC: u32 = u32::from_le_bytes(*b"TJr1");

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) number: u64,
    /// How often the journal had been opened when it was written.
    pub(crate) epoch: u32,
    pub(crate) before: u32,
}

impl Header {
    /// The bytes, and the sum in them.
    pub(crate) fn encode(self, payload: &[u8]) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.before.to_le_bytes());
        let sum = crc32(&[&bytes[..24], payload]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        (bytes, sum)
    }

    /// The header in `bytes`, and the sum that it and its payload must have; `None` if it is none.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Option<(Self, u32)> {
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|nth| bytes[at + nth]));
        let header = Self {
            len: word(4),
            number: u64::from_le_bytes(core::array::from_fn(|nth| bytes[8 + nth])),
            epoch: word(16),
            before: word(20),
        };
        let is_record = word(0) == MAGIC && usize::try_from(header.len).ok()? <= LONGEST;
        is_record.then_some((header, word(24)))
    }

    /// Whether header and payload have that sum.
    pub(crate) fn is_whole(self, payload: &[u8], sum: u32) -> bool {
        self.encode(payload).1 == sum
    }
}

/// What each byte adds to a sum.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[byte as usize] = sum;
        byte += 1;
    }
    table
};

/// CRC-32 (IEEE 802.3) over the pieces in a row.
fn crc32(pieces: &[&[u8]]) -> u32 {
    let bytes = pieces.iter().flat_map(|piece| piece.iter());
    !bytes.fold(u32::MAX, |sum, byte| {
        sum >> 8 ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::{Header, crc32};

    #[test]
    fn sums_are_those_of_the_standard() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn a_header_comes_back_and_any_change_is_seen() {
        let header = Header {
            len: 5,
            number: 7,
            epoch: 2,
            before: 9,
        };
        let (bytes, sum) = header.encode(b"hello");
        assert_eq!(Header::decode(&bytes), Some((header, sum)));
        assert!(header.is_whole(b"hello", sum) && !header.is_whole(b"hellO", sum));
        for at in 0..bytes.len() {
            let mut changed = bytes;
            changed[at] ^= 4;
            let whole =
                Header::decode(&changed).filter(|(header, sum)| header.is_whole(b"hello", *sum));
            assert_eq!(whole, None, "byte {at}");
        }
    }
}
