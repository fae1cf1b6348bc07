//! [`Tree`]: the server's nodes, asked for or remembered.

use alloc::string::String;
use core::cell::RefCell;

use toro_time::Instant;
use toro_vfs::FileError;

use crate::nodes::Nodes;
use crate::reply::{Attr, Entry, Kind};
use crate::session::{NUL, Request, Session};
use crate::wire::{Args, Opcode, ROOT, Reader};

/// Bytes of the answers.
pub(crate) const ENTRY: usize = 128;
const ATTR: usize = 104;
/// The longest target of a link.
const LINK: usize = 4096;
/// So many nodes are forgotten at once, and no more than these in one message.
const FORGETS: usize = 64;
const FORGETS_MOST: usize = 1024;

/// The server's nodes.
pub(crate) struct Tree {
    pub(crate) session: Session,
    nodes: RefCell<Nodes>,
    clock: fn() -> Instant,
}

/// A node that is used: it stays until this is dropped.
pub(crate) struct Pinned<'t> {
    tree: &'t Tree,
    pub(crate) node: u64,
    pub(crate) kind: Kind,
}

impl Tree {
    pub(crate) fn new(session: Session, clock: fn() -> Instant) -> Self {
        Self {
            session,
            nodes: RefCell::new(Nodes::new()),
            clock,
        }
    }

    /// The root.
    pub(crate) fn root(&self) -> Pinned<'_> {
        self.nodes.borrow_mut().pin(ROOT);
        Pinned {
            tree: self,
            node: ROOT,
            kind: Kind::Directory,
        }
    }

    /// The node that `name` in `parent` means.
    ///
    /// # Errors
    /// [`FileError::NotFound`], [`FileError::NotADirectory`], and what the server fails with.
    pub(crate) fn lookup(&self, parent: &Pinned<'_>, name: &str) -> Result<Pinned<'_>, FileError> {
        if parent.kind != Kind::Directory {
            return Err(FileError::NotADirectory);
        }
        let known = self
            .nodes
            .borrow_mut()
            .recall(parent.node, name, self.now());
        if let Some(known) = known {
            let (node, attr) = known.ok_or(FileError::NotFound)?;
            return Ok(self.pinned(node, attr.kind));
        }
        let parts = [name.as_bytes(), NUL];
        let request = Request::new(Opcode::Lookup, parent.node, Args::new()).with(&parts);
        let answer = self.session.call(request, ENTRY)?;
        let entry = Entry::parse(&mut Reader(answer.body())).ok_or(FileError::Corrupt)?;
        self.learn(parent.node, name, &entry)
    }

    /// Takes note of what the server says `name` in `parent` means.
    ///
    /// # Errors
    /// [`FileError::NotFound`] if that is nothing, [`FileError::Corrupt`] if it contradicts what is known.
    pub(crate) fn learn(
        &self,
        parent: u64,
        name: &str,
        entry: &Entry,
    ) -> Result<Pinned<'_>, FileError> {
        let learnt = self
            .nodes
            .borrow_mut()
            .learn(parent, name, entry, self.now());
        let node = learnt?.ok_or(FileError::NotFound)?;
        Ok(self.pinned(node, entry.attr.kind))
    }

    /// Forgets what `name` in `parent` meant.
    pub(crate) fn unlearn(&self, parent: u64, name: &str) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.unlearn(parent, name);
        nodes.outdate(parent);
    }

    /// What is known of a node, if it may still be believed or else asked for.
    pub(crate) fn attr(&self, node: u64) -> Result<Attr, FileError> {
        let known = self.nodes.borrow().attr(node, self.now());
        known.map_or_else(|| self.fresh_attr(node), Ok)
    }

    /// What the server knows of a node now.
    pub(crate) fn fresh_attr(&self, node: u64) -> Result<Attr, FileError> {
        let request = Request::new(Opcode::Getattr, node, Args::new().zeros(16));
        let answer = self.session.call(request, ATTR)?;
        self.set_attr(node, answer.body())
    }

    /// Cuts the file to `len` bytes or fills it up, through `handle` if there is one.
    pub(crate) fn set_len(
        &self,
        node: u64,
        handle: Option<u64>,
        len: u64,
    ) -> Result<(), FileError> {
        /// Which fields count (`FATTR_SIZE`, `FATTR_FH`).
        const SIZE: u32 = 1 << 3;
        const HANDLE: u32 = 1 << 6;
        let valid = SIZE | handle.map_or(0, |_| HANDLE);
        let args = Args::new().u32(valid).u32(0).u64(handle.unwrap_or(0));
        let request = Request::new(Opcode::Setattr, node, args.u64(len).zeros(64));
        let answer = self.session.call(request, ATTR)?;
        self.set_attr(node, answer.body()).map(drop)
    }

    /// The attributes of a node have changed.
    pub(crate) fn outdate(&self, node: u64) {
        self.nodes.borrow_mut().outdate(node);
    }

    /// Where a link leads.
    pub(crate) fn read_link(&self, node: u64) -> Result<String, FileError> {
        let request = Request::new(Opcode::Readlink, node, Args::new());
        let answer = self.session.call(request, LINK)?;
        let target = str::from_utf8(answer.body()).map_err(|_| FileError::InvalidPath)?;
        let is_path = !target.is_empty() && !target.contains('\0');
        is_path
            .then(|| String::from(target))
            .ok_or(FileError::InvalidPath)
    }

    /// A pin more for a node that is open.
    pub(crate) fn pin(&self, node: u64) -> Pinned<'_> {
        let mut nodes = self.nodes.borrow_mut();
        nodes.pin(node);
        Pinned {
            tree: self,
            node,
            kind: nodes.kind(node).unwrap_or(Kind::Other),
        }
    }

    /// Takes back a pin that was [kept](Pinned::keep).
    pub(crate) fn unpin(&self, node: u64) {
        self.nodes.borrow_mut().unpin(node);
        self.tell_forgets(FORGETS);
    }

    /// Tells the server what it may forget, if there are `least` such nodes.
    pub(crate) fn tell_forgets(&self, least: usize) {
        let forgets = self.nodes.borrow_mut().take_forgets(least);
        if forgets.is_empty() {
            return;
        }
        if let [(node, lookups)] = forgets[..] {
            let request = Request::new(Opcode::Forget, node, Args::new().u64(lookups));
            return self.session.tell(request);
        }
        for batch in forgets.chunks(FORGETS_MOST) {
            let count = u32::try_from(batch.len()).expect("a batch is small");
            let pairs: alloc::vec::Vec<u8> = batch
                .iter()
                .flat_map(|(node, lookups)| [node.to_le_bytes(), lookups.to_le_bytes()])
                .flatten()
                .collect();
            let args = Args::new().u32(count).u32(0);
            let request = Request::new(Opcode::BatchForget, 0, args);
            self.session.tell(request.with(&[&pairs]));
        }
    }

    fn set_attr(&self, node: u64, body: &[u8]) -> Result<Attr, FileError> {
        let (attr, valid) = Attr::parse_answer(body).ok_or(FileError::Corrupt)?;
        let until = self.now() + valid;
        self.nodes.borrow_mut().set_attr(node, attr, until)?;
        Ok(attr)
    }

    fn pinned(&self, node: u64, kind: Kind) -> Pinned<'_> {
        Pinned {
            tree: self,
            node,
            kind,
        }
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    /// How many nodes are known, the root included.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.nodes.borrow().len()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.nodes.borrow_mut().unlearn_all();
        self.tell_forgets(1);
    }
}

impl Pinned<'_> {
    /// Leaves the pin behind; whoever has the number gives it back with [`Tree::unpin`].
    pub(crate) fn keep(self) -> u64 {
        let node = self.node;
        core::mem::forget(self);
        node
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.tree.unpin(self.node);
    }
}
