//! [`FatFs`]: the volume as a file system of `toro_vfs`.

use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use toro_cache::{BlockStore, Exclusive};
use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId, Sync};

use crate::directory::Walk;
use crate::geometry::Start;
use crate::nodes::ROOT;
use crate::volume::Volume;

/// How a volume is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of memory for blocks of the disk.
    pub cache_bytes: usize,
    /// Tells the time of changes, in seconds since 1970 (UTC).
    pub clock: fn() -> u64,
}

/// A FAT volume.
///
/// Names are compared without regard to case. Clusters of removed files are free when the next sync is over.
pub struct FatFs {
    volume: Exclusive<Volume>,
}

impl FatFs {
    /// Mounts the volume on `store`; repairs it if a power cut ended its last use.
    ///
    /// A store that is read-only is never written, and not repaired.
    ///
    /// # Errors
    /// [`FileError::Corrupt`] if there is no such volume, and what the device fails with.
    pub fn mount(store: Rc<dyn BlockStore>, options: Options) -> Result<Self, FileError> {
        let volume = Volume::mount(store, options.cache_bytes, options.clock)?;
        Ok(Self {
            volume: Exclusive::new(volume),
        })
    }

    /// Number of free bytes; what waits for a sync is not counted.
    ///
    /// # Errors
    /// Fails if the device does.
    pub fn free_bytes(&self) -> Result<u64, FileError> {
        self.volume.with(|volume| {
            let cluster = u64::from(volume.geometry.cluster);
            Ok(u64::from(volume.free_clusters()?) * cluster)
        })
    }
}

impl FileSystem for FatFs {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        self.volume.with(|volume| volume.open(path)).map(NodeId)
    }

    fn close(&self, node: NodeId) {
        self.volume.with(|volume| {
            if let Some(first) = volume.nodes.close(node.0) {
                // If the device fails, the clusters are lost until the next repair.
                let _ = volume.free_later(first);
            }
        });
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        self.volume.with(|volume| volume.metadata(node.0))
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.volume
            .with(|volume| volume.read_at(node.0, offset, buf))
    }

    fn try_read_at(&self, node: NodeId, at: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let read = |volume: &mut Volume| volume.read_cached(node.0, at, buf);
        self.volume
            .try_with(read)
            .unwrap_or(Err(FileError::WouldBlock))
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        self.volume.with(|volume| {
            let start: Start = match node.0 {
                ROOT => volume.geometry.root,
                number => volume.nodes.get(number)?.start()?,
            };
            let Ok(at) = u32::try_from(*cursor) else {
                return Ok(None);
            };
            let mut walk = Walk::from(volume, start, at)?;
            let Some(entry) = walk.next_entry(volume)? else {
                return Ok(None);
            };
            *cursor = u64::from(entry.behind);
            let file_type = entry.raw.file_type();
            Ok(Some(DirEntry::new(entry.name, file_type)))
        })
    }

    fn create(&self, path: &str) -> Result<NodeId, FileError> {
        self.volume.with(|volume| volume.create(path)).map(NodeId)
    }

    fn write_at(&self, node: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, FileError> {
        self.volume
            .with(|volume| volume.write_at(node.0, offset, bytes))
    }

    fn append(&self, node: NodeId, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        self.volume.with(|volume| volume.append(node.0, bytes))
    }

    fn set_len(&self, node: NodeId, len: u64) -> Result<(), FileError> {
        self.volume.with(|volume| volume.set_len(node.0, len))
    }

    fn sync(&self, _node: NodeId, _what: Sync) -> Result<(), FileError> {
        self.volume.with(Volume::sync)
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.volume.with(Volume::end_use)
    }

    fn create_dir(&self, path: &str) -> Result<(), FileError> {
        self.volume.with(|volume| volume.create_dir(path))
    }

    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        self.volume.with(|volume| volume.remove_file(path))
    }

    fn remove_dir(&self, path: &str) -> Result<(), FileError> {
        self.volume.with(|volume| volume.remove_dir(path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.volume.with(|volume| volume.rename(from, to))
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        self.volume.with(|volume| volume.canonical(path))
    }
}

impl fmt::Debug for FatFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FatFs").finish_non_exhaustive()
    }
}
