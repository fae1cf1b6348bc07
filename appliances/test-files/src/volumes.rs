//! What every file system that can be written does, on FAT of each kind and in memory. Each case leaves nothing behind.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use toro::fs::{self, File, FileError, OpenOptions};

pub(crate) const VOLUMES: [&str; 4] = ["/fat12", "/fat16", "/fat32", "/ram"];

/// Creates a file for reading and writing.
pub(crate) fn create(path: &str) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).open(path)
}

fn names(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).expect("it is a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").name().to_string())
        .collect();
    names.sort();
    names
}

pub(crate) fn what_was_written_is_read_back() {
    for root in VOLUMES {
        let (one, two) = (format!("{root}/dir/one"), format!("{root}/two"));
        fs::create_dir_all(&format!("{root}/dir")).expect("there is room");
        let bytes: Vec<u8> = (0..200_000_u32)
            .map(|at| at.wrapping_mul(at).to_le_bytes()[1])
            .collect();
        fs::write(&one, &bytes).expect("there is room");
        assert!(fs::read(&one).as_ref() == Ok(&bytes), "{one}");
        let file = create(&one).expect("it is there");
        assert_eq!(file.write_at(b"middle", 100_000), Ok(6));
        assert_eq!(file.sync_all(), Ok(()));
        file.set_len(100_003).expect("a file can be cut");
        fs::rename(&one, &two).expect("nothing is there");
        let mut end = [0; 8];
        assert_eq!(file.read_at(&mut end, 99_998), Ok(5));
        assert_eq!(end[..5], [bytes[99_998], bytes[99_999], b'm', b'i', b'd']);
        assert_eq!(fs::metadata(&two).map(|two| two.len()), Ok(100_003));
        assert!(fs::metadata(&two).is_ok_and(|two| two.modified() > 1_700_000_000));
        assert_eq!(fs::remove_dir_all(&format!("{root}/dir")), Ok(()));
        assert_eq!(fs::remove_file(&two), Ok(()));
    }
}

pub(crate) fn a_thousand_files_fit_into_a_directory() {
    // The host tests do it on the other kinds of FAT.
    for root in ["/fat16", "/ram"] {
        let many = format!("{root}/many");
        fs::create_dir(&many).expect("there is room");
        let expected: Vec<_> = (0..1000).map(|number| format!("{number:03}.txt")).collect();
        for name in &expected {
            create(&format!("{many}/{name}")).expect("there is room");
        }
        assert!(names(&many) == expected);
        assert_eq!(fs::remove_dir(&many), Err(FileError::DirectoryNotEmpty));
        assert_eq!(fs::remove_dir_all(&many), Ok(()));
        assert_eq!(fs::exists(&many), Ok(false));
    }
}

pub(crate) fn names_of_255_bytes_and_of_any_script_come_back() {
    for root in VOLUMES {
        let mut wanted = vec![
            "x".repeat(255),
            "\u{e4}".repeat(127),
            "\u{65e5}\u{672c}\u{8a9e}".repeat(28),
            "\u{1f980}.crab".to_string(),
            ".hidden".to_string(),
            "A long name with spaces.and.dots".to_string(),
        ];
        for name in &wanted {
            fs::write(&format!("{root}/{name}"), name.as_bytes()).expect("there is room");
        }
        wanted.sort();
        assert!(names(root) == wanted, "{root}");
        for name in &wanted {
            let path = format!("{root}/{name}");
            assert_eq!(fs::read(&path).as_deref(), Ok(name.as_bytes()));
            assert_eq!(fs::remove_file(&path), Ok(()));
        }
        let too_long = format!("{root}/{}", "x".repeat(256));
        assert_eq!(create(&too_long).err(), Some(FileError::InvalidPath));
    }
}

pub(crate) fn a_full_disk_is_an_error_and_recovers() {
    let chunk = vec![7; 1 << 20];
    for root in VOLUMES {
        let path = format!("{root}/full");
        let mut file = create(&path).expect("there is room");
        let error = loop {
            if let Err(error) = file.write_all(&chunk) {
                break error;
            }
        };
        assert_eq!(error, FileError::NoSpace, "{root}");
        let len = file.metadata().expect("it is open").len();
        assert!(len > 1 << 20);
        file.set_len(len - 200_000).expect("a file can be cut");
        assert_eq!(file.sync_all(), Ok(()));
        let other = format!("{root}/other");
        fs::write(&other, &chunk[..100_000]).expect("there is room again");
        drop(file);
        assert_eq!(fs::remove_file(&path), Ok(()));
        assert_eq!(fs::remove_file(&other), Ok(()));
    }
}

pub(crate) fn files_end_where_the_file_system_does() {
    const GIB: u64 = 1 << 30;
    // Memory keeps only the pages that were written.
    let file = create("/ram/sparse").expect("there is room");
    assert_eq!(file.write_at(b"end", 4 * GIB), Ok(3));
    assert_eq!(file.metadata().map(|file| file.len()), Ok(4 * GIB + 3));
    let mut bytes = [1; 8];
    assert_eq!(file.read_at(&mut bytes, 4 * GIB - 5), Ok(8));
    assert_eq!(&bytes, b"\0\0\0\0\0end");
    assert_eq!(fs::remove_file("/ram/sparse"), Ok(()));
    // FAT counts bytes in 32 bits, and has no holes.
    for root in &VOLUMES[..3] {
        let path = format!("{root}/large");
        let file = create(&path).expect("there is room");
        assert_eq!(file.write_at(b"x", 4 * GIB - 1), Err(FileError::TooLarge));
        assert_eq!(file.set_len(4 * GIB - 1), Err(FileError::NoSpace));
        assert_eq!(file.metadata().map(|file| file.len()), Ok(0));
        assert_eq!(fs::remove_file(&path), Ok(()));
    }
}

/// Bytes in use on this core when the core of the file system has done all that was asked of it before.
fn in_use_behind(path: &str) -> usize {
    fs::metadata(path).expect("it is there");
    toro::mem::collect();
    toro::mem::stats().in_use
}

pub(crate) fn ten_thousand_opens_leave_no_memory_behind() {
    let files = VOLUMES.map(|root| format!("{root}/file"));
    for path in &files {
        fs::write(path, b"x").expect("there is room");
    }
    let read_only = ["/ext4/one.txt", "/ext2/one.txt"].map(String::from);
    for path in files.iter().chain(&read_only) {
        let round = || drop(File::open(path).expect("it is there"));
        round();
        let before = in_use_behind(path);
        // As many on each as make ten thousand.
        (0..2_500).for_each(|_| round());
        // What another core has freed comes home in its own time.
        while in_use_behind(path) > before {
            toro::thread::yield_now();
        }
    }
    for path in &files {
        assert_eq!(fs::remove_file(path), Ok(()));
    }
}
