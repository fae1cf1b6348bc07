//! Journals on a raw disk in memory: replayed, torn, full, failing, cut off from power.

#[path = "../../toro-cache/tests/recorder/mod.rs"]
mod recorder;

use std::rc::Rc;

use recorder::Recorder;
use toro_cache::{MemoryStore, StoreError};
use toro_fsx::Random;
use toro_journal::{AppendError, Journal, LONGEST, Raw};
use toro_vfs::{FileError, IoError};

fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(number * 37 % 1500).expect("it is small");
    vec![number.to_le_bytes()[0]; len]
}

fn opened(bytes: Vec<u8>) -> Journal<Raw> {
    Journal::open(Raw::new(Rc::new(MemoryStore::new(bytes)))).expect("memory does not fail")
}

#[test]
fn records_are_replayed_and_found_by_number() {
    let store = Rc::new(MemoryStore::new(vec![0; 1 << 20]));
    for start in [0, 200, 400] {
        let mut journal = Journal::open(Raw::new(store.clone())).expect("memory does not fail");
        assert_eq!(journal.records(), start);
        for number in start..start + 200 {
            assert_eq!(journal.append(&payload(number)), Ok(number));
            assert!(!journal.is_stable(number));
        }
        journal.sync().expect("memory does not fail");
        assert!(journal.is_stable(start + 199));
        for number in 0..start + 200 {
            assert_eq!(journal.read(number), Ok(Some(payload(number))));
        }
        assert_eq!(journal.read(start + 200), Ok(None));
    }
}

#[test]
fn limits_are_errors() {
    let mut journal = opened(vec![0; 256 << 10]);
    assert_eq!(
        journal.append(&vec![1; LONGEST + 1]),
        Err(AppendError::TooLong)
    );
    for number in 0..3 {
        assert_eq!(journal.append(&vec![2; LONGEST]), Ok(number));
    }
    let full = Err(AppendError::Medium(FileError::NoSpace));
    assert_eq!(journal.append(&vec![3; LONGEST]), full);
    assert_eq!(journal.append(b"a small one fits"), Ok(3));
    assert_eq!(journal.sync(), Ok(()));
    assert_eq!(opened(vec![]).append(b"x"), full);
}

#[test]
fn what_is_no_journal_is_an_empty_one() {
    for byte in [0, 1, 0xff, b'T'] {
        let mut journal = opened(vec![byte; 8192]);
        assert_eq!(journal.records(), 0);
        assert_eq!(journal.append(b"first"), Ok(0));
    }
}

#[test]
fn a_failure_stays() {
    for (error, expected) in [
        (StoreError::Flush, IoError::Flush),
        (StoreError::Write, IoError::Write),
    ] {
        let store = Rc::new(Recorder::new(vec![0; 64 << 10]));
        let mut journal = Journal::open(Raw::new(store.clone())).expect("it works");
        journal.append(b"lost").expect("it stays in memory");
        store.failing.set(Some(error));
        assert_eq!(journal.sync(), Err(FileError::Io(expected)));
        store.failing.set(None);
        assert_eq!(journal.sync(), Err(FileError::Io(expected)));
        assert!(opened(store.to_vec()).records() <= 1, "it may be there");
        let appended = journal.append(b"more");
        assert_eq!(appended, Err(AppendError::Medium(FileError::Io(expected))));
    }
}

/// A journal is cut off, opened, appended to and cut off again; nothing that counted is lost, and nothing comes back.
#[test]
fn no_power_cut_loses_what_counted() {
    let mut random = Random::new(1);
    for _ in 0..100 {
        let mut disk = vec![0; 128 << 10];
        let mut known: Vec<Vec<u8>> = Vec::new();
        for life in 0..4_u64 {
            let store = Rc::new(Recorder::new(disk));
            let mut journal = Journal::open(Raw::new(store.clone())).expect("it works");
            let records = journal.records();
            assert!(records >= known.len() as u64 || life == 0);
            let all = |journal: &Journal<Raw>| -> Vec<Vec<u8>> {
                let read = |number| {
                    journal
                        .read(number)
                        .expect("it works")
                        .expect("it is there")
                };
                (0..journal.records()).map(read).collect()
            };
            let mut model = all(&journal);
            assert_eq!(model[..known.len()], known[..]);
            let mut counted = vec![(store.events.borrow().len(), model.len())];
            for _ in 0..20 {
                // Often as long as what may lie there from an earlier life.
                let mut bytes =
                    vec![random.next_u64().to_le_bytes()[0]; 100 + 60 * random.index(3)];
                bytes[0] = life.to_le_bytes()[0];
                journal.append(&bytes).expect("there is room");
                model.push(bytes);
                if random.below(3) == 0 {
                    journal.sync().expect("it works");
                    counted.push((store.events.borrow().len(), model.len()));
                }
            }
            // What was not synced may have left the cache as well.
            let events = store.events.borrow().len();
            let behind = random.index(events + 1);
            disk = store.cut(behind, || random.below(2) == 0);
            let promised = counted.iter().rfind(|(at, _)| *at <= behind);
            let promised = promised.map_or(known.len(), |(_, len)| *len);
            let found = all(&opened(disk.clone()));
            assert!(found.len() >= promised);
            assert!(found.len() <= model.len() && found[..] == model[..found.len()]);
            known = found;
        }
    }
}
