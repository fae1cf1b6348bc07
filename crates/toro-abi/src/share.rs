//! What a test image and its host both know of a folder that they share: what the host puts there, and [`ShareDigest`], what the image
//! found at the end.

use core::fmt;

use crate::digest::digest;

/// What every line starts with.
const START: &str = "toro-share: ";

/// The folder, below the share, whose files are the image's; all else is the host's.
pub const WORK: &str = "work";

/// A file of the host: its path below the share, and how many bytes of [`pattern`] it has.
pub const HOST_FILE: (&str, usize) = ("host/large", 3_000_001);

/// Links of the host: their paths below the share, and where they lead. The first three lead to [`HOST_FILE`], the others nowhere.
pub const HOST_LINKS: [(&str, &str); 6] = [
    ("host/relative", "../host/large"),
    ("host/absolute", "/host/large"),
    ("host/high", "../../../../host/./large"),
    ("host/circle", "circle"),
    ("host/missing", "nothing"),
    ("host/outside", "/../../etc/hostname"),
];

/// The byte at `at` of the host's file.
pub fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0]
}

/// A digest of all files in [`WORK`], with their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareDigest(pub u64);

impl ShareDigest {
    /// Nothing so far.
    pub const EMPTY: Self = Self(crate::digest::EMPTY);

    /// Continues with a file; in the order of the paths, which are relative to the folder.
    #[must_use]
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        let path = padded(self.0, path.as_bytes());
        Self(padded(path, bytes))
    }

    /// Reads a line; `None` if it is another one.
    pub fn parse(line: &str) -> Option<Self> {
        let digest = line.strip_prefix(START)?;
        u64::from_str_radix(digest, 16).ok().map(Self)
    }
}

impl fmt::Display for ShareDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{START}{:016x}", self.0)
    }
}

/// Continues a digest with all of `bytes` and their number.
fn padded(so_far: u64, bytes: &[u8]) -> u64 {
    let (_, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    last[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    digest(digest(so_far, bytes), &last)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString as _;

    use super::ShareDigest;

    #[test]
    fn every_byte_counts() {
        let of = |path: &str, bytes: &[u8]| ShareDigest::EMPTY.file(path, bytes);
        let digests = [
            of("a", b""),
            of("a", b"\0"),
            of("a", b"\0\0"),
            of("a\0", b""),
            of("a", b"12345678"),
            of("a", b"123456789"),
            of("a", b"").file("b", b""),
        ];
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest), "{at}");
            assert_eq!(ShareDigest::parse(&digest.to_string()), Some(*digest));
        }
        assert_eq!(ShareDigest::parse("toro-share: x"), None);
    }
}
