//! [`Nodes`]: what is open, each file once however often it is open.

use alloc::collections::BTreeMap;

use toro_vfs::{FileError, FileType};

use crate::chain::Chain;
use crate::geometry::Start;

/// The number of the root, which is always open.
pub(crate) const ROOT: u64 = 0;

/// An open file or directory.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// Place of its entry; the root and what was removed have none.
    pub(crate) place: Option<u64>,
    pub(crate) file_type: FileType,
    /// First cluster; 0 if there is none.
    pub(crate) first: u32,
    pub(crate) len: u32,
    pub(crate) modified: u64,
    /// What is known of its clusters; begins anew when it is cut.
    pub(crate) chain: Chain,
    count: usize,
}

/// All that is open.
#[derive(Debug)]
pub(crate) struct Nodes {
    open: BTreeMap<u64, Open>,
    by_place: BTreeMap<u64, u64>,
    next: u64,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            by_place: BTreeMap::new(),
            next: ROOT + 1,
        }
    }

    pub(crate) fn get(&self, node: u64) -> Result<&Open, FileError> {
        self.open.get(&node).ok_or(FileError::NotFound)
    }

    pub(crate) fn get_mut(&mut self, node: u64) -> Result<&mut Open, FileError> {
        self.open.get_mut(&node).ok_or(FileError::NotFound)
    }

    /// Opens what has its entry at `place`; `make` tells what is known of it if it is not open yet.
    pub(crate) fn open(&mut self, place: u64, make: impl FnOnce() -> Open) -> u64 {
        if let Some(&node) = self.by_place.get(&place) {
            if let Some(open) = self.open.get_mut(&node) {
                open.count += 1;
            }
            return node;
        }
        let node = self.next;
        self.next += 1;
        self.open.insert(node, make());
        self.by_place.insert(place, node);
        node
    }

    /// Closes it once; returns the chain to free if it was removed and nobody has it open any more.
    pub(crate) fn close(&mut self, node: u64) -> Option<u32> {
        let open = self.open.get_mut(&node)?;
        open.count -= 1;
        if open.count > 0 {
            return None;
        }
        let open = self.open.remove(&node)?;
        match open.place {
            Some(place) => {
                self.by_place.remove(&place);
                None
            }
            None => Some(open.first),
        }
    }

    /// The entry at `place` is gone. Returns whether it is open: its chain is freed when it is closed then.
    pub(crate) fn removed(&mut self, place: u64) -> bool {
        let node = self.by_place.remove(&place);
        let open = node.and_then(|node| self.open.get_mut(&node));
        open.is_some_and(|open| {
            open.place = None;
            true
        })
    }

    /// The entry at `from` is at `to` now.
    pub(crate) fn moved(&mut self, from: u64, to: u64) {
        let Some(node) = self.by_place.remove(&from) else {
            return;
        };
        self.by_place.insert(to, node);
        if let Some(open) = self.open.get_mut(&node) {
            open.place = Some(to);
        }
    }
}

impl Open {
    pub(crate) fn new(
        place: u64,
        file_type: FileType,
        first: u32,
        len: u32,
        modified: u64,
    ) -> Self {
        Self {
            place: Some(place),
            file_type,
            first,
            len,
            modified,
            chain: Chain::new(first),
            count: 1,
        }
    }

    /// Where the directory begins, if it is one.
    pub(crate) fn start(&self) -> Result<Start, FileError> {
        match self.file_type {
            FileType::Directory => Ok(Start::Cluster(self.first)),
            FileType::File => Err(FileError::NotADirectory),
        }
    }
}
