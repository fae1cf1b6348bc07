//! All that the image has left in the folder, as a digest for the host.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toro::fs;
use toro_abi::share::ShareDigest;

pub(crate) fn the_host_is_told_what_is_there() {
    let mut files = Vec::new();
    let mut folders = Vec::from([String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&crate::path(&folder)).expect("it is there") {
            let entry = entry.expect("it can be listed");
            let below = match &*folder {
                "" => String::from(entry.name()),
                folder => format!("{folder}/{}", entry.name()),
            };
            match entry.file_type() {
                fs::FileType::Directory => folders.push(below),
                fs::FileType::File => files.push(below),
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "only {} files", files.len());
    let digest = files.iter().fold(ShareDigest::EMPTY, |digest, path| {
        let bytes = fs::read(&crate::path(path)).expect("it is there");
        digest.file(path, &bytes)
    });
    toro::println!("{digest}");
}
