//! [`Tree`]: all nodes, and the changes of names.

use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::node::{Content, Directory, Node};
use crate::space::Space;

/// What a node and its name cost, besides the bytes of the name, which is there twice.
const NODE_COST: usize = size_of::<Node>() + 192;

/// Longest name in bytes.
const NAME_MAX: usize = 255;

/// Where the root lies.
const ROOT: usize = 0;

/// All nodes of a file system.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Option<Node>>,
    free: Vec<usize>,
    pub(crate) space: Space,
}

impl Tree {
    pub(crate) fn new(limit: usize) -> Self {
        let root = Node::new(Content::Directory(Directory::default()), 0);
        Self {
            nodes: Vec::from([Some(root)]),
            free: Vec::new(),
            space: Space::new(limit),
        }
    }

    pub(crate) fn node(&self, number: usize) -> Result<&Node, FileError> {
        let node = self.nodes.get(number).and_then(Option::as_ref);
        node.ok_or(FileError::NotFound)
    }

    pub(crate) fn node_mut(&mut self, number: usize) -> Result<&mut Node, FileError> {
        let node = self.nodes.get_mut(number).and_then(Option::as_mut);
        node.ok_or(FileError::NotFound)
    }

    /// The node, and the space that its pages are counted against.
    pub(crate) fn node_and_space(
        &mut self,
        number: usize,
    ) -> Result<(&mut Node, &mut Space), FileError> {
        let node = self.nodes.get_mut(number).and_then(Option::as_mut);
        Ok((node.ok_or(FileError::NotFound)?, &mut self.space))
    }

    pub(crate) fn find(&self, path: &str) -> Result<usize, FileError> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let directory = self.node(at)?.directory()?;
            at = directory.find(name).ok_or(FileError::NotFound)?;
        }
        Ok(at)
    }

    /// Makes a node at `path`, where nothing is.
    pub(crate) fn create(
        &mut self,
        path: &str,
        content: Content,
        now: u64,
    ) -> Result<usize, FileError> {
        let (parent, name) = self.parent(path)?;
        if name.is_empty() || self.node(parent)?.directory()?.find(name).is_some() {
            return Err(FileError::AlreadyExists);
        }
        check_name(name)?;
        self.space.take(NODE_COST + 2 * name.len())?;
        let number = self.place(Node::new(content, now));
        self.node_mut(parent)?.directory_mut()?.insert(name, number);
        self.node_mut(parent)?.modified = now;
        Ok(number)
    }

    /// Takes the name of the node at `path` away, if `check` lets it.
    pub(crate) fn remove(
        &mut self,
        path: &str,
        now: u64,
        check: fn(&Node) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let number = self.find(path)?;
        check(self.node(number)?)?;
        self.unlink(path, number, now)
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str, now: u64) -> Result<(), FileError> {
        let number = self.find(from)?;
        let (parent, name) = self.parent(to)?;
        check_name(name)?;
        let target = self.node(parent)?.directory()?.find(name);
        if let Some(target) = target {
            check_replace(self.node(number)?, self.node(target)?)?;
        }
        // Charged before anything changes, so that nothing has to be undone.
        self.space.take(2 * name.len())?;
        if let Some(target) = target {
            self.unlink(to, target, now)?;
        }
        let (old_parent, old_name) = self.parent(from)?;
        self.space.give_back(2 * old_name.len());
        let old = self.node_mut(old_parent)?;
        old.directory_mut()?.remove(old_name);
        old.modified = now;
        let new = self.node_mut(parent)?;
        new.directory_mut()?.insert(name, number);
        new.modified = now;
        Ok(())
    }

    /// Counts one more user of the node.
    pub(crate) fn open(&mut self, number: usize) -> Result<(), FileError> {
        self.node_mut(number)?.opened += 1;
        Ok(())
    }

    /// Counts one user less, and frees the node if it has no name any more.
    pub(crate) fn close(&mut self, number: usize) {
        if let Ok(node) = self.node_mut(number) {
            node.opened = node.opened.saturating_sub(1);
            self.free_unused(number);
        }
    }

    fn unlink(&mut self, path: &str, number: usize, now: u64) -> Result<(), FileError> {
        let (parent, name) = self.parent(path)?;
        let directory = self.node_mut(parent)?;
        directory.directory_mut()?.remove(name);
        directory.modified = now;
        self.space.give_back(2 * name.len());
        self.node_mut(number)?.is_linked = false;
        self.free_unused(number);
        Ok(())
    }

    fn free_unused(&mut self, number: usize) {
        let Some(slot) = self.nodes.get_mut(number) else {
            return;
        };
        let Some(mut node) = slot.take_if(|node| !node.is_linked && node.opened == 0) else {
            return;
        };
        if let Content::File(pages) = &mut node.content {
            pages
                .set_len(0, &mut self.space)
                .expect("a file can always be cut");
        }
        self.space.give_back(NODE_COST);
        self.free.push(number);
    }

    fn place(&mut self, node: Node) -> usize {
        if let Some(number) = self.free.pop() {
            self.nodes[number] = Some(node);
            return number;
        }
        self.nodes.push(Some(node));
        self.nodes.len() - 1
    }

    /// The directory of `path`, which must be one, and the last name.
    fn parent<'p>(&self, path: &'p str) -> Result<(usize, &'p str), FileError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.find(parent)?;
        self.node(parent)?.directory()?;
        Ok((parent, name))
    }
}

fn check_name(name: &str) -> Result<(), FileError> {
    if name.len() > NAME_MAX {
        return Err(FileError::InvalidPath);
    }
    Ok(())
}

/// Whether `target` gives way to `node` in a rename.
fn check_replace(node: &Node, target: &Node) -> Result<(), FileError> {
    match (&node.content, &target.content) {
        (Content::File(_), Content::File(_)) => Ok(()),
        (Content::File(_), Content::Directory(_)) => Err(FileError::IsADirectory),
        (Content::Directory(_), Content::File(_)) => Err(FileError::NotADirectory),
        (Content::Directory(_), Content::Directory(directory)) => {
            if directory.is_empty() {
                Ok(())
            } else {
                Err(FileError::DirectoryNotEmpty)
            }
        }
    }
}
