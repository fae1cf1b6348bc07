//! [`Recording`]: what QEMU's `blklogwrites` has recorded, in the form of Linux's `dm-log-writes`.
//!
//! A sector with a magic number, the version, the number of entries and the size of a sector; then an entry after the other, each in a
//! sector of its own, with its bytes behind it. (Linux, Documentation/admin-guide/device-mapper/log-writes.rst.)

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::examine;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR: usize = 512;

/// Flags of an entry.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// What happened to a disk.
#[derive(Debug)]
pub(super) struct Recording {
    writes: Vec<Write>,
    /// How many writes had happened at each flush.
    flushes: Vec<usize>,
}

/// A write.
#[derive(Debug)]
pub(super) struct Write {
    sector: usize,
    bytes: Vec<u8>,
    /// The highest number of a record that the bytes show.
    pub(super) newest: Option<u64>,
}

impl Recording {
    /// Reads what `blklogwrites` wrote to the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Self::parse(BufReader::new(file)).context("the recording of the disk")
    }

    fn parse(mut log: impl Read) -> Result<Self> {
        let first = sector(&mut log)?;
        ensure!(word(&first, 0) == MAGIC, "it has another magic number");
        let count = word(&first, 16);
        let mut recording = Self {
            writes: Vec::new(),
            flushes: Vec::new(),
        };
        for _ in 0..count {
            let entry = sector(&mut log)?;
            let (flags, sectors) = (word(&entry, 16), word(&entry, 8));
            ensure!(
                flags & (FUA | DISCARD) == 0,
                "entries with flags {flags:#x} are not expected"
            );
            if flags & FLUSH != 0 {
                recording.flushes.push(recording.writes.len());
            }
            if sectors > 0 {
                let mut bytes = vec![0; usize::try_from(sectors)? * SECTOR];
                log.read_exact(&mut bytes)?;
                recording.writes.push(Write {
                    sector: usize::try_from(word(&entry, 0))?,
                    newest: examine::numbers(&bytes).max(),
                    bytes,
                });
            }
        }
        Ok(recording)
    }

    /// The writes between the flushes, and those behind the last.
    pub(super) fn spans(&self) -> Vec<&[Write]> {
        let starts = [0].into_iter().chain(self.flushes.iter().copied());
        let ends = self.flushes.iter().copied().chain([self.writes.len()]);
        starts
            .zip(ends)
            .map(|(start, end)| &self.writes[start..end])
            .collect()
    }
}

impl Write {
    /// Writes those sectors to `disk` for which `survives` says so.
    pub(super) fn apply(&self, disk: &mut [u8], mut survives: impl FnMut() -> bool) {
        for (nth, bytes) in self.bytes.chunks(SECTOR).enumerate() {
            let at = (self.sector + nth) * SECTOR;
            if survives() {
                disk[at..at + SECTOR].copy_from_slice(bytes);
            }
        }
    }
}

fn sector(log: &mut impl Read) -> Result<[u8; SECTOR]> {
    let mut bytes = [0; SECTOR];
    log.read_exact(&mut bytes).context("it ends too early")?;
    Ok(bytes)
}

fn word(bytes: &[u8; SECTOR], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|nth| bytes[at + nth]))
}

#[cfg(test)]
mod tests {
    use super::{FLUSH, MAGIC, Recording, SECTOR};

    fn entry(words: &[u64]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        bytes
    }

    #[test]
    fn writes_lie_between_flushes() {
        let log = [
            entry(&[MAGIC, 1, 4, 512]),
            entry(&[2, 1, 0, 0]),
            vec![7; SECTOR],
            entry(&[0, 0, FLUSH, 0]),
            entry(&[0, 2, 0, 0]),
            vec![8; 2 * SECTOR],
            entry(&[0, 0, FLUSH, 0]),
        ];
        let recording = Recording::parse(&log.concat()[..]).unwrap();
        let spans = recording.spans();
        assert_eq!(
            spans.iter().map(|span| span.len()).collect::<Vec<_>>(),
            [1, 1, 0]
        );
        let mut disk = vec![0; 3 * SECTOR];
        spans[0][0].apply(&mut disk, || true);
        let mut kept = [false, true].into_iter();
        spans[1][0].apply(&mut disk, || kept.next().unwrap());
        assert_eq!([disk[0], disk[SECTOR], disk[2 * SECTOR]], [0, 8, 7]);
        assert!(Recording::parse(&log[..2].concat()[..]).is_err());
        assert!(Recording::parse(&[0; SECTOR][..]).is_err());
    }
}
