//! [`Guarded`]: a file system that closes what threads left open when they panicked.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use toro_sched::Thread;
use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId, Sync};

/// From this many open nodes on, those of panicked threads are looked for.
const FEW: usize = 16;

/// A file system that closes what threads left open when they panicked.
///
/// A panic does not leave the frames of its thread, so files in them are never dropped. They are closed here: at the latest when
/// twice as many nodes are opened as there were, and before a [`sync_all`](FileSystem::sync_all). A node belongs to the thread
/// that opened it, also if its file was handed on; a call on one that was closed so is [`FileError::NotFound`], for numbers are never used
/// again.
pub struct Guarded {
    file_system: Rc<dyn FileSystem>,
    table: RefCell<Table>,
}

struct Table {
    open: BTreeMap<u64, (NodeId, Thread)>,
    next: u64,
    /// Look for panicked threads when so many are open.
    limit: usize,
}

impl Guarded {
    /// Guards `file_system`.
    pub fn new(file_system: Rc<dyn FileSystem>) -> Self {
        Self {
            file_system,
            table: RefCell::new(Table {
                open: BTreeMap::new(),
                next: 0,
                limit: FEW,
            }),
        }
    }

    /// Takes a node that was just opened into the table.
    fn adopt(&self, node: NodeId) -> NodeId {
        if self.table.borrow().open.len() >= self.table.borrow().limit {
            self.sweep();
        }
        let mut table = self.table.borrow_mut();
        let number = table.next;
        table.next += 1;
        table.open.insert(number, (node, toro_sched::current()));
        NodeId(number)
    }

    /// The file system's own number for `node`.
    fn node(&self, node: NodeId) -> Result<NodeId, FileError> {
        let table = self.table.borrow();
        let found = table.open.get(&node.0);
        found.map(|(node, _)| *node).ok_or(FileError::NotFound)
    }

    /// Closes what panicked threads have open.
    fn sweep(&self) {
        let mut left = Vec::new();
        {
            let mut table = self.table.borrow_mut();
            table.open.retain(|_, (node, thread)| {
                let is_left = thread.has_panicked();
                left.extend(is_left.then_some(*node));
                !is_left
            });
            table.limit = (table.open.len() * 2).max(FEW);
        }
        // The calls may park: nothing is borrowed any more.
        left.into_iter()
            .for_each(|node| self.file_system.close(node));
    }
}

impl FileSystem for Guarded {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        self.file_system.open(path).map(|node| self.adopt(node))
    }

    fn close(&self, node: NodeId) {
        let closed = self.table.borrow_mut().open.remove(&node.0);
        if let Some((node, _)) = closed {
            self.file_system.close(node);
        }
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        self.file_system.metadata(self.node(node)?)
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.file_system.read_at(self.node(node)?, offset, buf)
    }

    fn try_read_at(&self, node: NodeId, at: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.file_system.try_read_at(self.node(node)?, at, buf)
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        self.file_system.read_dir(self.node(node)?, cursor)
    }

    fn static_bytes(&self, node: NodeId) -> Option<&'static [u8]> {
        self.file_system.static_bytes(self.node(node).ok()?)
    }

    fn create(&self, path: &str) -> Result<NodeId, FileError> {
        self.file_system.create(path).map(|node| self.adopt(node))
    }

    fn write_at(&self, node: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, FileError> {
        self.file_system.write_at(self.node(node)?, offset, bytes)
    }

    fn append(&self, node: NodeId, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        self.file_system.append(self.node(node)?, bytes)
    }

    fn set_len(&self, node: NodeId, len: u64) -> Result<(), FileError> {
        self.file_system.set_len(self.node(node)?, len)
    }

    fn sync(&self, node: NodeId, what: Sync) -> Result<(), FileError> {
        self.file_system.sync(self.node(node)?, what)
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.sweep();
        self.file_system.sync_all()
    }

    fn create_dir(&self, path: &str) -> Result<(), FileError> {
        self.file_system.create_dir(path)
    }

    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        self.file_system.remove_file(path)
    }

    fn remove_dir(&self, path: &str) -> Result<(), FileError> {
        self.file_system.remove_dir(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.file_system.rename(from, to)
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        self.file_system.canonicalize(path)
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("open", &self.table.borrow().open.len())
            .finish_non_exhaustive()
    }
}
