//! [`Memory`]: the memory of a machine, as files that QEMU has open too.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use crate::bytes::{long, word};

/// The memory of a machine.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Region>);

#[derive(Debug)]
struct Region {
    /// Where it begins for the guest, and for QEMU, which names rings by its own addresses.
    guest: u64,
    qemu: u64,
    len: u64,
    /// Where it begins in the file.
    offset: u64,
    file: File,
}

/// An address, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Guest(u64),
    Qemu(u64),
}

impl Place {
    pub(crate) fn plus(self, offset: u64) -> Self {
        match self {
            Self::Guest(at) => Self::Guest(at.wrapping_add(offset)),
            Self::Qemu(at) => Self::Qemu(at.wrapping_add(offset)),
        }
    }
}

impl Memory {
    /// The memory that QEMU describes.
    pub(crate) fn parse(payload: &[u8], files: Vec<OwnedFd>) -> Self {
        let count = word(payload, 0) as usize;
        let entries = payload.get(8..).unwrap_or(&[]).chunks_exact(32).take(count);
        let regions = entries.zip(files).map(|(entry, file)| Region {
            guest: long(entry, 0),
            len: long(entry, 8),
            qemu: long(entry, 16),
            offset: long(entry, 24),
            file: file.into(),
        });
        Self(regions.collect())
    }

    pub(crate) fn read(&self, place: Place, bytes: &mut [u8]) -> io::Result<()> {
        let (file, offset) = self.find(place, bytes.len())?;
        file.read_exact_at(bytes, offset)
    }

    pub(crate) fn write(&self, place: Place, bytes: &[u8]) -> io::Result<()> {
        let (file, offset) = self.find(place, bytes.len())?;
        file.write_all_at(bytes, offset)
    }

    pub(crate) fn half(&self, place: Place) -> io::Result<u16> {
        let mut bytes = [0; 2];
        self.read(place, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// The file and the place in it where `len` bytes lie.
    fn find(&self, place: Place, len: usize) -> io::Result<(&File, u64)> {
        let found = self.0.iter().find_map(|region| {
            let offset = match place {
                Place::Guest(at) => at.checked_sub(region.guest)?,
                Place::Qemu(at) => at.checked_sub(region.qemu)?,
            };
            let end = offset.checked_add(len as u64)?;
            (end <= region.len).then_some((&region.file, region.offset + offset))
        });
        found.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "no memory of the machine"))
    }
}
