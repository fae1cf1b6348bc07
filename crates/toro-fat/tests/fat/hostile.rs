//! Volumes that lie: errors are all that may come of them.

use crate::disk::{formatted, mounted, open};
use crate::exercise;
use std::rc::Rc;
use toro_cache::MemoryStore;
use toro_fsx::Random;
use toro_vfs::FileSystem;

/// A small volume with some files in it.
fn filled(options: &[&str], len: u64) -> Option<Vec<u8>> {
    let store = Rc::new(MemoryStore::new(formatted(options, len)?));
    let (mounts, file_system) = mounted(store.clone());
    let place = mounts.resolve("/sub/deep").expect("the root is mounted");
    place.create_dir_all().expect("there is room");
    for number in 0..12 {
        let path = format!("/sub/A long file name {number}.txt");
        let mut file = open(&mounts, &path).expect("there is room");
        file.write_all(&[7; 3000]).expect("there is room");
    }
    file_system.sync_all().expect("the store works");
    Some(store.to_vec())
}

#[test]
fn mutated_volumes_never_panic() {
    for (options, len, hot) in [
        (&["-F", "12"][..], 512 << 10, 20 << 10),
        (&["-F", "16", "-s", "1"], 3 << 20, 70 << 10),
        (&["-F", "32", "-s", "1"], 34 << 20, 600 << 10),
    ] {
        let Some(good) = filled(options, len) else {
            return;
        };
        let mut random = Random::new(7);
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.index(8) {
                let at = match random.below(4) {
                    0 => random.index(90),
                    1 => random.index(4096),
                    _ => random.index(hot),
                };
                bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ 1 << random.below(8),
                    _ => random.next_u64().to_le_bytes()[0],
                };
            }
            exercise::everything(MemoryStore::new(bytes));
        }
    }
}

#[test]
fn what_is_no_volume_is_refused() {
    for len in [0, 1, 511, 512, 4096] {
        exercise::everything(MemoryStore::new(vec![0; len]));
        exercise::everything(MemoryStore::new(vec![0xff; len]));
    }
}
