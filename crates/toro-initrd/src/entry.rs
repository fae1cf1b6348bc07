//! [`Entry`]: a member of an archive, whatever the format; [`Reader`] takes one after the other.

use alloc::borrow::Cow;
use core::fmt;

use crate::{cpio, tar};

/// Why an archive cannot be used, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveError {
    /// What is wrong.
    pub cause: Cause,
    /// Where the member starts, in bytes from the start of the archive.
    pub offset: usize,
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is neither a ustar nor a newc header.
    UnknownFormat,
    /// The header, or the data it announces, runs beyond the end.
    Truncated,
    /// The header has a wrong checksum.
    BadChecksum,
    /// A number is none, or too large.
    BadNumber,
    /// A name is empty, not UTF-8, too long, too deep, or holds NUL or `..`.
    BadName,
    /// A record of a pax header is malformed.
    BadPaxRecord,
    /// The file is stored as a sparse file.
    Sparse,
    /// A file is the directory of another entry.
    FileAsDirectory,
    /// More hard links wait for their data than anybody has.
    TooManyLinks,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownFormat => "neither a ustar nor a newc header",
            Self::Truncated => "the archive ends too early",
            Self::BadChecksum => "wrong checksum of a header",
            Self::BadNumber => "malformed number in a header",
            Self::BadName => "a name that is not allowed",
            Self::BadPaxRecord => "malformed pax record",
            Self::Sparse => "sparse files are not supported",
            Self::FileAsDirectory => "a file lies inside another file",
            Self::TooManyLinks => "too many hard links",
        })
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.cause, self.offset)
    }
}

impl core::error::Error for ArchiveError {}

/// What a member holds.
#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    File(&'a [u8]),
    Directory,
    /// A hard or symbolic link to this path, from the root of the archive.
    Link(Cow<'a, str>),
    /// One of several names of a file, whose data come with another member of this key.
    Shared(cpio::FileKey),
}

/// A file, directory or link of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// In the normal form of `toro_vfs`.
    pub(crate) path: Cow<'a, str>,
    pub(crate) content: Content<'a>,
    /// Seconds since 1970 (UTC).
    pub(crate) modified: u64,
    /// The key under which other members wait for this one's data.
    pub(crate) provides: Option<cpio::FileKey>,
}

/// What a format found in a member, and how long that is with its padding.
pub(crate) struct Member<'a> {
    /// `None` for members that are no entries: headers for the next one, devices, trailers.
    pub(crate) entry: Option<Entry<'a>>,
    pub(crate) len: usize,
}

/// Takes the members of an archive one after the other.
pub(crate) struct Reader<'a> {
    archive: &'a [u8],
    position: usize,
    /// What extended headers said of the next tar member.
    extended: tar::Extended<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(archive: &'a [u8]) -> Self {
        Self {
            archive,
            position: 0,
            extended: tar::Extended::default(),
        }
    }

    /// Reads the next entry; `None` at the end. The second part is where its member starts.
    pub(crate) fn next_entry(&mut self) -> Result<Option<(Entry<'a>, usize)>, ArchiveError> {
        loop {
            let rest = &self.archive[self.position..];
            let Some(zeros) = rest.iter().position(|&byte| byte != 0) else {
                return Ok(None);
            };
            self.position += zeros;
            let offset = self.position;
            let member = self
                .member(&self.archive[offset..])
                .map_err(|cause| ArchiveError { cause, offset })?;
            // The padding of the last member may be missing.
            self.position = offset.saturating_add(member.len).min(self.archive.len());
            if let Some(entry) = member.entry {
                return Ok(Some((entry, offset)));
            }
        }
    }

    fn member(&mut self, bytes: &'a [u8]) -> Result<Member<'a>, Cause> {
        // A tar member may be called "070701" too; then its checksum tells.
        if cpio::is_header(bytes) && !tar::is_valid_header(bytes) {
            self.extended = tar::Extended::default();
            cpio::member(bytes)
        } else if tar::is_header(bytes) {
            tar::member(bytes, &mut self.extended)
        } else {
            Err(Cause::UnknownFormat)
        }
    }
}
