//! [`ExtFs`]: the volume as a file system of `toro_vfs`.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use ext4_view::Ext4;
use toro_cache::{BlockStore, Cache, Exclusive};
use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId};

use crate::error::translate;
use crate::nodes::{Nodes, Open};
use crate::reader::Reader;
use crate::resolve::resolve;
use crate::superblock;

/// An ext2, ext3 or ext4 volume, which is never written.
pub struct ExtFs {
    state: Exclusive<State>,
}

struct State {
    ext: Ext4,
    nodes: Nodes,
}

impl ExtFs {
    /// Mounts the volume on `store`, with a cache of `cache_bytes` bytes.
    ///
    /// # Errors
    /// [`FileError::Corrupt`] if there is no such volume, [`FileError::Unsupported`] if it uses what cannot be read, and
    /// what the device fails with.
    pub fn mount(store: Rc<dyn BlockStore>, cache_bytes: usize) -> Result<Self, FileError> {
        let mut cache = Cache::new(store, cache_bytes);
        superblock::check(&mut cache)?;
        let ext = Ext4::load(Box::new(Reader(cache))).map_err(translate)?;
        let nodes = Nodes::default();
        Ok(Self {
            state: Exclusive::new(State { ext, nodes }),
        })
    }
}

impl FileSystem for ExtFs {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        self.state.with(|state| {
            let open = Open::new(&state.ext, path)?;
            Ok(NodeId(state.nodes.insert(open)))
        })
    }

    fn close(&self, node: NodeId) {
        self.state.with(|state| state.nodes.remove(node.0));
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        self.state
            .with(|state| Ok(state.nodes.get(node.0)?.metadata))
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.state
            .with(|state| state.nodes.get(node.0)?.read_at(offset, buf))
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        self.state.with(|state| {
            let entry = state.nodes.get(node.0)?.entry(&state.ext, *cursor)?;
            *cursor += u64::from(entry.is_some());
            Ok(entry)
        })
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        self.state.with(|state| {
            let found = resolve(&state.ext, path)?;
            Ok(String::from(found.trim_start_matches('/')))
        })
    }
}

impl fmt::Debug for ExtFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtFs").finish_non_exhaustive()
    }
}
