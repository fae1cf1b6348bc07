//! The calls that do not park: reads of what is in memory, and the futures for tasks.

use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use toro::fs::{self, File, FileError, OpenOptions};
use toro::task;

use crate::volumes::{VOLUMES, create};

pub(crate) fn what_is_in_memory_is_read_at_once() {
    let mut bytes = [0; 9];
    let file = File::open("/inside/one.txt").expect("it is there");
    let len = file.read_at(&mut bytes, 0).expect("it can be read");
    let mut again = [0; 9];
    assert_eq!(file.try_read_at(&mut again, 0), Ok(len));
    assert_eq!(bytes, again);
    let file = create("/ram/file").expect("there is room");
    assert_eq!(file.write_at(b"in memory", 0), Ok(9));
    if toro::devices::owner_of("blk0") == Some(0) {
        assert_eq!(file.try_read_at(&mut bytes, 0), Ok(9));
        assert_eq!(&bytes, b"in memory");
    }
    let mut options = OpenOptions::new();
    let unread = options.write(true).open("/ram/file").expect("it is there");
    assert_eq!(unread.try_read_at(&mut bytes, 0), Err(FileError::WrongMode));
    assert_eq!(fs::remove_file("/ram/file"), Ok(()));
}

pub(crate) fn what_is_on_a_disk_is_read_at_once_when_it_was_read_before() {
    const LEN: usize = 400_000;
    let content: Vec<u8> = (0..LEN).map(|at| at.to_le_bytes()[1]).collect();
    fs::write("/fat16/cold", &content).expect("there is room");
    // What the cache holds goes with the mount.
    assert_eq!(fs::unmount("/fat16"), Ok(()));
    assert_eq!(fs::mount("/fat16:fat:blk1"), Ok(()));
    let file = File::open("/fat16/cold").expect("it is there");
    let (mut bytes, at) = ([0; 500], LEN - 700);
    let try_read = |bytes: &mut [u8]| file.try_read_at(bytes, at as u64);
    assert_eq!(try_read(&mut bytes), Err(FileError::WouldBlock));
    assert_eq!(file.read_at(&mut bytes, at as u64), Ok(500));
    assert_eq!(bytes, content[at..at + 500]);
    if toro::devices::owner_of("blk1") == Some(toro::thread::current().core()) {
        bytes.fill(0);
        assert_eq!(try_read(&mut bytes), Ok(500));
        assert_eq!(bytes, content[at..at + 500]);
        assert_eq!(file.try_read_at(&mut bytes, LEN as u64), Ok(0));
    } else {
        assert_eq!(try_read(&mut bytes), Err(FileError::WouldBlock));
    }
    drop(file);
    assert_eq!(fs::remove_file("/fat16/cold"), Ok(()));
}

/// Writes a file and reads it back, in pieces.
async fn work(root: &str, number: usize) -> Result<(), FileError> {
    let path = format!("{root}/task {number}");
    fs::task::write(&path, vec![1; 10_000]).await?;
    let mut options = OpenOptions::new();
    let file = fs::task::open_with(*options.read(true).write(true), &path).await?;
    for round in 0..5_u8 {
        let (buf, len) = file.write_at(vec![round + 2; 3_000], 8_000).await;
        assert_eq!((buf.len(), len?), (3_000, 3_000));
        let (buf, len) = file.read_at(vec![0; 4_000], 7_500).await;
        assert_eq!(len?, 3_500);
        assert!(buf[..500].iter().all(|byte| *byte == 1));
        assert!(buf[500..3_500].iter().all(|byte| *byte == round + 2));
    }
    file.set_len(4).await?;
    file.sync_data().await?;
    file.sync_all().await?;
    assert_eq!(file.metadata().await?.len(), 4);
    drop(file);
    assert_eq!(fs::task::read(&path).await?, [1; 4]);
    fs::task::run(move || fs::remove_file(&path)).await
}

pub(crate) fn tasks_go_on_while_files_are_used() {
    const TASKS: usize = 6;
    for root in VOLUMES {
        let left = Rc::new(Cell::new(TASKS));
        let spawn = |number| {
            let left = Rc::clone(&left);
            task::spawn(async move {
                let outcome = work(root, number).await;
                left.set(left.get() - 1);
                outcome
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
        let counter = task::spawn(async move {
            let mut turns = 0_usize;
            while left.get() > 0 {
                task::yield_now().await;
                turns += 1;
            }
            turns
        });
        let turns = counter.join().expect("it does not panic");
        assert!(turns > TASKS, "{turns} turns");
        for task in tasks {
            assert_eq!(task.join(), Ok(Ok(())), "{root}");
        }
        // Files are closed behind the tasks' backs.
        assert_eq!(fs::sync(), Ok(()));
    }
    let missing = task::block_on(fs::task::open("/ram/missing"));
    assert_eq!(missing.err(), Some(FileError::NotFound));
}
