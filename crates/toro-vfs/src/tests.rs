//! Paths, mounts and handles over a file system of three fixed files.

use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::path::{PATH_MAX, below, normalise};
use crate::{DirEntry, File, FileError, FileSystem, FileType, Metadata, Mounts, NodeId, SeekFrom};

/// `text` holds "0123456789", `empty` nothing; `huge` claims more than there is memory. All in the root.
#[derive(Default)]
struct Fixed {
    open: Cell<usize>,
}

const NAMES: [&str; 4] = ["", "text", "empty", "huge"];
const TEXT: &[u8] = b"0123456789";

impl FileSystem for Fixed {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        let node = NAMES
            .iter()
            .position(|name| *name == path)
            .ok_or(FileError::NotFound)?;
        self.open.set(self.open.get() + 1);
        Ok(NodeId(node as u64))
    }

    fn close(&self, _node: NodeId) {
        self.open.set(self.open.get() - 1);
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        Ok(match node.0 {
            0 => Metadata::new(FileType::Directory, 0, 7),
            1 => Metadata::new(FileType::File, 10, 7),
            2 => Metadata::new(FileType::File, 0, 7),
            _ => Metadata::new(FileType::File, u64::MAX, 7),
        })
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let bytes = if node.0 == 1 { TEXT } else { b"" };
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| bytes.get(offset..));
        // At most four bytes at a time, as a device might.
        let len = rest.unwrap_or(b"").len().min(buf.len()).min(4);
        buf[..len].copy_from_slice(&rest.unwrap_or(b"")[..len]);
        Ok(len)
    }

    fn read_dir(&self, _node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        *cursor += 1;
        let name = usize::try_from(*cursor).ok().and_then(|at| NAMES.get(at));
        Ok(name.map(|name| DirEntry::new(String::from(*name), FileType::File)))
    }
}

fn mounted_at(paths: &[&str]) -> (Mounts, Rc<Fixed>) {
    let mut mounts = Mounts::new();
    let fixed = Rc::new(Fixed::default());
    for path in paths {
        mounts.mount(path, fixed.clone()).expect("the paths differ");
    }
    (mounts, fixed)
}

fn open(mounts: &Mounts, path: &str) -> Result<File, FileError> {
    mounts.resolve(path)?.open()
}

#[test]
fn paths_are_normalised() {
    let check = |path: &str, expected: Result<&str, FileError>| {
        assert_eq!(
            normalise(path).as_deref(),
            expected.as_ref().map(|path| *path),
            "{path:?}"
        );
    };
    check("/", Ok(""));
    check("//", Ok(""));
    check("a/b", Ok("a/b"));
    check("/a/b", Ok("a/b"));
    check("/a//b/./c/", Ok("a/b/c"));
    check("/a/../b", Ok("b"));
    check("/a/b/../../../../etc", Ok("etc"));
    check("/..", Ok(""));
    check(".", Ok(""));
    check("/...", Ok("..."));
    check("/.hidden/..file", Ok(".hidden/..file"));
    check("/ä/日本/..", Ok("ä"));
    check("", Err(FileError::InvalidPath));
    check("/a\0b", Err(FileError::InvalidPath));
    let longest = "a".repeat(PATH_MAX);
    check(&longest, Ok(&longest));
    check(&"a".repeat(PATH_MAX + 1), Err(FileError::InvalidPath));
}

#[test]
fn normal_paths_are_not_copied() {
    assert!(matches!(
        normalise("/a/b.html"),
        Ok(Cow::Borrowed("a/b.html"))
    ));
}

#[test]
fn below_ends_at_components() {
    assert_eq!(below("", "a/b"), Some("a/b"));
    assert_eq!(below("a", "a/b"), Some("b"));
    assert_eq!(below("a/b", "a/b"), Some(""));
    assert_eq!(below("a", "ab"), None);
    assert_eq!(below("a/b", "a"), None);
}

#[test]
fn innermost_mount_holds_the_path() {
    let (mut mounts, inner) = mounted_at(&["/data/deep"]);
    let outer = Rc::new(Fixed::default());
    mounts.mount("/data", outer.clone()).expect("it is free");
    let _file = open(&mounts, "/data/deep/text").expect("it is there");
    assert_eq!((outer.open.get(), inner.open.get()), (0, 1));
    let _other = open(&mounts, "/data/deep/../text").expect("it is there");
    assert_eq!((outer.open.get(), inner.open.get()), (1, 1));
    assert_eq!(open(&mounts, "/dat/text").err(), Some(FileError::NotFound));
    assert_eq!(open(&mounts, "/text").err(), Some(FileError::NotFound));
    assert_eq!(
        open(&mounts, "/data/deeper").err(),
        Some(FileError::NotFound)
    );
}

#[test]
fn a_path_is_mounted_once() {
    let (mut mounts, fixed) = mounted_at(&["/"]);
    assert_eq!(mounts.mount("/.", fixed), Err(FileError::AlreadyMounted));
}

#[test]
fn reads_move_the_position() {
    let (mounts, _) = mounted_at(&["/"]);
    let mut file = open(&mounts, "/text").expect("it is there");
    let mut buf = [0; 3];
    assert_eq!(file.read(&mut buf), Ok(3));
    assert_eq!(file.read_at(&mut buf, 8), Ok(2));
    assert_eq!(&buf, b"892");
    assert_eq!(file.read(&mut buf), Ok(3));
    assert_eq!(&buf, b"345");
    assert_eq!(file.read_to_end().as_deref(), Ok(&b"6789"[..]));
    assert_eq!(file.read(&mut buf), Ok(0));
}

#[test]
fn seeks_stay_behind_the_start() {
    let (mounts, _) = mounted_at(&["/"]);
    let mut file = open(&mounts, "/text").expect("it is there");
    assert_eq!(file.seek(SeekFrom::End(-2)), Ok(8));
    assert_eq!(file.read_to_end().as_deref(), Ok(&b"89"[..]));
    assert_eq!(
        file.seek(SeekFrom::Current(-11)),
        Err(FileError::InvalidSeek)
    );
    assert_eq!(
        file.seek(SeekFrom::Current(0)),
        Ok(10),
        "a failed seek moves nothing"
    );
    assert_eq!(file.seek(SeekFrom::Start(u64::MAX)), Ok(u64::MAX));
    assert_eq!(file.seek(SeekFrom::Current(1)), Err(FileError::InvalidSeek));
    assert_eq!(file.read(&mut [0; 4]), Ok(0));
    assert_eq!(file.read_to_end(), Ok(Vec::new()));
}

#[test]
fn kinds_are_not_confused() {
    let (mounts, _) = mounted_at(&["/"]);
    assert_eq!(open(&mounts, "/").err(), Some(FileError::IsADirectory));
    let listed = mounts.resolve("/text").and_then(|place| place.read_dir());
    assert_eq!(listed.err(), Some(FileError::NotADirectory));
    let metadata = mounts.resolve("/text").and_then(|place| place.metadata());
    assert_eq!(metadata, Ok(Metadata::new(FileType::File, 10, 7)));
}

#[test]
fn directories_are_listed() {
    let (mounts, _) = mounted_at(&["/"]);
    let listed = mounts
        .resolve("/")
        .and_then(|place| place.read_dir())
        .expect("it is one");
    let names: Vec<_> = listed
        .map(|entry| entry.expect("it is good").name().len())
        .collect();
    assert_eq!(names, [4, 5, 4]);
}

#[test]
fn every_node_is_closed() {
    let (mounts, fixed) = mounted_at(&["/"]);
    let file = open(&mounts, "/empty").expect("it is there");
    assert_eq!(fixed.open.get(), 1);
    drop(file);
    drop(mounts.resolve("/").and_then(|place| place.read_dir()));
    assert!(
        mounts
            .resolve("/")
            .and_then(|place| place.metadata())
            .is_ok()
    );
    drop(open(&mounts, "/"));
    assert_eq!(fixed.open.get(), 0);
}

#[test]
fn a_file_larger_than_memory_is_an_error() {
    let (mounts, _) = mounted_at(&["/"]);
    let mut file = open(&mounts, "/huge").expect("it is there");
    assert_eq!(file.read_to_end(), Err(FileError::OutOfMemory));
}
