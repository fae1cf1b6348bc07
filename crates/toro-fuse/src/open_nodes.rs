//! [`OpenNodes`]: what callers have open, by the numbers that they know.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use toro_vfs::{DirEntry, FileError, NodeId};

/// An open node. It holds a pin.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) node: u64,
    /// The server's handles, from the first read and the first write on; the second is for both.
    pub(crate) reading: Option<u64>,
    pub(crate) writing: Option<u64>,
    /// The path of a directory.
    pub(crate) path: String,
    pub(crate) listing: Option<Listing>,
}

/// A directory that is being listed.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The server's handle.
    pub(crate) handle: u64,
    /// What the server has said of it and was not asked for yet.
    pub(crate) coming: VecDeque<Listed>,
    /// How many entries were listed since the start.
    pub(crate) count: usize,
}

/// An entry of a directory that is being listed.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The cursors of it and of the next one.
    pub(crate) at: u64,
    pub(crate) next: u64,
    pub(crate) entry: Entry,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Known(DirEntry),
    /// What a link is depends on where it leads.
    Link(String),
    /// Nothing that callers can use.
    Skipped,
}

/// All that is open.
#[derive(Debug, Default)]
pub(crate) struct OpenNodes {
    places: Vec<Option<Open>>,
    free: Vec<usize>,
}

impl OpenNodes {
    pub(crate) fn insert(&mut self, open: Open) -> NodeId {
        let at = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(at) {
            Some(place) => *place = Some(open),
            None => self.places.push(Some(open)),
        }
        NodeId(at as u64)
    }

    pub(crate) fn remove(&mut self, node: NodeId) -> Option<Open> {
        let at = usize::try_from(node.0).ok()?;
        let open = self.places.get_mut(at)?.take()?;
        self.free.push(at);
        Some(open)
    }

    pub(crate) fn get(&mut self, node: NodeId) -> Result<&mut Open, FileError> {
        let place = usize::try_from(node.0)
            .ok()
            .and_then(|at| self.places.get_mut(at));
        place.and_then(Option::as_mut).ok_or(FileError::NotFound)
    }

    /// Whatever is open now, by its number.
    pub(crate) fn numbers(&self) -> Vec<NodeId> {
        let places = self.places.iter().enumerate();
        let open = places.filter(|(_, place)| place.is_some());
        open.map(|(at, _)| NodeId(at as u64)).collect()
    }
}
