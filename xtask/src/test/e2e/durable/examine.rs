//! What is on a disk after a cut: mounted, replayed and held against what was appended, by the crates that the appliance is made of.

use std::fs;
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow, ensure};
use toro_cache::{BlockStore as _, MemoryStore};
use toro_fat::{FatFs, Options};
use toro_journal::{Journal, Medium, Raw};
use toro_vfs::{FileError, FileSystem as _, Mounts, OpenOptions};

use crate::process;
use crate::qemu::Format;

/// Where the journal lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Fat,
    Raw,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fat => "fat",
            Self::Raw => "raw",
        }
    }

    /// What the recipe of a disk says behind its size.
    pub(super) fn format(self) -> &'static str {
        match self {
            Self::Fat => ",fat12",
            Self::Raw => "",
        }
    }

    /// The command line.
    pub(super) fn append(self) -> &'static str {
        match self {
            Self::Fat => "mount=/data:fat:blk0 -- file=/data/journal",
            Self::Raw => "-- disk=blk0",
        }
    }
}

/// What every record begins with, before its number of six digits.
const MARK: &[u8] = b"record #";

/// The text of record `number`.
pub(super) fn record(number: u64) -> String {
    let mut text = format!("record #{number:06}");
    let len = usize::try_from(20 + number * 131 % 1900).expect("it is small");
    let letters = ('a'..='z')
        .cycle()
        .skip(usize::try_from(number % 26).expect("it is small"));
    text.extend(letters.take(len));
    text
}

/// The numbers of the records whose beginning lies in `bytes`.
pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let windows = bytes
        .windows(MARK.len() + 6)
        .filter(|window| window.starts_with(MARK));
    windows.filter_map(|window| str::from_utf8(&window[MARK.len()..]).ok()?.parse().ok())
}

/// The number of records that a disk of that kind holds; each is what was appended.
///
/// With `with_checker`, the file system is also examined by the host's program afterwards.
pub(super) fn replayed(kind: Kind, disk: Vec<u8>, with_checker: bool) -> Result<u64> {
    let store = Rc::new(MemoryStore::new(disk));
    if let Kind::Raw = kind {
        return count(Raw::new(store));
    }
    let options = Options {
        cache_bytes: 0,
        clock: || 1_700_000_000,
    };
    let mounted = FatFs::mount(store.clone(), options);
    let file_system = Rc::new(mounted.map_err(|error| anyhow!("it does not mount: {error}"))?);
    let mut mounts = Mounts::new();
    mounts.mount("/", file_system.clone()).map_err(plain)?;
    let mut wanted = OpenOptions::new();
    let place = mounts.resolve("/journal").map_err(plain)?;
    let records = match place.open_with(wanted.read(true).write(true)) {
        // The cut came before there was one.
        Err(FileError::NotFound) => 0,
        opened => count(opened.map_err(plain)?)?,
    };
    file_system.sync_all().map_err(plain)?;
    if with_checker {
        check(&store)?;
    }
    Ok(records)
}

fn count(medium: impl Medium) -> Result<u64> {
    let journal = Journal::open(medium).map_err(|error| anyhow!("it does not replay: {error}"))?;
    for number in 0..journal.records() {
        let found = journal.read(number).map_err(plain)?;
        let found = found.with_context(|| format!("record {number} is gone"))?;
        ensure!(
            found == record(number).as_bytes(),
            "record {number} is another"
        );
    }
    Ok(journal.records())
}

/// Has `fsck.fat` look at the volume.
fn check(store: &MemoryStore) -> Result<()> {
    ensure!(store.sectors() > 0, "it has no sectors");
    let name = format!("toro-durable-{}.img", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, store.to_vec())?;
    let outcome = process::output(&mut Format::Fat(12).checker(&path));
    fs::remove_file(&path)?;
    outcome.map(drop)
}

fn plain(error: FileError) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::{numbers, record};

    #[test]
    fn records_are_seen_in_bytes() {
        let bytes = [
            &[0; 99][..],
            record(7).as_bytes(),
            record(123).as_bytes(),
            b"record #00",
        ]
        .concat();
        assert_eq!(numbers(&bytes).collect::<Vec<_>>(), [7, 123]);
    }
}
