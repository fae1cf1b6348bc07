//! Power cuts at any moment: what was synced is there, and the volume is whole after it was mounted again.

use std::rc::Rc;

use crate::disk::{FORMATS, assert_clean, formatted, mounted, open};
use crate::recorder::Recorder;
use toro_cache::{MemoryStore, StoreError};
use toro_fsx::Random;
use toro_vfs::{FileError, FileSystem, IoError, Mounts};

/// What was synced when so many events had happened: a path and what the file holds, or that it is gone.
type Promise = (usize, String, Option<Vec<u8>>);

/// Writes, renames and removes files, and notes what it was promised.
fn work(mounts: &Mounts, store: &Recorder, random: &mut Random) -> Vec<Promise> {
    let mut promises = Vec::new();
    let place = |path: &str| mounts.resolve(path).map(|_| path.to_owned());
    for directory in ["/one", "/two"] {
        let place = mounts.resolve(directory).expect("the root is mounted");
        place.create_dir().expect("there is room");
    }
    for round in 0..60_u64 {
        let directory = ["/one", "/two"][random.index(2)];
        let path = format!("{directory}/A long file name {}.log", random.below(6));
        let path = place(&path).expect("the root is mounted");
        match random.below(10) {
            0 => {
                let found = mounts.resolve(&path).expect("the root is mounted");
                if found.remove_file().is_ok() {
                    let file = open(mounts, "/sync").expect("there is room");
                    file.sync_all().expect("the store works");
                    promises.push((store.events.borrow().len(), path, None));
                }
            }
            1..3 => {
                let to = format!("/two/renamed {round}");
                let found = mounts.resolve(&path).expect("the root is mounted");
                let target = mounts.resolve(&to).expect("the root is mounted");
                let _ = found.rename(target);
            }
            _ => {
                let mut file = open(mounts, &path).expect("there is room");
                let len = 1 + random.index(30_000);
                let fill = round.to_le_bytes()[0] | 0x80;
                file.set_len(0).expect("a file can be cut");
                file.write_all(&vec![fill; len]).expect("there is room");
                if random.below(2) == 0 {
                    file.sync_all().expect("the store works");
                    let events = store.events.borrow().len();
                    promises.push((events, path, Some(vec![fill; len])));
                }
            }
        }
    }
    promises
}

/// Holds the disk after a cut behind `events` events against what was promised and not changed since.
fn check(disk: Vec<u8>, context: &str) -> Mounts {
    let store = Rc::new(MemoryStore::new(disk));
    let (mounts, file_system) = mounted(store.clone());
    // Everything that has a name can be read to its end.
    for directory in ["/", "/one", "/two"] {
        let Ok(listed) = mounts.resolve(directory).and_then(|place| place.read_dir()) else {
            continue;
        };
        for entry in listed {
            let entry = entry.unwrap_or_else(|error| panic!("{context}: {error}"));
            if entry.file_type() == toro_vfs::FileType::File {
                let path = format!("{directory}/{}", entry.name());
                let read = mounts.resolve(&path).and_then(|place| place.open());
                let read = read.and_then(|mut file| file.read_to_end());
                read.unwrap_or_else(|error| panic!("{context}: {path}: {error}"));
            }
        }
    }
    file_system.sync_all().expect("the store works");
    assert_clean(&store.to_vec());
    mounts
}

#[test]
fn no_power_cut_breaks_the_volume_or_a_promise() {
    for (number, (name, options, len)) in FORMATS.into_iter().enumerate() {
        let Some(image) = formatted(options, len.min(34 << 20)) else {
            return;
        };
        let store = Rc::new(Recorder::new(image));
        let (mounts, file_system) = mounted(store.clone());
        let mut random = Random::new(number as u64);
        // One file is only appended to: what was acknowledged must be its beginning.
        let log = open(&mounts, "/log").expect("there is room");
        let mut acknowledged = vec![(store.events.borrow().len(), 0)];
        for record in 0..40_u64 {
            let bytes = vec![record.to_le_bytes()[0] + 1; 700];
            log.write_at(&bytes, record * 700).expect("there is room");
            if record % 2 == 0 {
                log.sync_data().expect("the store works");
                acknowledged.push((store.events.borrow().len(), (record + 1) * 700));
            }
        }
        let promises = work(&mounts, &store, &mut random);
        let events = store.events.borrow().len();
        for _ in 0..30 {
            let behind = 1 + random.index(events);
            let disk = store.cut(behind, || random.below(2) == 0);
            let context = format!("{name}, behind event {behind}");
            let mounts = check(disk, &context);
            let done = acknowledged.iter().rfind(|(at, _)| *at <= behind);
            if let Some((_, len)) = done.filter(|(_, len)| *len > 0) {
                let read = mounts.resolve("/log").and_then(|place| place.open());
                let read = read.and_then(|mut file| file.read_to_end());
                let read = read.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert!(read.len() as u64 >= *len, "{context}");
                let right = (0..).zip(&read[..usize::try_from(*len).expect("it is small")]);
                assert!(
                    right
                        .clone()
                        .all(|(at, byte): (usize, _)| at / 700 + 1 == usize::from(*byte)),
                    "{context}"
                );
            }
        }
        // Behind the very last promise nothing of it was changed any more.
        if let Some((at, path, content)) = promises.last() {
            let disk = store.cut(*at, || random.below(2) == 0);
            let mounts = check(disk, name);
            let read = mounts.resolve(path).and_then(|place| place.open());
            let read = read.and_then(|mut file| file.read_to_end());
            assert!(read.ok() == *content, "{name}: {path}");
        }
        file_system.sync_all().expect("the store works");
        assert_clean(&store.to_vec());
        println!("{name}: {events} writes and flushes");
    }
}

#[test]
fn failures_of_the_disk_reach_the_caller_and_stay() {
    let Some(image) = formatted(FORMATS[1].1, FORMATS[1].2) else {
        return;
    };
    for (error, expected) in [
        (StoreError::Write, IoError::Write),
        (StoreError::Flush, IoError::Flush),
    ] {
        let store = Rc::new(Recorder::new(image.clone()));
        let (mounts, _) = mounted(store.clone());
        let file = open(&mounts, "/file").expect("there is room");
        file.write_at(b"text", 0).expect("there is room");
        store.failing.set(Some(error));
        assert_eq!(file.sync_all(), Err(FileError::Io(expected)));
        store.failing.set(None);
        assert_eq!(file.sync_all(), Err(FileError::Io(expected)), "it stays");
    }
}

#[test]
fn a_disk_without_flush_makes_sync_an_error() {
    let Some(image) = formatted(FORMATS[0].1, FORMATS[0].2) else {
        return;
    };
    let store = Rc::new(Recorder::new(image));
    store.can_flush.set(false);
    let (mounts, _) = mounted(store);
    let file = open(&mounts, "/file").expect("there is room");
    file.write_at(b"text", 0).expect("there is room");
    assert_eq!(file.sync_data(), Err(FileError::Io(IoError::NoFlush)));
}
