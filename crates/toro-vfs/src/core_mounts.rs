//! The mounts of the running core, and the calls that go through them.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use toro_sync::{LookError, PerCore, StoppedCore};

use crate::{File, FileError, FileSystem, Metadata, Mounts, Place, ReadDir};

static MOUNTS: PerCore<RefCell<Mounts>> = PerCore::new();

/// Gives the running core its mounts; the boot list calls it once on each core.
pub fn init() {
    MOUNTS.init(RefCell::new(Mounts::new()));
}

/// Mounts `file_system` at `path` on the running core.
///
/// # Errors
/// As [`Mounts::mount`].
pub fn mount(path: &str, file_system: Rc<dyn FileSystem>) -> Result<(), FileError> {
    MOUNTS.change(|mounts| mounts.mount(path, file_system))
}

/// Calls `visit` with each mount point of this core.
pub fn mount_points(visit: impl FnMut(&str)) {
    MOUNTS.try_with(|mounts| mounts.borrow().paths().for_each(visit));
}

/// Calls `visit` with each mount point of a core that stands still: for a debugger.
///
/// # Errors
/// Fails if the core has no mounts, or was stopped while it changed them.
pub fn mount_points_on(stopped: &StoppedCore, visit: impl FnMut(&str)) -> Result<(), LookError> {
    MOUNTS.look(stopped, |mounts| mounts.paths().for_each(visit))
}

/// Tells what is known of the file or directory at `path`.
///
/// # Errors
/// Fails if there is none.
pub fn metadata(path: &str) -> Result<Metadata, FileError> {
    resolve(path)?.metadata()
}

/// Lists the directory at `path`.
///
/// # Errors
/// Fails if there is none, or if it is a file.
pub fn read_dir(path: &str) -> Result<ReadDir, FileError> {
    resolve(path)?.read_dir()
}

/// Reads the whole file at `path`.
///
/// # Errors
/// Fails if there is none, if it is a directory, or if it does not fit in memory.
pub fn read(path: &str) -> Result<Vec<u8>, FileError> {
    File::open(path)?.read_to_end()
}

/// Reads the whole file at `path` as text.
///
/// # Errors
/// As [`read`], and [`FileError::Corrupt`] if it is not UTF-8.
pub fn read_to_string(path: &str) -> Result<String, FileError> {
    String::from_utf8(read(path)?).map_err(|_| FileError::Corrupt)
}

/// Makes `bytes` the whole file at `path`, which is created if there is none.
///
/// # Errors
/// As [`File::create`] and [`File::write`].
pub fn write(path: &str, bytes: &[u8]) -> Result<(), FileError> {
    File::create(path)?.write_all(bytes)
}

/// Whether there is a file or directory at `path`.
///
/// # Errors
/// Fails if that cannot be told.
pub fn exists(path: &str) -> Result<bool, FileError> {
    match metadata(path) {
        Ok(_) => Ok(true),
        Err(FileError::NotFound | FileError::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Creates the directory at `path`.
///
/// # Errors
/// As [`Place::create_dir`].
pub fn create_dir(path: &str) -> Result<(), FileError> {
    resolve(path)?.create_dir()
}

/// Creates the directory at `path` and those above it that are not there.
///
/// # Errors
/// As [`Place::create_dir_all`].
pub fn create_dir_all(path: &str) -> Result<(), FileError> {
    resolve(path)?.create_dir_all()
}

/// Removes the file at `path`.
///
/// # Errors
/// As [`Place::remove_file`].
pub fn remove_file(path: &str) -> Result<(), FileError> {
    resolve(path)?.remove_file()
}

/// Removes the empty directory at `path`.
///
/// # Errors
/// As [`Place::remove_dir`].
pub fn remove_dir(path: &str) -> Result<(), FileError> {
    resolve(path)?.remove_dir()
}

/// Removes the directory at `path` and all that is below it.
///
/// # Errors
/// As [`Place::remove_dir_all`].
pub fn remove_dir_all(path: &str) -> Result<(), FileError> {
    resolve(path)?.remove_dir_all()
}

/// Gives what is at `from` the path `to`, and replaces the file or the empty directory that is there.
///
/// # Errors
/// As [`Place::rename`].
pub fn rename(from: &str, to: &str) -> Result<(), FileError> {
    resolve(from)?.rename(resolve(to)?)
}

/// The path of what is at `path` in the one form that its file system knows it by.
///
/// # Errors
/// As [`Place::canonicalize`].
pub fn canonicalize(path: &str) -> Result<String, FileError> {
    resolve(path)?.canonicalize()
}

/// Takes the mount at `path` away, after all that was written there has reached its device.
///
/// # Errors
/// [`FileError::NotFound`] if nothing is mounted exactly there, and what the file system fails with; it stays mounted
/// then.
pub fn unmount(path: &str) -> Result<(), FileError> {
    resolve(path)?.file_system.sync_all()?;
    MOUNTS.change(|mounts| mounts.unmount(path)).map(drop)
}

/// Takes the mount at `path` away from the running core, whatever becomes of what was written there; nothing happens if there is none.
///
/// For a device that has failed, where [`unmount`] has nothing to offer but the error.
pub fn abandon(path: &str) {
    // Dropped behind the borrow: its end may call the file system.
    let gone = MOUNTS.change(|mounts| mounts.unmount(path));
    drop(gone);
}

/// Brings all that was written in the mounts of the running core to their devices; for the end of the machine.
///
/// # Errors
/// The first failure; the other mounts are tried all the same.
pub fn sync() -> Result<(), FileError> {
    let mounted: Vec<_> = MOUNTS.with(|mounts| mounts.borrow().file_systems().cloned().collect());
    let mut outcome = Ok(());
    for file_system in mounted {
        outcome = outcome.and(file_system.sync_all());
    }
    outcome
}

/// Finds the place of `path` in the mounts of the running core; its file system is not asked yet.
///
/// # Errors
/// As [`Mounts::resolve`].
pub fn resolve(path: &str) -> Result<Place<'_>, FileError> {
    MOUNTS.with(|mounts| mounts.borrow().resolve(path))
}
