//! Mounts seen from every core, and what threads leave behind.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use toro::fs::{self, FileError, OpenOptions};
use toro::thread;

use crate::volumes::{VOLUMES, create};

/// Runs `body` on a thread of each core at the same time.
fn on_each_core(body: impl Fn(usize) + Send + core::marker::Sync + 'static) {
    let body = move || body(thread::current().core());
    let ended = thread::on_each_core("files", body).expect("there is room for the threads");
    assert!(ended.iter().all(Result::is_ok));
}

pub(crate) fn every_core_uses_every_mount() {
    on_each_core(|core| {
        for root in VOLUMES {
            let path = format!("{root}/core {core}");
            // More than travels in one message.
            let bytes: vec::Vec<u8> = (0..600_000_u32)
                .map(|at| at.wrapping_mul(at).to_le_bytes()[1])
                .collect();
            fs::write(&path, &bytes).expect("there is room");
            assert!(fs::read(&path).as_ref() == Ok(&bytes), "{path}");
            let found = fs::canonicalize(&path);
            assert_eq!(found.as_deref(), Ok(&*path));
            assert_eq!(
                fs::write(&format!("{root}/no/file"), b"x"),
                Err(FileError::NotFound)
            );
        }
        for root in ["/ext4", "/ext2"] {
            let path = format!("{root}/deep/er/down.txt");
            assert_eq!(fs::read(&path).as_deref(), Ok(&b"deep down\n"[..]));
        }
    });
    for root in VOLUMES {
        let mut found = 0;
        for entry in fs::read_dir(root).expect("it is a directory") {
            let path = format!("{root}/{}", entry.expect("it can be read").name());
            assert_eq!(fs::metadata(&path).map(|file| file.len()), Ok(600_000));
            assert_eq!(fs::remove_file(&path), Ok(()));
            found += 1;
        }
        assert_eq!(found, thread::cores());
    }
}

pub(crate) fn what_cores_append_lies_together() {
    const RECORD: usize = 48;
    for root in VOLUMES {
        let path = format!("{root}/log");
        let of_cores = path.clone();
        on_each_core(move |core| {
            let mut options = OpenOptions::new();
            let mut log = options
                .append(true)
                .create(true)
                .open(&of_cores)
                .expect("there is room");
            let mark = b'a' + u8::try_from(core).expect("there are few");
            for _ in 0..100 {
                assert_eq!(log.write(&[mark; RECORD]), Ok(RECORD));
            }
        });
        let log = fs::read(&path).expect("it is there");
        assert_eq!(log.len(), thread::cores() * 100 * RECORD);
        for record in log.chunks(RECORD) {
            assert!(record.iter().all(|byte| *byte == record[0]));
        }
        assert_eq!(fs::remove_file(&path), Ok(()));
    }
}

pub(crate) fn files_of_a_panicked_thread_are_closed() {
    const LEN: usize = 1 << 20;
    // Two such files do not fit: the second is written only if the first one, which has no name any more, was closed.
    let (first, second) = (String::from("/fat12/first"), "/fat12/second");
    let path = first.clone();
    let doomed = thread::spawn("doomed", move || {
        let mut file = create(&path).expect("there is room");
        file.write_all(&vec![1; LEN]).expect("there is room");
        assert!(file.sync_all().is_err(), "this thread panics on purpose");
    });
    assert!(doomed.join().is_err());
    assert_eq!(fs::remove_file(&first), Ok(()));
    assert_eq!(fs::sync(), Ok(()));
    assert_eq!(fs::write(second, &vec![2; LEN]), Ok(()));
    assert_eq!(fs::remove_file(second), Ok(()));
}
