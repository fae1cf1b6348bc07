//! [`Nodes`]: what is known of the server's nodes, and for how long.
//!
//! The server counts how often it has named a node to us, and keeps it until we have forgotten it as often. So a node is here as long as it
//! has a remembered name or someone uses it (a pin), and then goes to the [`forgets`](Nodes::take_forgets).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use toro_time::Instant;
use toro_vfs::FileError;

use crate::reply::{Attr, Entry};
use crate::wire::ROOT;

/// How many names are remembered.
const MOST_NAMES: usize = 4096;

/// What is known of the server's nodes.
pub(crate) struct Nodes {
    nodes: BTreeMap<u64, Node>,
    /// Names by the directory they stand in.
    names: BTreeMap<u64, BTreeMap<String, Name>>,
    count: usize,
    /// Nodes to forget, and how often.
    forgets: Vec<(u64, u64)>,
}

struct Node {
    /// How often the server has named it.
    lookups: u64,
    /// How many use it.
    pins: u32,
    /// How many remembered names it has.
    names: u32,
    attr: Attr,
    /// When the attributes are to be asked for again.
    attr_until: Instant,
}

struct Name {
    /// `None` if nothing has this name.
    node: Option<u64>,
    until: Instant,
}

impl Nodes {
    /// Only the root, which is never forgotten and whose attributes are to be asked for.
    pub(crate) fn new() -> Self {
        let root = Node {
            lookups: 0,
            pins: 1,
            names: 0,
            attr: Attr {
                kind: crate::reply::Kind::Directory,
                len: 0,
                modified: 0,
            },
            attr_until: Instant::ZERO,
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            names: BTreeMap::new(),
            count: 0,
            forgets: Vec::new(),
        }
    }

    /// The node that has `name` in `parent`, pinned once more, if that is remembered: `Some(None)` if there is none.
    pub(crate) fn recall(
        &mut self,
        parent: u64,
        name: &str,
        now: Instant,
    ) -> Option<Option<(u64, Attr)>> {
        let found = self.names.get(&parent)?.get(name)?;
        if found.until <= now {
            self.unlearn(parent, name);
            return None;
        }
        let Some(number) = found.node else {
            return Some(None);
        };
        let node = self.nodes.get_mut(&number)?;
        node.pins += 1;
        Some(Some((number, node.attr)))
    }

    /// Takes note of what a lookup of `name` in `parent` was answered with, and pins the node; `None` if there is none.
    ///
    /// # Errors
    /// [`FileError::Corrupt`] if the node has become something else.
    pub(crate) fn learn(
        &mut self,
        parent: u64,
        name: &str,
        entry: &Entry,
        now: Instant,
    ) -> Result<Option<u64>, FileError> {
        let number = (entry.node != 0).then_some(entry.node);
        if let Some(number) = number {
            let fresh = Node {
                lookups: 0,
                pins: 0,
                names: 0,
                attr: entry.attr,
                attr_until: Instant::ZERO,
            };
            let node = self.nodes.entry(number).or_insert(fresh);
            node.lookups = node.lookups.saturating_add(1);
            // The kind of a node never changes, and the root is nobody's child.
            if node.attr.kind != entry.attr.kind || number == ROOT {
                return Err(FileError::Corrupt);
            }
            node.attr = entry.attr;
            node.attr_until = now + entry.attr_valid;
            node.pins += 1;
        }
        self.unlearn(parent, name);
        if entry.valid.is_zero() || !self.nodes.contains_key(&parent) {
            return Ok(number);
        }
        self.make_room(now);
        if let Some(node) = number.and_then(|number| self.nodes.get_mut(&number)) {
            node.names += 1;
        }
        let known = Name {
            node: number,
            until: now + entry.valid,
        };
        let names = self.names.entry(parent).or_default();
        names.insert(String::from(name), known);
        self.count += 1;
        Ok(number)
    }

    /// Forgets what `name` in `parent` meant.
    pub(crate) fn unlearn(&mut self, parent: u64, name: &str) {
        let Some(names) = self.names.get_mut(&parent) else {
            return;
        };
        let Some(known) = names.remove(name) else {
            return;
        };
        if names.is_empty() {
            self.names.remove(&parent);
        }
        self.count -= 1;
        self.nameless(known.node);
    }

    /// The node is used once more.
    pub(crate) fn pin(&mut self, number: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.pins += 1;
        }
    }

    /// The node is used once less.
    pub(crate) fn unpin(&mut self, number: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.pins = node.pins.saturating_sub(1);
            self.let_go(number);
        }
    }

    /// The attributes of a node; not later than they may be believed.
    pub(crate) fn attr(&self, number: u64, now: Instant) -> Option<Attr> {
        let node = self.nodes.get(&number)?;
        (now < node.attr_until).then_some(node.attr)
    }

    /// What a node is, which never changes.
    pub(crate) fn kind(&self, number: u64) -> Option<crate::reply::Kind> {
        self.nodes.get(&number).map(|node| node.attr.kind)
    }

    /// Takes note of the attributes of a node.
    ///
    /// # Errors
    /// [`FileError::Corrupt`] if it has become something else.
    pub(crate) fn set_attr(
        &mut self,
        number: u64,
        attr: Attr,
        until: Instant,
    ) -> Result<(), FileError> {
        if let Some(node) = self.nodes.get_mut(&number) {
            if node.attr.kind != attr.kind {
                return Err(FileError::Corrupt);
            }
            node.attr = attr;
            node.attr_until = until;
        }
        Ok(())
    }

    /// The attributes of a node have changed.
    pub(crate) fn outdate(&mut self, number: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.attr_until = Instant::ZERO;
        }
    }

    /// Nodes that the server may forget, with how often it has named them; at least `least` of them.
    pub(crate) fn take_forgets(&mut self, least: usize) -> Vec<(u64, u64)> {
        match self.forgets.len() < least {
            true => Vec::new(),
            false => core::mem::take(&mut self.forgets),
        }
    }

    /// Forgets what every name meant.
    pub(crate) fn unlearn_all(&mut self) {
        self.sweep(|_| true);
    }

    /// How many nodes are known, the root included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Makes room for one name more: those whose time is over go, and if that does not help, all.
    fn make_room(&mut self, now: Instant) {
        if self.count < MOST_NAMES {
            return;
        }
        self.sweep(|name| name.until <= now);
        if self.count > MOST_NAMES / 4 * 3 {
            self.unlearn_all();
        }
    }

    fn sweep(&mut self, is_over: impl Fn(&Name) -> bool) {
        let mut gone = Vec::new();
        for names in self.names.values_mut() {
            names.retain(|_, name| {
                let keep = !is_over(name);
                if !keep {
                    gone.push(name.node);
                }
                keep
            });
        }
        self.names.retain(|_, names| !names.is_empty());
        self.count -= gone.len();
        for node in gone {
            self.nameless(node);
        }
    }

    /// A name of the node is no longer remembered.
    fn nameless(&mut self, number: Option<u64>) {
        if let Some(number) = number
            && let Some(node) = self.nodes.get_mut(&number)
        {
            node.names = node.names.saturating_sub(1);
            self.let_go(number);
        }
    }

    /// Forgets a node that nothing leads to any more, and what is remembered of the names in it.
    fn let_go(&mut self, number: u64) {
        let mut waiting = Vec::from([number]);
        while let Some(number) = waiting.pop() {
            let is_over = |node: &Node| node.pins == 0 && node.names == 0;
            if !self.nodes.get(&number).is_some_and(is_over) {
                continue;
            }
            if let Some(node) = self.nodes.remove(&number) {
                self.forgets.push((number, node.lookups));
            }
            for (_, name) in self.names.remove(&number).into_iter().flatten() {
                self.count -= 1;
                let child = name.node.and_then(|child| self.nodes.get_mut(&child));
                if let Some(child) = child {
                    child.names = child.names.saturating_sub(1);
                    waiting.extend(name.node);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::reply::Kind;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    fn entry(node: u64, kind: Kind, seconds: u64) -> Entry {
        let attr = Attr {
            kind,
            len: node,
            modified: 0,
        };
        let valid = Duration::from_secs(seconds);
        Entry {
            node,
            attr,
            valid,
            attr_valid: valid,
        }
    }

    /// Learns a name and lets the node go again.
    fn learn(nodes: &mut Nodes, parent: u64, name: &str, node: u64, seconds: u64) {
        let kind = [Kind::File, Kind::Directory][usize::from(node % 2 == 1)];
        let learnt = nodes.learn(parent, name, &entry(node, kind, seconds), NOW);
        assert_eq!(learnt, Ok(Some(node)));
        nodes.unpin(node);
    }

    #[test]
    fn names_are_believed_until_their_time_is_over() {
        let mut nodes = Nodes::new();
        learn(&mut nodes, ROOT, "a", 4, 2);
        let recalled = |nodes: &mut Nodes, seconds| {
            let found = nodes.recall(ROOT, "a", NOW + Duration::from_secs(seconds));
            found.map(|found| found.map(|(node, _)| node))
        };
        assert_eq!(recalled(&mut nodes, 1), Some(Some(4)));
        nodes.unpin(4);
        assert_eq!(nodes.take_forgets(1), []);
        assert_eq!(recalled(&mut nodes, 2), None);
        assert_eq!(nodes.take_forgets(1), [(4, 1)]);
        assert_eq!(nodes.len(), 1);
        assert_eq!(
            nodes.learn(ROOT, "b", &entry(0, Kind::Other, 2), NOW),
            Ok(None)
        );
        assert_eq!(nodes.recall(ROOT, "b", NOW), Some(None));
    }

    #[test]
    fn a_node_is_forgotten_as_often_as_it_was_named() {
        let mut nodes = Nodes::new();
        learn(&mut nodes, ROOT, "a", 4, 9);
        learn(&mut nodes, ROOT, "b", 4, 9);
        learn(&mut nodes, ROOT, "a", 4, 9);
        nodes.unlearn(ROOT, "a");
        assert_eq!(nodes.take_forgets(0), []);
        nodes.pin(4);
        nodes.unlearn(ROOT, "b");
        assert_eq!(nodes.take_forgets(0), []);
        nodes.unpin(4);
        assert_eq!(nodes.take_forgets(0), [(4, 3)]);
    }

    #[test]
    fn names_without_time_leave_nothing_behind() {
        let mut nodes = Nodes::new();
        for node in 2..50 {
            learn(&mut nodes, ROOT, "a", node, 0);
        }
        assert_eq!(nodes.len(), 1);
        assert_eq!(nodes.take_forgets(48).len(), 48);
    }

    #[test]
    fn a_tree_goes_with_its_root() {
        let mut nodes = Nodes::new();
        learn(&mut nodes, ROOT, "a", 3, 9);
        learn(&mut nodes, 3, "b", 5, 9);
        learn(&mut nodes, 5, "c", 6, 9);
        nodes.unlearn(ROOT, "a");
        assert_eq!(nodes.take_forgets(0), [(3, 1), (5, 1), (6, 1)]);
        assert_eq!((nodes.len(), nodes.count), (1, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut nodes = Nodes::new();
        for node in 1..100_000u64 {
            learn(&mut nodes, ROOT, &alloc::format!("{node}"), 2 * node, 9);
            assert!(nodes.count <= MOST_NAMES && nodes.len() <= MOST_NAMES + 1);
            nodes.take_forgets(64);
        }
    }

    #[test]
    fn a_node_does_not_become_something_else() {
        let mut nodes = Nodes::new();
        learn(&mut nodes, ROOT, "a", 4, 9);
        let other = entry(4, Kind::Directory, 9);
        assert_eq!(nodes.learn(ROOT, "b", &other, NOW), Err(FileError::Corrupt));
        assert_eq!(nodes.set_attr(4, other.attr, NOW), Err(FileError::Corrupt));
        let root = entry(ROOT, Kind::Directory, 9);
        assert_eq!(nodes.learn(ROOT, "c", &root, NOW), Err(FileError::Corrupt));
    }
}
