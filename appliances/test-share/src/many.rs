//! Many files, long names, many threads, a large file.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use toro::fs::{self, File, FileError, OpenOptions};

const FILES: usize = 1000;
const THREADS: usize = 24;
const FOUR_GIB: u64 = 4 << 30;
/// Five thousand leaks of eight bytes are more.
const SLACK: usize = 32 << 10;

pub(crate) fn names_of_255_bytes_and_of_any_script_come_back() {
    let folder = crate::path("names");
    fs::create_dir_all(&folder).expect("it can be made");
    let names = [
        "x".repeat(255),
        "ä".repeat(127) + "z",
        "日本語.txt".to_string(),
        "🦀 with spaces".to_string(),
        ".hidden".to_string(),
        "line\nbreak".to_string(),
    ];
    for name in &names {
        fs::write(&format!("{folder}/{name}"), name.as_bytes()).expect("it can be written");
    }
    assert_eq!(
        listed(&folder),
        names.iter().cloned().collect::<BTreeSet<_>>()
    );
    for name in &names {
        let found = fs::read_to_string(&format!("{folder}/{name}"));
        assert_eq!(found.as_ref(), Ok(name));
    }
    let longer = format!("{folder}/{}", "x".repeat(256));
    assert_eq!(File::create(&longer).err(), Some(FileError::InvalidPath));
}

pub(crate) fn a_thousand_files_fit_into_a_directory() {
    let folder = crate::path("many");
    fs::create_dir_all(&folder).expect("it can be made");
    for number in 0..FILES {
        let file = format!("{folder}/{number}");
        fs::write(&file, number.to_string().as_bytes()).expect("it can be written");
    }
    let expected: BTreeSet<String> = (0..FILES).map(|number| number.to_string()).collect();
    assert_eq!(listed(&folder), expected);
    fs::rename(&folder, &crate::path("moved")).expect("it can move");
    assert_eq!(fs::read_dir(&folder).err(), Some(FileError::NotFound));
    assert_eq!(
        fs::remove_dir(&crate::path("moved")),
        Err(FileError::DirectoryNotEmpty)
    );
    for number in (0..FILES).step_by(2) {
        fs::remove_file(&crate::path(&format!("moved/{number}"))).expect("it can go");
    }
    assert_eq!(listed(&crate::path("moved")).len(), FILES / 2);
    fs::remove_dir_all(&crate::path("moved")).expect("all of it can go");
    assert_eq!(fs::exists(&crate::path("moved")), Ok(false));
}

pub(crate) fn threads_have_many_requests_in_flight() {
    fs::create_dir_all(&crate::path("threads")).expect("it can be made");
    let work = |number: usize| {
        let path = crate::path(&format!("threads/{number}"));
        let bytes: Vec<u8> = (0..50_000)
            .map(|at: usize| (at * (number + 3)).to_le_bytes()[0])
            .collect();
        for _ in 0..4 {
            fs::write(&path, &bytes).expect("it can be written");
            assert!(fs::read(&path).expect("it is there") == bytes);
        }
    };
    let spawn = |number| toro::thread::spawn("worker", move || work(number));
    let threads: Vec<_> = (0..THREADS).map(spawn).collect();
    for thread in threads {
        assert!(thread.join().is_ok());
    }
}

pub(crate) fn a_file_of_four_gibibytes_has_holes() {
    let path = crate::path("sparse");
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .open(&path)
        .expect("it can be made");
    assert_eq!(file.write_at(b"end", FOUR_GIB), Ok(3));
    assert_eq!(file.metadata().map(|found| found.len()), Ok(FOUR_GIB + 3));
    let mut buf = [7; 8];
    assert_eq!(file.read_at(&mut buf, FOUR_GIB - 5), Ok(8));
    assert_eq!(&buf, b"\0\0\0\0\0end");
    assert_eq!(file.write_at(b"x", u64::MAX - 1), Err(FileError::TooLarge));
    drop(file);
    fs::remove_file(&path).expect("it can go");
}

pub(crate) fn opening_and_closing_leaves_no_memory_behind() {
    let path = crate::path("opened");
    fs::write(&path, b"x").expect("it can be written");
    let open = || drop(File::open(&path).expect("it is there"));
    let read = || assert!(fs::read(&path).is_ok_and(|bytes| bytes == b"x"));
    let round = || {
        (0..5_000).for_each(|_| open());
        (0..200).for_each(|_| read());
    };
    round();
    let before = toro::mem::stats().in_use;
    round();
    let after = toro::mem::stats().in_use;
    assert!(after < before + SLACK, "{before} bytes became {after}");
}

fn listed(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    entries
        .map(|entry| entry.expect("it can be listed").name().to_string())
        .collect()
}
