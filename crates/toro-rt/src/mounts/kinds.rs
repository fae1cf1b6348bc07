//! The kinds of file systems that were linked in: which core opens one, and how.

use alloc::rc::Rc;
#[cfg(feature = "blk")]
use core::fmt;

use toro_vfs::{FileSystem, MountSpec};

use super::MountError;

/// A kind of file system.
pub(super) struct Kind {
    name: &'static str,
    /// How many calls of other cores it works on at a time.
    pub(super) workers: usize,
    /// Finds the core that owns what is mounted.
    pub(super) owner: fn(&MountSpec<'_>) -> Result<usize, MountError>,
    /// Opens it there.
    pub(super) open: fn(&MountSpec<'_>) -> Result<Rc<dyn FileSystem>, MountError>,
}

/// The table.
const KINDS: &[Kind] = &[
    #[cfg(feature = "fat")]
    Kind {
        name: "fat",
        workers: 1,
        owner: disk::owner,
        open: disk::fat,
    },
    #[cfg(feature = "ext4")]
    Kind {
        name: "ext4",
        workers: 1,
        owner: disk::owner,
        open: disk::ext4,
    },
    #[cfg(feature = "virtio-fs")]
    Kind {
        name: "virtiofs",
        workers: 8,
        owner: share::owner,
        open: share::open,
    },
    #[cfg(feature = "ramfs")]
    Kind {
        name: "ram",
        workers: 1,
        owner: ram::owner,
        open: ram::open,
    },
];

impl Kind {
    pub(super) fn find(name: &str) -> Result<&'static Self, MountError> {
        let mut kinds = KINDS.iter();
        kinds.find(|kind| kind.name == name).ok_or(MountError::Kind)
    }
}

/// What the kinds are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// What the disks of the machine are called.
#[cfg(feature = "blk")]
pub(super) fn disks() -> impl Iterator<Item = impl fmt::Display> {
    let devices = crate::drivers::devices().iter();
    let disks = devices.filter(|device| device.name.class == toro_dev::owner::Class::Block);
    disks.map(|device| device.name)
}

/// The time of changes: seconds since 1970 (UTC).
#[cfg(any(feature = "fat", feature = "ramfs"))]
fn clock() -> u64 {
    toro_time::SystemTime::now().unix_secs()
}

#[cfg(feature = "disk-files")]
mod disk {
    use alloc::rc::Rc;

    use toro_cache::{BlockStore, ReadOnly};
    use toro_vfs::{FileSystem, MountSpec};

    use super::MountError;

    /// A cache takes this part of the memory that is free, within limits.
    const PART: usize = 16;
    const SMALLEST: usize = 256 << 10;
    const LARGEST: usize = 16 << 20;

    pub(super) fn owner(spec: &MountSpec<'_>) -> Result<usize, MountError> {
        let disk = spec.source.split('p').next().unwrap_or("");
        crate::drivers::owner_of(disk).ok_or(MountError::NoDisk)
    }

    #[cfg(feature = "fat")]
    pub(super) fn fat(spec: &MountSpec<'_>) -> Result<Rc<dyn FileSystem>, MountError> {
        let options = toro_fat::Options {
            cache_bytes: cache_bytes(),
            clock: super::clock,
        };
        let mounted = toro_fat::FatFs::mount(store(spec)?, options);
        Ok(Rc::new(mounted.map_err(MountError::Files)?))
    }

    #[cfg(feature = "ext4")]
    pub(super) fn ext4(spec: &MountSpec<'_>) -> Result<Rc<dyn FileSystem>, MountError> {
        let mounted = toro_ext4::ExtFs::mount(store(spec)?, cache_bytes());
        Ok(Rc::new(mounted.map_err(MountError::Files)?))
    }

    fn store(spec: &MountSpec<'_>) -> Result<Rc<dyn BlockStore>, MountError> {
        let store = toro_partition::open(spec.source).map_err(MountError::Partition)?;
        Ok(if spec.read_only {
            Rc::new(ReadOnly::new(store))
        } else {
            store
        })
    }

    fn cache_bytes() -> usize {
        (toro_mem::stats().free / PART).clamp(SMALLEST, LARGEST)
    }
}

#[cfg(feature = "ramfs")]
mod ram {
    use alloc::rc::Rc;

    use toro_ramfs::RamFs;
    use toro_vfs::{FileSystem, MountSpec};

    use super::MountError;

    /// A RAM disk lives on the core that asks for it.
    #[expect(clippy::unnecessary_wraps, reason = "as the table wants it")]
    pub(super) fn owner(_spec: &MountSpec<'_>) -> Result<usize, MountError> {
        Ok(toro_arch::core_local::id())
    }

    /// Takes a size in bytes, KiB, MiB or GiB: `16M`; without one, a quarter of the memory that is free.
    pub(super) fn open(spec: &MountSpec<'_>) -> Result<Rc<dyn FileSystem>, MountError> {
        if spec.read_only {
            return Err(MountError::EmptyForEver);
        }
        let limit = match spec.source {
            "" => toro_mem::stats().free / 4,
            text => bytes(text).ok_or(MountError::Size)?,
        };
        Ok(Rc::new(RamFs::new(limit, super::clock)))
    }

    fn bytes(text: &str) -> Option<usize> {
        let (digits, shift) = match text.as_bytes().last()? {
            b'K' => (&text[..text.len() - 1], 10),
            b'M' => (&text[..text.len() - 1], 20),
            b'G' => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        digits.parse::<usize>().ok()?.checked_mul(1 << shift)
    }
}

#[cfg(feature = "virtio-fs")]
mod share {
    use alloc::rc::Rc;

    use toro_fuse::{FuseFs, Options};
    use toro_vfs::{FileSystem, MountSpec};

    use super::MountError;

    pub(super) fn owner(spec: &MountSpec<'_>) -> Result<usize, MountError> {
        crate::drivers::owner_of(spec.source).ok_or(MountError::NoShare)
    }

    pub(super) fn open(spec: &MountSpec<'_>) -> Result<Rc<dyn FileSystem>, MountError> {
        let link = toro_fuse::open(spec.source).ok_or(MountError::NoShare)?;
        let options = Options {
            read_only: spec.read_only,
            clock: toro_time::Instant::now,
        };
        let mounted = FuseFs::mount(link, options).map_err(MountError::Share)?;
        Ok(Rc::new(mounted))
    }
}
