//! What answers say: each parsed from its bytes, with nothing taken on trust.

use core::time::Duration;

use toro_vfs::FileType;

use crate::wire::{OUT_HEADER, Reader};

/// File types in a mode (`S_IFMT` and below).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// What a server says is believed for at most a day: a moment in the far future has no number.
const LONGEST_VALID: u64 = 86_400;
/// Bytes of the fixed part of an entry of a directory (`fuse_dirent`).
const DIRENT: usize = 24;

/// The header of an answer (`fuse_out_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// An `errno`, if the request failed.
    pub(crate) error: u32,
    /// The message that it answers.
    pub(crate) unique: u64,
}

impl Header {
    /// Reads the header of an answer of `written` bytes; `None` if it makes no sense.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (len, error) = (reader.u32()?, reader.u32()?);
        let unique = reader.u64()?;
        // Failures are negative numbers below a thousand, and answers with one are empty.
        let error = error.wrapping_neg();
        let is_fit = error == 0 || (error < 1000 && bytes.len() == OUT_HEADER);
        (len as usize == bytes.len() && is_fit).then_some(Self { error, unique })
    }
}

/// What kind of thing a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    /// A pipe, a socket, a device: nothing that can be used from here.
    Other,
}

impl Kind {
    fn from_mode(mode: u32) -> Self {
        match mode & TYPE_MASK {
            REGULAR => Self::File,
            DIRECTORY => Self::Directory,
            LINK => Self::Link,
            _ => Self::Other,
        }
    }

    /// As callers know it, if they do.
    pub(crate) fn file_type(self) -> Option<FileType> {
        match self {
            Self::File => Some(FileType::File),
            Self::Directory => Some(FileType::Directory),
            Self::Link | Self::Other => None,
        }
    }
}

/// What is known of a node (`fuse_attr`, as far as it is used).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) kind: Kind,
    pub(crate) len: u64,
    /// Seconds since 1970 (UTC).
    pub(crate) modified: u64,
}

impl Attr {
    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let (_inode, len, _blocks) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (_accessed, modified, _changed) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.bytes(12)?; // the nanoseconds of the three
        let mode = reader.u32()?;
        reader.bytes(24)?; // links, owner, group, device, block size, flags
        Some(Self {
            kind: Kind::from_mode(mode),
            len,
            // Before 1970 is a negative number.
            modified: modified.min(i64::MAX as u64),
        })
    }

    /// Reads a `fuse_attr_out`: what is known, and for how long it may be believed.
    pub(crate) fn parse_answer(mut body: &[u8]) -> Option<(Self, Duration)> {
        let mut reader = Reader(body);
        let (seconds, nanos) = (reader.u64()?, reader.u32()?);
        reader.u32()?;
        body = reader.0;
        let mut reader = Reader(body);
        let attr = Self::parse(&mut reader)?;
        Some((attr, validity(seconds, nanos)))
    }
}

/// A name that was looked up or made (`fuse_entry_out`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 0 if there is nothing of that name.
    pub(crate) node: u64,
    pub(crate) attr: Attr,
    /// How long the name may be believed to mean this node.
    pub(crate) valid: Duration,
    /// How long the attributes may be believed.
    pub(crate) attr_valid: Duration,
}

impl Entry {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let (node, _generation) = (reader.u64()?, reader.u64()?);
        let (seconds, attr_seconds) = (reader.u64()?, reader.u64()?);
        let (nanos, attr_nanos) = (reader.u32()?, reader.u32()?);
        Some(Self {
            node,
            attr: Attr::parse(reader)?,
            valid: validity(seconds, nanos),
            attr_valid: validity(attr_seconds, attr_nanos),
        })
    }
}

/// The handle of a file or directory that was opened (`fuse_open_out`).
pub(crate) fn handle(reader: &mut Reader<'_>) -> Option<u64> {
    let handle = reader.u64()?;
    reader.u64()?;
    Some(handle)
}

/// How much a share holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that can still be written.
    pub free: u64,
}

impl Space {
    /// Reads a `fuse_statfs_out`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let (blocks, _free, available) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.bytes(16)?; // nodes, and how many of them are free
        let (_block, _longest_name, unit) = (reader.u32()?, reader.u32()?, reader.u32()?);
        Some(Self {
            bytes: blocks.saturating_mul(u64::from(unit)),
            free: available.saturating_mul(u64::from(unit)),
        })
    }
}

/// An entry of a directory, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dirent<'a> {
    /// Where the next one is.
    pub(crate) next: u64,
    /// What it is, where the listing does not say more.
    pub(crate) kind: Kind,
    pub(crate) name: &'a [u8],
    /// What a lookup would answer, if the server says.
    pub(crate) entry: Option<Entry>,
}

impl<'a> Dirent<'a> {
    /// Reads the next entry of a listing, with what a lookup would answer in front if `plus`; `None` behind the last, or where it is cut off.
    pub(crate) fn parse(listing: &mut Reader<'a>, plus: bool) -> Option<Self> {
        let mut reader = *listing;
        let entry = match plus {
            true => Some(Entry::parse(&mut reader)?),
            false => None,
        };
        let (_inode, next) = (reader.u64()?, reader.u64()?);
        let (len, kind) = (reader.u32()? as usize, reader.u32()?);
        let name = reader.bytes(len)?;
        // The next one begins at a multiple of eight bytes; the last need not be filled up.
        let padding = (DIRENT + len).next_multiple_of(8) - (DIRENT + len);
        reader.bytes(padding.min(reader.0.len()))?;
        *listing = reader;
        Some(Self {
            next,
            // `d_type` is the upper part of a mode.
            kind: Kind::from_mode(kind.wrapping_shl(12)),
            name,
            entry,
        })
    }
}

fn validity(seconds: u64, nanos: u32) -> Duration {
    Duration::from_secs(seconds.min(LONGEST_VALID)) + Duration::from_nanos(u64::from(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_contradict_themselves_are_refused() {
        let header = |len: u32, error: i32, total: usize| {
            let mut bytes = std::vec![0; total];
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            bytes[4..8].copy_from_slice(&error.to_le_bytes());
            bytes[8..16].copy_from_slice(&77u64.to_le_bytes());
            Header::parse(&bytes)
        };
        let good = |error| Some(Header { error, unique: 77 });
        assert_eq!(header(16, 0, 16), good(0));
        assert_eq!(header(20, 0, 20), good(0));
        assert_eq!(header(16, -2, 16), good(2));
        assert_eq!(header(20, -2, 20), None, "a failure with a body");
        assert_eq!(header(16, 2, 16), None, "a failure that is none");
        assert_eq!(header(16, -1000, 16), None);
        assert_eq!(header(17, 0, 16), None, "longer than what was written");
        assert_eq!(header(16, 0, 20), None);
        assert_eq!(Header::parse(&[0; 15]), None);
    }

    #[test]
    fn entries_of_a_directory_end_where_the_listing_does() {
        let mut listing = std::vec::Vec::new();
        for (next, name) in [(5u64, &b"a"[..]), (9, b"12345678"), (12, b"")] {
            listing.extend([0; 8]);
            listing.extend(next.to_le_bytes());
            listing.extend(u32::try_from(name.len()).expect("short").to_le_bytes());
            listing.extend(4u32.to_le_bytes());
            listing.extend(name);
            listing.resize(listing.len().next_multiple_of(8), 0);
        }
        let mut reader = Reader(&listing);
        let mut next =
            || Dirent::parse(&mut reader, false).map(|dirent| (dirent.next, dirent.name));
        assert_eq!(next(), Some((5, &b"a"[..])));
        assert_eq!(next(), Some((9, &b"12345678"[..])));
        assert_eq!(next(), Some((12, &b""[..])));
        assert_eq!(next(), None);
        let dirent = Dirent::parse(&mut Reader(&listing), false).expect("the first");
        assert_eq!(dirent.kind, Kind::Directory);
        for end in 0..25 {
            assert_eq!(Dirent::parse(&mut Reader(&listing[..end]), false), None);
        }
        assert!(
            Dirent::parse(&mut Reader(&listing[..25]), false).is_some(),
            "unpadded"
        );
        // A name that claims to be longer than the listing.
        listing[16..20].fill(0xff);
        assert_eq!(Dirent::parse(&mut Reader(&listing), false), None);
    }

    #[test]
    fn moments_in_the_far_future_are_bounded() {
        let day = Duration::from_secs(LONGEST_VALID);
        assert!(validity(u64::MAX, u32::MAX) < day + Duration::from_secs(5));
        assert_eq!(validity(1, 5), Duration::new(1, 5));
    }
}
