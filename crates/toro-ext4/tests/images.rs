//! Volumes made by `mke2fs -d` from a folder: what they show is that folder, and mutated ones never panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use toro_cache::MemoryStore;
use toro_ext4::ExtFs;
use toro_fsx::Random;
use toro_vfs::{FileError, FileType, Mounts};

/// A folder that goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("toro-ext4-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("there is room for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Fills a folder with what a volume may hold.
fn fill(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).expect("there is room for temporary files");
    };
    fs::create_dir_all(folder.join("deep/er")).expect("there is room for temporary files");
    write("empty", b"");
    write("small.txt", b"hello");
    write("deep/er/D\u{e4}ten.bin", &[7; 5000]);
    let large: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    write("large", &large);
    write(&"n".repeat(255), b"long");
    fs::create_dir_all(folder.join("many")).expect("there is room for temporary files");
    for number in 0..1000 {
        write(
            &format!("many/file {number}"),
            number.to_string().as_bytes(),
        );
    }
    std::os::unix::fs::symlink("../small.txt", folder.join("deep/link")).expect("it is free");
    std::os::unix::fs::symlink("nowhere", folder.join("broken")).expect("it is free");
}

/// The volume that `mke2fs` makes of `folder`; `None` if it is not installed.
fn volume(kind: &str, folder: &Folder, len: u64) -> Option<Vec<u8>> {
    let image = folder.0.with_extension(kind);
    let file = fs::File::create(&image).expect("there is room for temporary files");
    file.set_len(len)
        .expect("there is room for temporary files");
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new("mke2fs")
        .env("PATH", path)
        .args(["-q", "-F", "-t", kind, "-d"])
        .arg(&folder.0)
        .arg(&image)
        .output();
    let bytes = fs::read(&image).expect("it is there");
    let _ = fs::remove_file(&image);
    let Ok(output) = output else {
        println!("skipped: mke2fs is not installed (e2fsprogs)");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(bytes)
}

fn mounted(bytes: Vec<u8>) -> Result<Mounts, FileError> {
    let file_system = ExtFs::mount(Rc::new(MemoryStore::new(bytes)), 256 << 10)?;
    let mut mounts = Mounts::new();
    mounts.mount("/", Rc::new(file_system))?;
    Ok(mounts)
}

fn content(mounts: &Mounts, path: &str) -> Result<Vec<u8>, FileError> {
    mounts.resolve(path)?.open()?.read_to_end()
}

/// Holds a directory of the volume against the folder.
fn compare(mounts: &Mounts, folder: &Path, path: &str) {
    let listed = mounts.resolve(path).expect("the root is mounted");
    let listed = listed.read_dir().expect("it is a directory");
    let mut names: Vec<_> = listed
        .map(|entry| entry.expect("it can be read").name().to_owned())
        .filter(|name| name != "lost+found")
        .collect();
    names.sort();
    let expected = fs::read_dir(folder).expect("it is a directory");
    let expected = expected.map(|entry| entry.expect("it can be read"));
    let expected = expected.filter(|entry| entry.path().exists());
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("it is text");
    let mut expected: Vec<_> = expected.map(name).collect();
    expected.sort();
    assert_eq!(names, expected, "{path}");
    for name in names {
        let (path, real) = (format!("{path}/{name}"), folder.join(&name));
        if real.is_dir() {
            compare(mounts, &real, &path);
        } else {
            let expected = fs::read(real).expect("it can be read");
            assert!(content(mounts, &path).as_ref() == Ok(&expected), "{path}");
        }
    }
}

#[test]
fn volumes_show_the_folder_they_were_made_of() {
    let folder = Folder::new("all");
    fill(&folder.0);
    for kind in ["ext2", "ext3", "ext4"] {
        let Some(bytes) = volume(kind, &folder, 16 << 20) else {
            return;
        };
        let mounts = mounted(bytes).expect("mke2fs made it");
        compare(&mounts, &folder.0, "/");
        assert_eq!(content(&mounts, "/none"), Err(FileError::NotFound));
        assert_eq!(content(&mounts, "/empty/x"), Err(FileError::NotADirectory));
        assert_eq!(content(&mounts, "/deep"), Err(FileError::IsADirectory));
        assert_eq!(content(&mounts, "/broken"), Err(FileError::NotFound));
        let real = mounts
            .resolve("/deep/link")
            .and_then(|place| place.canonicalize());
        assert_eq!(real.as_deref(), Ok("/small.txt"));
        let new = mounts.resolve("/new").expect("the root is mounted");
        assert_eq!(new.create_dir(), Err(FileError::ReadOnly));
        let large = mounts.resolve("/large").and_then(|place| place.open());
        let mut bytes = [0; 8];
        let read = large.and_then(|file| file.read_at(&mut bytes, 4 * 500_000));
        assert_eq!(read, Ok(8));
        assert_eq!(bytes[..4], 500_000_u32.to_le_bytes());
    }
}

#[test]
fn a_file_of_four_gibibytes_has_holes() {
    const GIB: u64 = 1 << 30;
    let folder = Folder::new("sparse");
    let file = fs::File::create(folder.0.join("sparse")).expect("there is room");
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", 4 * GIB).expect("it has holes");
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", GIB).expect("it has holes");
    drop(file);
    for kind in ["ext2", "ext3", "ext4"] {
        let Some(bytes) = volume(kind, &folder, 16 << 20) else {
            return;
        };
        let mounts = mounted(bytes).expect("mke2fs made it");
        let place = mounts.resolve("/sparse").expect("the root is mounted");
        let file = place.open().expect("it is there");
        assert_eq!(file.metadata().map(|file| file.len()), Ok(4 * GIB + 3));
        let mut bytes = [1; 8];
        assert_eq!(file.read_at(&mut bytes, 4 * GIB - 5), Ok(8), "{kind}");
        assert_eq!(&bytes, b"\0\0\0\0\0end");
        assert_eq!(file.read_at(&mut bytes, GIB - 1), Ok(8), "{kind}");
        assert_eq!(&bytes, b"\0middle\0");
        assert_eq!(file.read_at(&mut bytes, 2 * GIB), Ok(8), "{kind}");
        assert_eq!(bytes, [0; 8]);
        assert_eq!(file.read_at(&mut bytes, 4 * GIB + 3), Ok(0), "{kind}");
    }
}

/// Reads what a volume shows, up to a bound.
fn read_all(mounts: &Mounts) {
    let mut waiting = vec![String::new()];
    let mut left = 60;
    while let Some(directory) = waiting.pop() {
        let listed = mounts
            .resolve(&format!("{directory}/"))
            .and_then(|place| place.read_dir());
        for entry in listed.into_iter().flatten().flatten() {
            if left == 0 {
                return;
            }
            left -= 1;
            let path = format!("{directory}/{}", entry.name());
            if entry.file_type() == FileType::Directory {
                waiting.push(path);
            } else if let Ok(file) = mounts.resolve(&path).and_then(|place| place.open()) {
                let mut bytes = [0; 5000];
                for offset in [0, 5000, 1 << 20, 1 << 40] {
                    let _ = file.read_at(&mut bytes, offset);
                }
            }
        }
    }
}

#[test]
fn mutated_volumes_never_panic() {
    let folder = Folder::new("few");
    fs::create_dir_all(folder.0.join("sub")).expect("there is room for temporary files");
    for name in ["a", "sub/b", "sub/c"] {
        fs::write(folder.0.join(name), vec![3; 20_000]).expect("there is room");
    }
    for kind in ["ext2", "ext4"] {
        let Some(good) = volume(kind, &folder, 1 << 20) else {
            return;
        };
        let mut random = Random::new(5);
        for _ in 0..300 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.index(8) {
                // The superblock, what follows it, or anything.
                let at = match random.below(4) {
                    0 => 1024 + random.index(256),
                    1 => 2048 + random.index(64),
                    2 => random.index(80 << 10),
                    _ => random.index(bytes.len()),
                };
                bytes[at] = match random.below(3) {
                    0 => 0xff,
                    1 => bytes[at] ^ 1 << random.below(8),
                    _ => random.next_u64().to_le_bytes()[0],
                };
            }
            if let Ok(mounts) = mounted(bytes) {
                read_all(&mounts);
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    /// The features that a reader has to know.
    const FEATURES: usize = 1024 + 96;
    let folder = Folder::new("features");
    let Some(good) = volume("ext4", &folder, 1 << 20) else {
        return;
    };
    let with = |at: usize, bit: u8| {
        let mut bytes = good.clone();
        bytes[FEATURES + at] |= bit;
        mounted(bytes).err()
    };
    assert_eq!(with(0, 0), None);
    // The journal must be played back; bytes lie in inodes; names are encrypted.
    assert_eq!(with(0, 0x04), Some(FileError::Unclean));
    assert_eq!(with(1, 0x80), Some(FileError::Unsupported));
    assert_eq!(with(2, 0x01), Some(FileError::Unsupported));
}

#[test]
fn what_is_no_volume_is_refused() {
    for len in [0, 511, 1024, 2048, 1 << 20] {
        assert!(mounted(vec![0; len]).is_err());
        assert!(mounted(vec![0xff; len]).is_err());
    }
}
