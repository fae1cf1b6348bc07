//! [`ExtFs`]: the volume as a file system of `toro_vfs`.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use toro_cache::{BlockStore, Exclusive};
use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId};

use crate::directory;
use crate::inode::{Inode, Kind};
use crate::resolve::Found;
use crate::volume::Volume;

/// An ext2, ext3 or ext4 volume, which is never written.
pub struct ExtFs {
    state: Exclusive<State>,
}

struct State {
    volume: Volume,
    open: BTreeMap<u64, Found>,
    next: u64,
}

impl ExtFs {
    /// Mounts the volume on `store`, with a cache of `cache_bytes` bytes.
    ///
    /// # Errors
    /// [`FileError::Corrupt`] if there is no such volume, [`FileError::Unsupported`] if it uses what cannot be read,
    /// [`FileError::Unclean`] if its journal must be played back, and what the device fails with.
    pub fn mount(store: Rc<dyn BlockStore>, cache_bytes: usize) -> Result<Self, FileError> {
        let state = State {
            volume: Volume::mount(store, cache_bytes)?,
            open: BTreeMap::new(),
            next: 0,
        };
        Ok(Self {
            state: Exclusive::new(state),
        })
    }
}

impl State {
    fn read_at(&mut self, node: u64, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let found = self.open.get(&node).ok_or(FileError::NotFound)?;
        match found.inode.kind {
            Kind::File => found.inode.read_at(&mut self.volume, offset, buf),
            _ => Err(FileError::IsADirectory),
        }
    }

    fn entry(&mut self, node: u64, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        let found = self.open.get(&node).ok_or(FileError::NotFound)?;
        if found.inode.kind != Kind::Directory {
            return Err(FileError::NotADirectory);
        }
        let volume = &mut self.volume;
        while let Some(slot) = found.inode.next_slot(volume, cursor)? {
            let Some(name) = directory::text(&slot) else {
                continue;
            };
            let inode = Inode::read(volume, slot.inode)?;
            let inode = match inode.kind {
                // One that leads nowhere is left out.
                Kind::Link => match volume.follow(&found.path, &name) {
                    Ok(inode) => inode,
                    Err(FileError::Io(error)) => return Err(FileError::Io(error)),
                    Err(_) => continue,
                },
                _ => inode,
            };
            if let Some(metadata) = inode.metadata() {
                return Ok(Some(DirEntry::new(name, metadata.file_type())));
            }
        }
        Ok(None)
    }
}

impl FileSystem for ExtFs {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        self.state.with(|state| {
            let found = state.volume.resolve(path)?;
            found.inode.metadata().ok_or(FileError::Unsupported)?;
            state.next += 1;
            state.open.insert(state.next, found);
            Ok(NodeId(state.next))
        })
    }

    fn close(&self, node: NodeId) {
        self.state.with(|state| state.open.remove(&node.0));
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        self.state.with(|state| {
            let found = state.open.get(&node.0);
            let metadata = found.and_then(|found| found.inode.metadata());
            metadata.ok_or(FileError::NotFound)
        })
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.state.with(|state| state.read_at(node.0, offset, buf))
    }

    fn try_read_at(&self, node: NodeId, at: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let read = |state: &mut State| {
            state.volume.stay(true);
            let outcome = state.read_at(node.0, at, buf);
            state.volume.stay(false);
            outcome
        };
        let outcome = self.state.try_with(read);
        outcome.unwrap_or(Err(FileError::WouldBlock))
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        self.state.with(|state| state.entry(node.0, cursor))
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        self.state
            .with(|state| Ok(state.volume.resolve(path)?.path))
    }
}

impl fmt::Debug for ExtFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtFs").finish_non_exhaustive()
    }
}
