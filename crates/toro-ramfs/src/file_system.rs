//! [`RamFs`]: the tree as a file system of `toro_vfs`.

use alloc::string::String;
use core::cell::RefCell;
use core::fmt;

use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId};

use crate::node::{Content, Directory, Node};
use crate::pages::Pages;
use crate::tree::Tree;

/// A file system in memory.
///
/// Its calls never park. What it holds is gone with it; so a sync has nothing to do and succeeds.
pub struct RamFs {
    tree: RefCell<Tree>,
    /// Seconds since 1970 (UTC).
    clock: fn() -> u64,
}

impl RamFs {
    /// An empty file system that takes at most about `limit` bytes of memory, names and pages together.
    ///
    /// `clock` tells the time of changes, in seconds since 1970 (UTC).
    pub fn new(limit: usize, clock: fn() -> u64) -> Self {
        Self {
            tree: RefCell::new(Tree::new(limit)),
            clock,
        }
    }

    /// How many bytes of the limit are taken.
    pub fn taken(&self) -> usize {
        self.tree.borrow().space.taken()
    }

    fn with_file<T>(
        &self,
        node: NodeId,
        call: impl FnOnce(&mut Pages, &mut crate::space::Space) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let mut tree = self.tree.borrow_mut();
        let (node, space) = tree.node_and_space(number(node)?)?;
        let Content::File(pages) = &mut node.content else {
            return Err(FileError::IsADirectory);
        };
        let outcome = call(pages, space)?;
        node.modified = (self.clock)();
        Ok(outcome)
    }
}

impl FileSystem for RamFs {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        let mut tree = self.tree.borrow_mut();
        let number = tree.find(path)?;
        tree.open(number)?;
        Ok(NodeId(number as u64))
    }

    fn close(&self, node: NodeId) {
        if let Ok(number) = number(node) {
            self.tree.borrow_mut().close(number);
        }
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        let tree = self.tree.borrow();
        let node = tree.node(number(node)?)?;
        let len = match &node.content {
            Content::File(pages) => pages.len(),
            Content::Directory(_) => 0,
        };
        Ok(Metadata::new(node.file_type(), len, node.modified))
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        match &self.tree.borrow().node(number(node)?)?.content {
            Content::File(pages) => Ok(pages.read(offset, buf)),
            Content::Directory(_) => Err(FileError::IsADirectory),
        }
    }

    fn try_read_at(&self, node: NodeId, at: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.read_at(node, at, buf)
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        let tree = self.tree.borrow();
        let directory = tree.node(number(node)?)?.directory()?;
        let Some((at, name, child)) = directory.entry_from(*cursor) else {
            return Ok(None);
        };
        *cursor = at + 1;
        let file_type = tree.node(child)?.file_type();
        Ok(Some(DirEntry::new(String::from(name), file_type)))
    }

    fn create(&self, path: &str) -> Result<NodeId, FileError> {
        let mut tree = self.tree.borrow_mut();
        let number = tree.create(path, Content::File(Pages::default()), (self.clock)())?;
        tree.open(number)?;
        Ok(NodeId(number as u64))
    }

    fn write_at(&self, node: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, FileError> {
        self.with_file(node, |pages, space| pages.write(offset, bytes, space))
    }

    fn set_len(&self, node: NodeId, len: u64) -> Result<(), FileError> {
        self.with_file(node, |pages, space| pages.set_len(len, space))
    }

    fn create_dir(&self, path: &str) -> Result<(), FileError> {
        let directory = Content::Directory(Directory::default());
        let now = (self.clock)();
        self.tree
            .borrow_mut()
            .create(path, directory, now)
            .map(drop)
    }

    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        let check = |node: &Node| match node.content {
            Content::File(_) => Ok(()),
            Content::Directory(_) => Err(FileError::IsADirectory),
        };
        let now = (self.clock)();
        self.tree.borrow_mut().remove(path, now, check)
    }

    fn remove_dir(&self, path: &str) -> Result<(), FileError> {
        let check = |node: &Node| {
            if node.directory()?.is_empty() {
                Ok(())
            } else {
                Err(FileError::DirectoryNotEmpty)
            }
        };
        let now = (self.clock)();
        self.tree.borrow_mut().remove(path, now, check)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        let now = (self.clock)();
        self.tree.borrow_mut().rename(from, to, now)
    }
}

impl fmt::Debug for RamFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RamFs")
            .field("taken", &self.taken())
            .finish_non_exhaustive()
    }
}

fn number(node: NodeId) -> Result<usize, FileError> {
    usize::try_from(node.0).map_err(|_| FileError::NotFound)
}
