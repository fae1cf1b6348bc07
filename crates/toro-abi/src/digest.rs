//! [`DiskDigest`]: what a test image says of a disk, so that the host can compare it with the file behind.

use core::fmt;

/// What every line starts with.
const START: &str = "toro-disk: ";

/// A disk and the digest of all its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskDigest {
    /// Which disk of the machine, counted from 0.
    pub number: usize,
    /// [`digest`] of it.
    pub digest: u64,
}

impl DiskDigest {
    /// Reads a line; `None` if it is another one.
    pub fn parse(line: &str) -> Option<Self> {
        let (number, digest) = line.strip_prefix(START)?.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            digest: u64::from_str_radix(digest, 16).ok()?,
        })
    }
}

impl fmt::Display for DiskDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{START}{} {:016x}", self.number, self.digest)
    }
}

/// Continues a digest (FNV-1a over words of eight bytes) with `bytes`; the first one continues [`EMPTY`].
///
/// What is left behind the last whole word does not count: sectors have none.
pub fn digest(so_far: u64, bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(so_far, |digest, word| {
        (digest ^ u64::from_le_bytes(*word)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The digest of no bytes.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString as _;

    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let line = DiskDigest {
            number: 2,
            digest: 0xfe,
        };
        assert_eq!(line.to_string(), "toro-disk: 2 00000000000000fe");
        assert_eq!(DiskDigest::parse(&line.to_string()), Some(line));
        for other in ["", "toro-disk: ", "toro-disk: x 1", "toro-disk: 1 g", "1 1"] {
            assert_eq!(DiskDigest::parse(other), None);
        }
    }

    #[test]
    fn a_digest_can_be_made_piece_by_piece() {
        let bytes = [7; 64];
        let pieces = digest(digest(EMPTY, &bytes[..24]), &bytes[24..]);
        assert_eq!(digest(EMPTY, &bytes), pieces);
        let mut other = bytes;
        other[63] = 8;
        assert_ne!(digest(EMPTY, &other), pieces);
    }
}
