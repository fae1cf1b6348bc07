//! [`Raw`]: the 32 bytes of a slot in a directory, read as a short entry.

use toro_cache::Order;
use toro_vfs::{FileError, FileType};

use crate::geometry::Kind;
use crate::time;
use crate::volume::Volume;

/// Bytes of a slot.
pub(crate) const SLOT: usize = 32;

/// The first byte of a slot that was freed.
pub(crate) const FREED: u8 = 0xe5;

/// The attribute of a part of a long name.
pub(crate) const LONG_NAME: u8 = 0x0f;

const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;

/// The bytes of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) [u8; SLOT]);

impl Raw {
    /// An entry for something new, without a name yet.
    pub(crate) fn new(file_type: FileType, now: u64) -> Self {
        let mut raw = Self([0; SLOT]);
        raw.0[11] = match file_type {
            FileType::File => ARCHIVE,
            FileType::Directory => DIRECTORY,
        };
        let (date, time) = time::encode(now);
        raw.set_word(14, time);
        raw.set_word(16, date);
        raw.set_word(18, date);
        raw.set_modified(now);
        raw
    }

    pub(crate) fn short_name(&self) -> [u8; 11] {
        core::array::from_fn(|at| self.0[at])
    }

    pub(crate) fn set_short_name(&mut self, name: [u8; 11]) {
        self.0[..11].copy_from_slice(&name);
        // The bits for lower case belong to the old name.
        self.0[12] = 0;
    }

    pub(crate) fn attributes(&self) -> u8 {
        self.0[11]
    }

    /// Whether it is `.` or `..`.
    pub(crate) fn is_dot(&self) -> bool {
        self.0[0] == b'.' && self.is_directory()
    }

    /// Whether it names a file or directory.
    pub(crate) fn is_node(&self) -> bool {
        !matches!(self.0[0], 0 | FREED) && self.attributes() & LABEL == 0
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.attributes() & DIRECTORY != 0
    }

    pub(crate) fn is_file(&self) -> bool {
        self.is_node() && !self.is_directory()
    }

    pub(crate) fn file_type(&self) -> FileType {
        if self.is_directory() {
            FileType::Directory
        } else {
            FileType::File
        }
    }

    /// The first cluster; 0 if there is none. It is not checked.
    pub(crate) fn first(&self, kind: Kind) -> u32 {
        let high = match kind {
            Kind::Fat32 => u32::from(self.word(20)),
            Kind::Fat12 | Kind::Fat16 => 0,
        };
        high << 16 | u32::from(self.word(26))
    }

    pub(crate) fn set_first(&mut self, first: u32) {
        let bytes = first.to_le_bytes();
        self.0[26..28].copy_from_slice(&bytes[..2]);
        self.0[20..22].copy_from_slice(&bytes[2..]);
    }

    pub(crate) fn len(&self) -> u32 {
        u32::from(self.word(28)) | u32::from(self.word(30)) << 16
    }

    pub(crate) fn set_len(&mut self, len: u32) {
        self.0[28..].copy_from_slice(&len.to_le_bytes());
    }

    pub(crate) fn modified(&self) -> u64 {
        time::decode(self.word(24), self.word(22))
    }

    pub(crate) fn set_modified(&mut self, now: u64) {
        let (date, time) = time::encode(now);
        self.set_word(22, time);
        self.set_word(24, date);
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn set_word(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
}

impl Volume {
    /// The slot at that place.
    pub(crate) fn raw(&mut self, place: u64) -> Result<Raw, FileError> {
        let mut raw = Raw([0; SLOT]);
        self.read(place, &mut raw.0)?;
        Ok(raw)
    }

    pub(crate) fn set_raw(&mut self, place: u64, raw: &Raw) -> Result<(), FileError> {
        self.write(place, &raw.0, Order::Second)
    }

    /// Frees the slots of an entry.
    pub(crate) fn free_slots(&mut self, places: &[u64]) -> Result<(), FileError> {
        for place in places {
            self.write(*place, &[FREED], Order::Second)?;
        }
        Ok(())
    }
}
