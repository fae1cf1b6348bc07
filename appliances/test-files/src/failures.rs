//! Disks that fail on purpose: QEMU's `blkdebug` answers with an error.

use alloc::vec;

use toro::fs::{self, File, FileError, IoError};

use crate::volumes::create;

const MIB: usize = 1 << 20;

/// What nearly fills the disk, so that it lies in the sector that fails as well.
fn fill(file: &mut File) -> Result<(), FileError> {
    let chunk = vec![7; MIB];
    (0..15).try_for_each(|_| file.write_all(&chunk))
}

pub(crate) fn a_read_that_fails_reaches_the_caller() {
    fs::mount("/failing:fat:blk6").expect("the first sectors are sound");
    let mut file = create("/failing/file").expect("there is room");
    assert_eq!(fill(&mut file), Ok(()));
    drop(file);
    assert_eq!(fs::unmount("/failing"), Ok(()));
    fs::mount("/failing:fat:blk6").expect("the first sectors are sound");
    let mut file = File::open("/failing/file").expect("it is there");
    let mut chunk = vec![0; MIB];
    let error = (0..15).find_map(|_| file.read(&mut chunk).err());
    assert_eq!(error, Some(FileError::Io(IoError::Read)));
    // The rest can still be read, and nothing was changed.
    assert_eq!(file.read_at(&mut chunk, 0), Ok(MIB));
    assert!(chunk.iter().all(|byte| *byte == 7));
    drop(file);
    assert_eq!(fs::unmount("/failing"), Ok(()));
}

pub(crate) fn a_write_that_fails_reaches_the_caller_and_stays() {
    fs::mount("/failing:fat:blk7").expect("it can be read");
    let mut file = create("/failing/file").expect("the directory is sound");
    let error = Err(FileError::Io(IoError::Write));
    assert_eq!(fill(&mut file).and_then(|()| file.sync_all()), error);
    assert_eq!(file.sync_all(), error);
    drop(file);
    assert_eq!(fs::write("/failing/other", b"x"), error);
    assert_eq!(fs::unmount("/failing"), error);
    fs::abandon("/failing");
    assert_eq!(fs::exists("/failing/file"), Ok(false));
}

pub(crate) fn a_flush_that_fails_reaches_the_caller_and_stays() {
    fs::mount("/failing:fat:blk8").expect("it can be read");
    let error = FileError::Io(IoError::Flush);
    // The mark that the volume is in use has to be stable before anything else.
    assert_eq!(create("/failing/file").err(), Some(error));
    assert_eq!(fs::write("/failing/file", b"x"), Err(error));
    assert_eq!(fs::unmount("/failing"), Err(error));
    fs::abandon("/failing");
}
