//! [`FakeFuse`]: a FUSE server whose files lie in the test, and which keeps count of what it has named.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Failures (`errno`).
const ENOENT: i32 = 2;
const EBADF: i32 = 9;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;
const ENOSYS: i32 = 38;
const ENOTEMPTY: i32 = 39;

const ROOT: u64 = 1;
const IN_HEADER: usize = 40;
/// The longest file.
const LONGEST: usize = 16 << 20;

/// A server that works.
#[derive(Debug)]
pub struct FakeFuse {
    nodes: RefCell<BTreeMap<u64, Node>>,
    handles: RefCell<BTreeMap<u64, u64>>,
    next: Cell<u64>,
    /// How many messages came, by opcode.
    asked: RefCell<BTreeMap<u32, usize>>,
    /// How long what it says may be believed, in seconds.
    valid: Cell<u64>,
    modified: Cell<u64>,
}

#[derive(Debug)]
struct Node {
    content: Content,
    /// How often it was named and not forgotten.
    lookups: u64,
    /// How many names lead to it.
    links: usize,
    modified: u64,
}

#[derive(Clone, Debug)]
enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
}

type Answer = Result<Vec<u8>, i32>;

impl Default for FakeFuse {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeFuse {
    /// An empty share, whose names may be believed for a second.
    pub fn new() -> Self {
        let root = Node {
            content: Content::Directory(BTreeMap::new()),
            lookups: 0,
            links: 1,
            modified: 0,
        };
        Self {
            nodes: RefCell::new(BTreeMap::from([(ROOT, root)])),
            handles: RefCell::default(),
            next: Cell::new(ROOT + 1),
            asked: RefCell::default(),
            valid: Cell::new(1),
            modified: Cell::new(1_000),
        }
    }

    /// Sets how long what it says may be believed, in seconds.
    pub fn set_valid(&self, seconds: u64) {
        self.valid.set(seconds);
    }

    /// Adds a link in the root, as someone on the host would.
    pub fn add_link(&self, name: &[u8], target: &str) {
        self.add(name, Content::Link(target.into()));
    }

    /// Adds a file in the root, as someone on the host would, or replaces it.
    pub fn add_file(&self, name: &[u8], bytes: &[u8]) {
        self.add(name, Content::File(bytes.into()));
    }

    fn add(&self, name: &[u8], content: Content) {
        // What had the name stays for whoever knows its number.
        let _ = self.detach(ROOT, name, |_| Ok(()));
        let number = self.new_node(content);
        self.attach(ROOT, name, number);
    }

    /// How many messages with that opcode came.
    pub fn asked(&self, opcode: u32) -> usize {
        self.asked.borrow().get(&opcode).copied().unwrap_or(0)
    }

    /// How many nodes but the root were named and not forgotten.
    pub fn named(&self) -> usize {
        self.nodes
            .borrow()
            .values()
            .filter(|node| node.lookups > 0)
            .count()
    }

    /// How many handles are open.
    pub fn open_handles(&self) -> usize {
        self.handles.borrow().len()
    }

    /// Answers a message; `None` if it has no answer.
    ///
    /// # Panics
    /// Panics if the message is no proper one.
    pub fn answer(&self, sent: &[u8]) -> Option<Vec<u8>> {
        let (len, opcode) = (u32_at(sent, 0), u32_at(sent, 4));
        assert_eq!(len as usize, sent.len(), "the header says how long it is");
        assert!(
            sent[24..40].iter().all(|byte| *byte == 0),
            "nobody is root's alone"
        );
        let (unique, node) = (u64_at(sent, 8), u64_at(sent, 16));
        *self.asked.borrow_mut().entry(opcode).or_default() += 1;
        let body = &sent[IN_HEADER..];
        let answer = match opcode {
            2 => return self.forget(node, u64_at(body, 0)),
            42 => return self.forget_many(body),
            _ => self.carry_out(opcode, node, body),
        };
        let (error, bytes) = match answer {
            Ok(bytes) => (0, bytes),
            Err(errno) => (-errno, Vec::new()),
        };
        let len = u32::try_from(16 + bytes.len()).expect("an answer is small");
        let mut whole = Vec::from(len.to_le_bytes());
        whole.extend(error.to_le_bytes());
        whole.extend(unique.to_le_bytes());
        whole.extend(bytes);
        Some(whole)
    }

    fn forget(&self, node: u64, lookups: u64) -> Option<Vec<u8>> {
        let mut nodes = self.nodes.borrow_mut();
        let known = nodes.get_mut(&node).expect("what is forgotten was named");
        known.lookups = known
            .lookups
            .checked_sub(lookups)
            .expect("as often as it was named");
        if known.lookups == 0 && known.links == 0 {
            nodes.remove(&node);
        }
        None
    }

    fn forget_many(&self, body: &[u8]) -> Option<Vec<u8>> {
        let pairs = body[8..].chunks_exact(16);
        assert_eq!(pairs.len(), u32_at(body, 0) as usize);
        for pair in pairs {
            self.forget(u64_at(pair, 0), u64_at(pair, 8));
        }
        None
    }

    fn carry_out(&self, opcode: u32, node: u64, body: &[u8]) -> Answer {
        match opcode {
            1 => self.entry(self.child(node, name(body))?),
            3 => self.attributes(node),
            4 => {
                self.with_file(node, |bytes| {
                    bytes.resize(bounded(usize_at(body, 16))?, 0);
                    Ok(())
                })?;
                self.attributes(node)
            }
            5 => match self.content(node)? {
                Content::Link(target) => Ok(target),
                _ => Err(EINVAL),
            },
            9 => self.make(node, name(&body[8..]), Content::Directory(BTreeMap::new())),
            10 => self.detach(node, name(body), |content| match content {
                Content::Directory(_) => Err(EISDIR),
                _ => Ok(()),
            }),
            11 => self.detach(node, name(body), |content| match content {
                Content::Directory(names) if names.is_empty() => Ok(()),
                Content::Directory(_) => Err(ENOTEMPTY),
                _ => Err(ENOTDIR),
            }),
            14 | 27 => self.open(node),
            15 => self.read(body),
            16 => self.write(body),
            17 => Ok([[7u8; 40].as_slice(), &[0; 40]].concat()),
            18 | 29 => self
                .handles
                .borrow_mut()
                .remove(&u64_at(body, 0))
                .map(|_| Vec::new())
                .ok_or(EBADF),
            20 => self.handle(body).map(|_| Vec::new()),
            26 => Ok(init(body)),
            28 => self.list(body, false),
            44 => self.list(body, true),
            35 => {
                let made = self.make(node, name(&body[16..]), Content::File(Vec::new()))?;
                Ok([made.clone(), self.open(u64_at(&made, 0))?].concat())
            }
            45 => self.rename(node, body),
            50 => Ok(Vec::new()),
            _ => Err(ENOSYS),
        }
    }

    fn content(&self, node: u64) -> Result<Content, i32> {
        let nodes = self.nodes.borrow();
        nodes
            .get(&node)
            .map(|node| node.content.clone())
            .ok_or(ENOENT)
    }

    fn child(&self, parent: u64, name: &[u8]) -> Result<u64, i32> {
        match self.content(parent)? {
            Content::Directory(names) => names.get(name).copied().ok_or(ENOENT),
            _ => Err(ENOTDIR),
        }
    }

    fn new_node(&self, content: Content) -> u64 {
        let number = self.next.replace(self.next.get() + 1);
        let node = Node {
            content,
            lookups: 0,
            links: 0,
            modified: self.modified.replace(self.modified.get() + 1),
        };
        self.nodes.borrow_mut().insert(number, node);
        number
    }

    fn attach(&self, parent: u64, name: &[u8], number: u64) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.get_mut(&number).expect("it is there").links += 1;
        let parent = nodes.get_mut(&parent).expect("it is there");
        let Content::Directory(names) = &mut parent.content else {
            panic!("the parent is a directory")
        };
        names.insert(name.into(), number);
    }

    fn detach(
        &self,
        parent: u64,
        name: &[u8],
        check: impl FnOnce(&Content) -> Result<(), i32>,
    ) -> Answer {
        let number = self.child(parent, name)?;
        let mut nodes = self.nodes.borrow_mut();
        check(&nodes[&number].content)?;
        let parent = nodes.get_mut(&parent).expect("it has a child");
        if let Content::Directory(names) = &mut parent.content {
            names.remove(name);
        }
        let node = nodes.get_mut(&number).expect("it was just looked at");
        node.links -= 1;
        if node.links == 0 && node.lookups == 0 {
            nodes.remove(&number);
        }
        Ok(Vec::new())
    }

    fn make(&self, parent: u64, name: &[u8], content: Content) -> Answer {
        match self.child(parent, name) {
            Err(ENOENT) => {}
            Ok(_) => return Err(EEXIST),
            Err(error) => return Err(error),
        }
        // A directory that was removed takes no more.
        if self
            .nodes
            .borrow()
            .get(&parent)
            .is_none_or(|node| node.links == 0)
        {
            return Err(ENOENT);
        }
        let number = self.new_node(content);
        self.attach(parent, name, number);
        self.entry(number)
    }

    fn rename(&self, old: u64, body: &[u8]) -> Answer {
        let new = u64_at(body, 0);
        let from = name(&body[16..]);
        let to = name(&body[16 + from.len() + 1..]);
        let moved = self.child(old, from)?;
        let is_dir =
            |node: u64| Ok::<bool, i32>(matches!(self.content(node)?, Content::Directory(_)));
        match self.child(new, to) {
            Ok(there) if there == moved => return Ok(Vec::new()),
            Ok(there) => match (is_dir(moved)?, is_dir(there)?) {
                (true, false) => return Err(ENOTDIR),
                (false, true) => return Err(EISDIR),
                _ => {
                    self.detach(new, to, |content| match content {
                        Content::Directory(names) if !names.is_empty() => Err(ENOTEMPTY),
                        _ => Ok(()),
                    })?;
                }
            },
            Err(ENOENT) => {}
            Err(error) => return Err(error),
        }
        self.attach(new, to, moved);
        self.detach(old, from, |_| Ok(()))
    }

    fn open(&self, node: u64) -> Answer {
        self.content(node)?;
        let handle = self.next.replace(self.next.get() + 1);
        self.handles.borrow_mut().insert(handle, node);
        Ok([handle.to_le_bytes(), [0; 8]].concat())
    }

    fn handle(&self, body: &[u8]) -> Result<u64, i32> {
        self.handles
            .borrow()
            .get(&u64_at(body, 0))
            .copied()
            .ok_or(EBADF)
    }

    fn read(&self, body: &[u8]) -> Answer {
        match self.content(self.handle(body)?)? {
            Content::File(bytes) => {
                let start = usize_at(body, 8).min(bytes.len());
                let end = (start + u32_at(body, 16) as usize).min(bytes.len());
                Ok(bytes[start..end].into())
            }
            Content::Directory(_) => Err(EISDIR),
            Content::Link(_) => Err(EINVAL),
        }
    }

    fn write(&self, body: &[u8]) -> Answer {
        let (start, len) = (usize_at(body, 8), u32_at(body, 16) as usize);
        assert_eq!(body.len(), 40 + len, "the data are as long as they say");
        self.with_file(self.handle(body)?, |bytes| {
            let end = bounded(start.saturating_add(len))?;
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..start + len].copy_from_slice(&body[40..]);
            Ok(())
        })?;
        Ok([body[16..20].to_vec(), vec![0; 4]].concat())
    }

    fn with_file(
        &self,
        node: u64,
        change: impl FnOnce(&mut Vec<u8>) -> Result<(), i32>,
    ) -> Result<(), i32> {
        let mut nodes = self.nodes.borrow_mut();
        let node = nodes.get_mut(&node).ok_or(ENOENT)?;
        node.modified = self.modified.replace(self.modified.get() + 1);
        match &mut node.content {
            Content::File(bytes) => change(bytes),
            _ => Err(EISDIR),
        }
    }

    fn list(&self, body: &[u8], plus: bool) -> Answer {
        let directory = self.handle(body)?;
        let Content::Directory(names) = self.content(directory)? else {
            return Err(ENOTDIR);
        };
        let (offset, room) = (usize_at(body, 8), u32_at(body, 16) as usize);
        let dots = [(b".".to_vec(), 0), (b"..".to_vec(), 0)];
        let mut listing = Vec::new();
        for (at, (name, node)) in dots.into_iter().chain(names).enumerate().skip(offset) {
            let len = if plus { 152 } else { 24 } + name.len();
            if listing.len() + len.next_multiple_of(8) > room {
                break;
            }
            let mode = if node == 0 {
                0o040_000
            } else {
                self.mode(node)
            };
            if plus && node == 0 {
                listing.extend([0; 128]);
            } else if plus {
                listing.extend(self.entry(node)?);
            }
            listing.extend(node.to_le_bytes());
            listing.extend((at as u64 + 1).to_le_bytes());
            listing.extend(u32::try_from(name.len()).expect("short").to_le_bytes());
            listing.extend((mode >> 12).to_le_bytes());
            listing.extend(name);
            listing.resize(listing.len().next_multiple_of(8), 0);
        }
        Ok(listing)
    }

    /// Names a node: `fuse_entry_out`.
    fn entry(&self, number: u64) -> Answer {
        let mut out = Vec::new();
        out.extend(number.to_le_bytes());
        out.extend([0; 8]);
        out.extend(self.valid.get().to_le_bytes());
        out.extend(self.valid.get().to_le_bytes());
        out.extend([0; 8]);
        out.extend(self.attr(number)?);
        if let Some(node) = self.nodes.borrow_mut().get_mut(&number) {
            node.lookups += 1;
        }
        Ok(out)
    }

    /// `fuse_attr_out`.
    fn attributes(&self, node: u64) -> Answer {
        let mut out = Vec::from(self.valid.get().to_le_bytes());
        out.extend([0; 8]);
        out.extend(self.attr(node)?);
        Ok(out)
    }

    fn attr(&self, number: u64) -> Answer {
        let nodes = self.nodes.borrow();
        let node = nodes.get(&number).ok_or(ENOENT)?;
        let len = match &node.content {
            Content::File(bytes) => bytes.len(),
            Content::Directory(_) => 4096,
            Content::Link(target) => target.len(),
        };
        let mut out = vec![0; 88];
        out[..8].copy_from_slice(&number.to_le_bytes());
        out[8..16].copy_from_slice(&(len as u64).to_le_bytes());
        out[32..40].copy_from_slice(&node.modified.to_le_bytes());
        out[60..64].copy_from_slice(&mode(&node.content).to_le_bytes());
        Ok(out)
    }

    fn mode(&self, number: u64) -> u32 {
        self.nodes
            .borrow()
            .get(&number)
            .map_or(0, |node| mode(&node.content))
    }
}

fn bounded(len: usize) -> Result<usize, i32> {
    if len <= LONGEST { Ok(len) } else { Err(EFBIG) }
}

fn mode(content: &Content) -> u32 {
    match content {
        Content::File(_) => 0o100_644,
        Content::Directory(_) => 0o040_755,
        Content::Link(_) => 0o120_777,
    }
}

/// `fuse_init_out`: all that was asked for, in requests of 1 MiB.
fn init(body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 64];
    out[..4].copy_from_slice(&7u32.to_le_bytes());
    out[4..8].copy_from_slice(&38u32.to_le_bytes());
    out[12..16].copy_from_slice(&body[12..16]);
    out[20..24].copy_from_slice(&(1u32 << 20).to_le_bytes());
    out[28..30].copy_from_slice(&256u16.to_le_bytes());
    out
}

fn name(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.expect("a name ends with a zero")]
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn usize_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64_at(bytes, at)).expect("it fits")
}
