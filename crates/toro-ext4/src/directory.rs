//! The entries of a directory, one after the other. The index of a large one is passed over: to who does not know it, it is free space.

use alloc::string::String;

use toro_vfs::FileError;

use crate::bytes::{long, word};
use crate::inode::Inode;
use crate::volume::Volume;

/// Bytes of an entry before its name.
const HEADER: usize = 8;

/// Longest directory, in bytes: about a million names. A disk that lies could say that one is endless.
const LONGEST: u64 = 64 << 20;

/// An entry that leads somewhere.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) inode: u32,
    pub(crate) name: [u8; 255],
    pub(crate) name_len: usize,
}

impl Slot {
    pub(crate) fn name(&self) -> &[u8] {
        &self.name[..self.name_len]
    }
}

impl Inode {
    /// The entry at `cursor`, in bytes, or the first behind it, without `.` and `..`; the cursor goes behind it.
    pub(crate) fn next_slot(
        &self,
        volume: &mut Volume,
        cursor: &mut u64,
    ) -> Result<Option<Slot>, FileError> {
        if self.len > LONGEST {
            return Err(FileError::TooLarge);
        }
        while *cursor < self.len {
            let mut header = [0; HEADER];
            if self.read_at(volume, *cursor, &mut header)? < HEADER {
                return Err(FileError::Corrupt);
            }
            let (len, name_len) = (self.slot_len(volume, &header), usize::from(header[6]));
            let within = *cursor % volume.block;
            let is_sane = len.is_multiple_of(4)
                && len >= (HEADER + name_len) as u64
                && within + len <= volume.block;
            if !is_sane {
                return Err(FileError::Corrupt);
            }
            let start = *cursor + HEADER as u64;
            *cursor += len;
            let inode = long(&header, 0);
            if inode == 0 || name_len == 0 {
                continue;
            }
            let mut name = [0; 255];
            self.read_at(volume, start, &mut name[..name_len])?;
            let is_listed = !matches!(&name[..name_len], b"." | b"..")
                && !name[..name_len].iter().any(|byte| matches!(byte, 0 | b'/'));
            if is_listed {
                return Ok(Some(Slot {
                    inode,
                    name,
                    name_len,
                }));
            }
        }
        Ok(None)
    }

    /// The inode of that name.
    pub(crate) fn find(&self, volume: &mut Volume, name: &str) -> Result<u32, FileError> {
        let mut cursor = 0;
        while let Some(slot) = self.next_slot(volume, &mut cursor)? {
            if slot.name() == name.as_bytes() {
                return Ok(slot.inode);
            }
        }
        Err(FileError::NotFound)
    }

    /// Bytes of an entry. In blocks of 64 KiB those of a whole block do not fit in the number.
    fn slot_len(&self, volume: &Volume, header: &[u8; HEADER]) -> u64 {
        match word(header, 4) {
            0 | u16::MAX if volume.block == 1 << 16 => 1 << 16,
            len => u64::from(len),
        }
    }
}

/// The name as text; nobody can ask for one that is none.
pub(crate) fn text(slot: &Slot) -> Option<String> {
    str::from_utf8(slot.name()).ok().map(String::from)
}
