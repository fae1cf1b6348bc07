//! Archives of GNU tar and GNU cpio, read back through the calls of a service.

use std::rc::Rc;

use toro_initrd::Initrd;
use toro_vfs::{File, FileError, FileType, Mounts, OpenOptions};

const USTAR: &[u8] = include_bytes!("data/ustar.tar");
const GNU: &[u8] = include_bytes!("data/gnu.tar");
const PAX: &[u8] = include_bytes!("data/pax.tar");
const NEWC: &[u8] = include_bytes!("data/newc.cpio");

const MODIFIED: u64 = 1_700_000_000;

fn mounted(archive: &'static [u8]) -> Mounts {
    let mut mounts = Mounts::new();
    let initrd = Initrd::new(archive).expect("real programs made it");
    mounts
        .mount("/", Rc::new(initrd))
        .expect("nothing is mounted");
    mounts
}

fn open(mounts: &Mounts, path: &str) -> Result<File, FileError> {
    mounts.resolve(path)?.open()
}

fn names(mounts: &Mounts, path: &str) -> Vec<(String, FileType)> {
    let entries = mounts
        .resolve(path)
        .and_then(|place| place.read_dir())
        .expect("a directory");
    entries
        .map(|entry| entry.expect("an archive in memory does not fail"))
        .map(|entry| (entry.name().to_owned(), entry.file_type()))
        .collect()
}

/// What each of the four archives must hold.
fn tree(with_deep: bool) -> Vec<(String, Vec<u8>)> {
    let odd = vec![b'o'; 1000];
    let long = format!("/{}/{}", "k".repeat(90), "l".repeat(100));
    let mut files = vec![
        ("/index.html".to_owned(), b"<h1>Toro</h1>\n".to_vec()),
        ("/empty".to_owned(), Vec::new()),
        ("/data/block".to_owned(), vec![b'b'; 512]),
        ("/data/odd".to_owned(), odd.clone()),
        ("/hard".to_owned(), odd.clone()),
        ("/soft".to_owned(), odd.clone()),
        ("/chain".to_owned(), odd),
        ("/sub/up".to_owned(), b"<h1>Toro</h1>\n".to_vec()),
        ("/ünï/日本.txt".to_owned(), b"utf8\n".to_vec()),
        (long, b"long\n".to_vec()),
    ];
    if with_deep {
        let m = "m".repeat(100);
        files.push((format!("/{m}/{m}/{m}/deep"), b"deep\n".to_vec()));
    }
    files
}

fn check(archive: &'static [u8], with_deep: bool) {
    let mounts = mounted(archive);
    for (path, expected) in tree(with_deep) {
        let mut file = open(&mounts, &path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let metadata = file.metadata().expect("it is open");
        assert_eq!(metadata.len(), expected.len() as u64, "{path}");
        assert_eq!(metadata.modified(), MODIFIED, "{path}");
        assert_eq!(file.as_static_slice(), Some(&expected[..]), "{path}");
        assert_eq!(file.read_to_end().as_ref(), Ok(&expected), "{path}");
    }
    assert_eq!(open(&mounts, "/dangling").err(), Some(FileError::NotFound));
    assert_eq!(open(&mounts, "/data").err(), Some(FileError::IsADirectory));
    assert_eq!(
        open(&mounts, "/index.html/x").err(),
        Some(FileError::NotADirectory)
    );
    assert_eq!(
        open(&mounts, "/data/nothing").err(),
        Some(FileError::NotFound)
    );

    let listed = names(&mounts, "/data");
    let expected = ["block", "odd"].map(|name| (name.to_owned(), FileType::File));
    assert_eq!(listed, expected);
    let root = names(&mounts, "/");
    assert_eq!(root.len(), 9 + usize::from(with_deep), "{root:?}");
    assert!(root.contains(&("sub".to_owned(), FileType::Directory)));
    assert!(root.contains(&("chain".to_owned(), FileType::File)));
}

#[test]
fn ustar_is_read() {
    check(USTAR, false);
}

#[test]
fn gnu_long_names_are_read() {
    check(GNU, true);
}

#[test]
fn pax_headers_are_read() {
    check(PAX, true);
}

#[test]
fn newc_is_read() {
    check(NEWC, true);
}

#[test]
fn archives_in_a_row_are_one() {
    let row: &'static [u8] = [GNU, NEWC, USTAR, &[0; 700]].concat().leak();
    check(row, true);
}

#[test]
fn an_archive_may_lie_below_another_mount() {
    let mut mounts = mounted(NEWC);
    mounts
        .mount(
            "/tar",
            Rc::new(Initrd::new(USTAR).expect("real programs made it")),
        )
        .expect("nothing is mounted there");
    assert!(open(&mounts, "/tar/data/odd").is_ok());
    assert!(open(&mounts, "/tar/../data/odd").is_ok());
}

#[test]
fn what_would_change_an_archive_is_refused() {
    let mut mounts = Mounts::new();
    let initrd = Initrd::new(USTAR).expect("real programs made it");
    mounts.mount("/", Rc::new(initrd)).expect("it is free");
    let new = mounts.resolve("/new").expect("the root is mounted");
    assert_eq!(new.create_dir(), Err(FileError::ReadOnly));
    let new = mounts.resolve("/new").expect("the root is mounted");
    let mut options = OpenOptions::new();
    let created = new.open_with(options.write(true).create(true));
    assert_eq!(created.err(), Some(FileError::ReadOnly));
    let root = mounts.resolve("/").expect("the root is mounted");
    assert_eq!(root.create_dir_all(), Ok(()));
}
