//! [`Inode`]: what is known of a file, a directory or a link, and the reading of its bytes.

use toro_vfs::{FileError, FileType, Metadata};

use crate::bytes::{long, wide, word};
use crate::volume::Volume;

/// The root directory.
pub(crate) const ROOT: u32 = 2;

/// Bytes of the map in an inode.
pub(crate) const MAP: usize = 60;

/// The map is a tree of extents.
const EXTENTS: u32 = 0x8_0000;
/// The bytes lie in the inode, or are encrypted: both need features that no mounted volume has.
const ELSEWHERE: u32 = 0x1000_0000 | 0x800;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// What the disk says of a file, a directory or a link.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    pub(crate) len: u64,
    modified: u64,
    pub(crate) has_extents: bool,
    pub(crate) map: [u8; MAP],
}

impl Inode {
    pub(crate) fn read(volume: &mut Volume, number: u32) -> Result<Self, FileError> {
        let place = volume.inode_place(number)?;
        let mut bytes = [0; 160];
        let len = usize::from(volume.inode_len).min(bytes.len());
        volume.read(place, &mut bytes[..len])?;
        let kind = match word(&bytes, 0) >> 12 {
            0x8 => Kind::File,
            0x4 => Kind::Directory,
            0xa => Kind::Link,
            _ => Kind::Other,
        };
        let flags = long(&bytes, 32);
        if flags & ELSEWHERE != 0 {
            return Err(FileError::Unsupported);
        }
        Ok(Self {
            kind,
            len: wide(long(&bytes, 108), long(&bytes, 4)),
            modified: modified(&bytes),
            has_extents: flags & EXTENTS != 0,
            map: core::array::from_fn(|at| bytes[40 + at]),
        })
    }

    /// What a caller may know; `None` of what is neither file nor directory.
    pub(crate) fn metadata(&self) -> Option<Metadata> {
        let (file_type, len) = match self.kind {
            Kind::File => (FileType::File, self.len),
            Kind::Directory => (FileType::Directory, 0),
            Kind::Link | Kind::Other => return None,
        };
        Some(Metadata::new(file_type, len, self.modified))
    }

    /// Reads from `offset` on and returns the number of bytes; what the file has no blocks for is zeros.
    pub(crate) fn read_at(
        &self,
        volume: &mut Volume,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, FileError> {
        let rest = self.len.saturating_sub(offset);
        let len = buf.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = at % volume.block;
            let run = self.run(volume, at / volume.block)?;
            let bytes = run.blocks.saturating_mul(volume.block) - within;
            let count = usize::try_from(bytes).unwrap_or(usize::MAX).min(len - done);
            let part = &mut buf[done..done + count];
            match run.place {
                Some(place) => volume.read_run(place, run.blocks, within, part)?,
                None => part.fill(0),
            }
            done += count;
        }
        Ok(len)
    }
}

/// When it was last changed, in seconds since 1970: 32 bits with a sign, and two more in newer inodes.
fn modified(bytes: &[u8]) -> u64 {
    let seconds = i64::from(long(bytes, 16).cast_signed());
    let has_more = word(bytes, 128) >= 12;
    let epoch = if has_more { long(bytes, 136) & 3 } else { 0 };
    u64::try_from(seconds + (i64::from(epoch) << 32)).unwrap_or(0)
}
