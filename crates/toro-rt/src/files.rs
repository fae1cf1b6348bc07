//! Archives as file systems: the one that came with the image, mounted at `/`, and those that a service embeds.

use alloc::rc::Rc;
use core::fmt;

use log::{error, info};
use toro_boot::BootInfo;
use toro_initrd::{ArchiveError, Initrd};
use toro_vfs::FileError;

/// Mounts the first module that the loader passed at `/`, if it is an archive.
pub(crate) fn mount(info: &BootInfo) {
    let Some(module) = info.modules().next() else {
        info!("files: no archive came with the image");
        return;
    };
    match mount_archive("/", module.bytes) {
        Ok(entries) => {
            info!(
                "files: {entries} entries in an archive of {} bytes",
                module.bytes.len()
            );
            #[cfg(feature = "multiqueue")]
            mount_on_others(module.bytes);
        }
        Err(reason) => error!("files: the archive is not readable: {reason}"),
    }
}

/// Mounts the archive on the other cores, whose services read from it too: each has an index of its own, and all read the same bytes.
#[cfg(feature = "multiqueue")]
fn mount_on_others(archive: &'static [u8]) {
    for core in 1..toro_sched::cores() {
        let mount = move || {
            if let Err(reason) = mount_archive("/", archive) {
                error!("files: core {core} cannot mount the archive: {reason}");
            }
        };
        // What is sent there later begins later, so there is nothing to wait for.
        let mounting = toro_sched::Builder::new()
            .name("mount")
            .spawn_on(core, mount);
        drop(mounting);
    }
}

/// Why an archive could not be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountArchiveError {
    /// It is not an archive, or a damaged one.
    Archive(ArchiveError),
    /// Something is mounted there already, or the path is none.
    Mount(FileError),
}

impl fmt::Display for MountArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => write!(f, "{error}"),
            Self::Mount(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for MountArchiveError {}

/// Mounts an archive (ustar or cpio) that lies in memory at `path` on this core; returns how many files and folders it has.
///
/// For an archive that is embedded in the image: `include_bytes!`, with `toro_archive::embed` in the build script.
///
/// # Errors
/// Fails if the archive cannot be read or something is mounted there already.
pub fn mount_archive(path: &str, archive: &'static [u8]) -> Result<usize, MountArchiveError> {
    let archive = Initrd::new(archive).map_err(MountArchiveError::Archive)?;
    let entries = archive.len();
    let archive = Rc::new(archive);
    #[cfg(feature = "metrics")]
    let archive = crate::metrics::counted(path, archive);
    toro_vfs::mount(path, archive).map_err(MountArchiveError::Mount)?;
    Ok(entries)
}
