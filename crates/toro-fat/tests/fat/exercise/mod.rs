//! Every call on a volume that may hold anything; used by the fuzz target as well.

use std::rc::Rc;

use toro_cache::BlockStore;
use toro_fat::{FatFs, Options};
use toro_vfs::{FileSystem, FileType, Mounts, OpenOptions};

/// Most entries that are looked at: a directory may hold itself.
const MOST: usize = 24;

/// Mounts the volume, reads what it shows, and changes it.
pub(crate) fn everything(store: impl BlockStore + 'static) {
    let options = Options {
        cache_bytes: 0,
        clock: || 1_700_000_000,
    };
    let Ok(file_system) = FatFs::mount(Rc::new(store), options) else {
        return;
    };
    let file_system = Rc::new(file_system);
    let mut mounts = Mounts::new();
    mounts
        .mount("/", file_system.clone())
        .expect("nothing is mounted");
    let paths = read_all(&mounts);
    change(&mounts, &paths);
    let _ = file_system.sync_all();
    let _ = file_system.free_bytes();
}

fn read_all(mounts: &Mounts) -> Vec<String> {
    let mut waiting = vec![String::new()];
    let mut seen = Vec::new();
    while let Some(directory) = waiting.pop() {
        let path = format!("/{directory}");
        let listed = mounts.resolve(&path).and_then(|place| place.read_dir());
        for entry in listed.into_iter().flatten().flatten() {
            if seen.len() >= MOST {
                return seen;
            }
            let path = format!("{directory}/{}", entry.name());
            seen.push(path.clone());
            match entry.file_type() {
                FileType::Directory => waiting.push(path),
                FileType::File => read_one(mounts, &path),
            }
        }
    }
    seen
}

fn read_one(mounts: &Mounts, path: &str) {
    let Ok(file) = mounts.resolve(path).and_then(|place| place.open()) else {
        return;
    };
    let mut bytes = [0; 5000];
    for offset in [0, 5000, 1 << 20, u64::from(u32::MAX) - 3] {
        let _ = file.read_at(&mut bytes, offset);
    }
}

fn change(mounts: &Mounts, paths: &[String]) {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    let new = "/A new file with a long name.html".to_owned();
    for path in paths.iter().take(10).chain([&new]) {
        let opened = mounts
            .resolve(path)
            .and_then(|place| place.open_with(&options));
        if let Ok(file) = opened {
            let _ = file.write_at(&[1; 3000], 100);
            let _ = file.set_len(50);
            let _ = file.set_len(5000);
        }
    }
    for (number, path) in paths.iter().enumerate().take(20) {
        let Ok(place) = mounts.resolve(path) else {
            continue;
        };
        let _ = match number % 4 {
            0 => place.remove_file(),
            1 => place.remove_dir_all(),
            2 => mounts
                .resolve("/renamed \u{e4}")
                .and_then(|to| place.rename(to)),
            _ => place.create_dir_all(),
        };
    }
    if let Ok(place) = mounts.resolve("/new/deeper") {
        let _ = place.create_dir_all();
    }
}
