//! What the host has put into the folder before the image started.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use toro::fs::{self, File, FileError};
use toro_abi::share::{HOST_FILE, HOST_LINKS, pattern};

pub(crate) fn what_the_host_wrote_is_read() {
    let (name, len) = HOST_FILE;
    let path = format!("/share/{name}");
    let metadata = fs::metadata(&path).expect("the file is there");
    assert!(metadata.is_file() && metadata.len() == len as u64);
    assert!(metadata.modified() > 1_700_000_000, "it has its time");
    let bytes = fs::read(&path).expect("it can be read");
    assert!(
        bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == pattern(at))
    );
    assert_eq!(bytes.len(), len);
    // From anywhere, in pieces of any size.
    let file = File::open(&path).expect("it is there");
    for (offset, wanted) in [
        (0, 1),
        (4095, 2),
        (65_537, 100_000),
        (len - 5, 100),
        (len, 1),
    ] {
        let mut buf = vec![0; wanted];
        let mut filled = 0;
        while let Ok(count @ 1..) = file.read_at(&mut buf[filled..], (offset + filled) as u64) {
            filled += count;
        }
        assert_eq!(filled, wanted.min(len - offset));
        let expected = |(at, byte): (usize, &u8)| *byte == pattern(offset + at);
        assert!(
            buf[..filled].iter().enumerate().all(expected),
            "from {offset} on"
        );
    }
}

pub(crate) fn links_lead_nowhere_but_into_the_share() {
    for (number, (name, target)) in HOST_LINKS.into_iter().enumerate() {
        let path = format!("/share/{name}");
        let found = fs::metadata(&path);
        if number < 3 {
            assert_eq!(
                found.map(|found| found.len()),
                Ok(HOST_FILE.1 as u64),
                "{target}"
            );
            let real = fs::canonicalize(&path).expect("it leads somewhere");
            assert_eq!(real, format!("/share/{}", HOST_FILE.0));
        } else {
            let expected = [FileError::InvalidPath, FileError::NotFound];
            assert!(
                found.is_err_and(|error| expected.contains(&error)),
                "{target}"
            );
        }
    }
    let listed = fs::read_dir("/share/host").expect("it is there");
    let listed: Result<Vec<_>, _> = listed.collect();
    assert_eq!(
        listed.expect("it can be listed").len(),
        4,
        "the file and three links to it"
    );
}

/// The host's clock and ours: a file that is written gets a time that has passed.
pub(crate) fn a_change_of_the_host_is_seen() {
    fs::create_dir_all(crate::WORK).expect("it can be made");
    let path = crate::path("changed");
    fs::write(&path, b"one").expect("it can be written");
    let first = fs::metadata(&path).expect("it is there");
    fs::write(&path, b"three").expect("it can be written");
    let second = fs::metadata(&path).expect("it is there");
    assert_eq!((first.len(), second.len()), (3, 5));
    assert!(second.modified() >= first.modified());
    assert_eq!(fs::read_to_string(&path).as_deref(), Ok("three"));
}
