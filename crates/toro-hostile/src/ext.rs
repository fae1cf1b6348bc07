//! An ext volume that lies: all that it shows is read.

use std::rc::Rc;

use toro_cache::MemoryStore;
use toro_ext4::ExtFs;
use toro_vfs::Mounts;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    let store = Rc::new(MemoryStore::new(data.to_vec()));
    let Ok(file_system) = ExtFs::mount(store, 0) else {
        return;
    };
    let mut mounts = Mounts::new();
    mounts
        .mount("/", Rc::new(file_system))
        .expect("nothing is mounted");
    read(&mounts, "");
    read(&mounts, "/sub");
}

fn read(mounts: &Mounts, directory: &str) {
    let path = format!("{directory}/");
    let listed = mounts.resolve(&path).and_then(|place| place.read_dir());
    for entry in listed.into_iter().flatten().flatten().take(30) {
        let path = format!("{directory}/{}", entry.name());
        if let Ok(file) = mounts.resolve(&path).and_then(|place| place.open()) {
            let mut bytes = [0; 3000];
            for offset in [0, 3000, 1 << 30] {
                let _ = file.read_at(&mut bytes, offset);
            }
        }
    }
}
