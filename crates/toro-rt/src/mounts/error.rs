//! [`MountError`]: why something could not be mounted, and what could be done about it.

use core::fmt;

use toro_sched::SpawnError;
use toro_vfs::{FileError, MountSpecError};

use super::kinds;

/// Why something could not be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountError {
    /// The words are not `PATH:KIND:SOURCE`.
    Spec(MountSpecError),
    /// No such kind of file system was linked in.
    Kind,
    /// The machine has no such disk.
    #[cfg(feature = "blk")]
    NoDisk,
    /// The partition is not there, or the table is not readable.
    #[cfg(feature = "disk-files")]
    Partition(toro_partition::PartitionError),
    /// The machine has no such shared folder.
    #[cfg(feature = "virtio-fs")]
    NoShare,
    /// The host's side of a shared folder does not do its part.
    #[cfg(feature = "virtio-fs")]
    Share(FileError),
    /// The source of a RAM disk is no size.
    #[cfg(feature = "ramfs")]
    Size,
    /// A new RAM disk is empty, and stays so if it is read-only.
    #[cfg(feature = "ramfs")]
    EmptyForEver,
    /// There is no such file system on the disk, or the path is taken.
    Files(FileError),
    /// There is no thread to do it.
    Thread(SpawnError),
    /// The core of that number ended the thread before it was done.
    Ended(usize),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(error) => write!(f, "{error}, as in mount=/data:fat:blk0"),
            Self::Kind => {
                f.write_str("the image has no file system of that kind; it has")?;
                kinds::names().try_for_each(|name| write!(f, " {name}"))?;
                f.write_str(", and the features of the crate `toro` pick others")
            }
            #[cfg(feature = "blk")]
            Self::NoDisk => {
                f.write_str("this machine has no such disk; it has")?;
                let mut disks = kinds::disks();
                match disks.next() {
                    None => f.write_str(" none; give it one, as in `run --disk disk.img`"),
                    Some(first) => {
                        write!(f, " {first}")?;
                        disks.try_for_each(|name| write!(f, " {name}"))
                    }
                }
            }
            #[cfg(feature = "disk-files")]
            Self::Partition(error) => write!(
                f,
                "{error}; blk0 is a whole disk, blk0p1 its first partition"
            ),
            #[cfg(feature = "virtio-fs")]
            Self::NoShare => f.write_str(
                "this machine has no such shared folder; give it one, as in `run --share DIR`, and call the first fs0",
            ),
            #[cfg(feature = "virtio-fs")]
            Self::Share(error) => write!(f, "{error}; look at what virtiofsd says on the host"),
            #[cfg(feature = "ramfs")]
            Self::Size => f.write_str("a RAM disk wants a size, as in 16M, or none"),
            #[cfg(feature = "ramfs")]
            Self::EmptyForEver => {
                f.write_str("a read-only RAM disk stays empty; leave `ro` out")
            }
            Self::Files(FileError::Corrupt) => f.write_str(
                "the disk holds no such file system, or a damaged one; format it, as in `mkfs.fat disk.img`, or repair it on the host",
            ),
            Self::Files(FileError::Unsupported) => f.write_str(
                "the file system uses what cannot be read here; make it without, as in `mke2fs -O ^encrypt`",
            ),
            Self::Files(FileError::Unclean) => f.write_str(
                "the file system waits for its journal to be played back; have it done on the host, as in `e2fsck -p disk.img`",
            ),
            Self::Files(error) => error.fmt(f),
            Self::Thread(error) => error.fmt(f),
            Self::Ended(core) => write!(f, "core {core} could not do it; give it more memory"),
        }
    }
}

impl core::error::Error for MountError {}
