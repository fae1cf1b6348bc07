//! [`Index`]: all entries of an archive, sorted so that both a path and the list of a directory are one binary search.
//!
//! The order is by directory first and by name second: the entries of a directory lie next to each other.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::cpio::FileKey;
use crate::entry::{ArchiveError, Cause, Content, Entry, Reader};

/// Longest chain of links that is followed.
const LINK_CHAIN_MAX: usize = 8;
/// Most names that may wait for the data of their file.
const SHARED_MAX: usize = 4096;

/// A file or directory.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    path: Cow<'a, str>,
    /// The bytes of a file; `None` for a directory.
    pub(crate) bytes: Option<&'a [u8]>,
    /// Seconds since 1970 (UTC).
    pub(crate) modified: u64,
    /// Where the member starts: the later of two with the same path counts.
    offset: usize,
}

/// A link whose target is not known yet.
struct Link<'a> {
    node: Node<'a>,
    target: Cow<'a, str>,
}

/// The files and directories of an archive.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    /// Sorted by [`order`], without two of one path. The first is the root.
    nodes: Vec<Node<'a>>,
}

impl<'a> Index<'a> {
    /// Reads the headers of `archive`.
    ///
    /// # Errors
    /// Fails if any member is malformed: half an archive is not handed out.
    pub fn new(archive: &'a [u8]) -> Result<Self, ArchiveError> {
        let root = Node {
            path: Cow::Borrowed(""),
            bytes: None,
            modified: 0,
            offset: 0,
        };
        let mut index = Self {
            nodes: Vec::from([root]),
        };
        let mut links = index.read(archive)?;
        index.arrange()?;
        for _ in 0..LINK_CHAIN_MAX {
            let pending = links.len();
            index.resolve(&mut links);
            if links.len() == pending {
                break;
            }
            index.arrange()?;
        }
        Ok(index)
    }

    /// Number of files and directories, with the root.
    #[expect(clippy::len_without_is_empty, reason = "the root is always there")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The bytes of the file at `path`, which is in normal form; `None` if there is none.
    pub fn file(&self, path: &str) -> Option<&'a [u8]> {
        self.node(self.find(path)?)?.bytes
    }

    /// All paths with the bytes of files, and `None` for directories.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Option<&'a [u8]>)> {
        self.nodes.iter().map(|node| (&*node.path, node.bytes))
    }

    /// The number of the node at `path`.
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        let wanted = split(path);
        self.nodes
            .binary_search_by(|node| split(&node.path).cmp(&wanted))
            .ok()
    }

    pub(crate) fn node(&self, number: usize) -> Option<&Node<'a>> {
        self.nodes.get(number)
    }

    /// The `nth` entry of the directory `number`: its name and its node.
    pub(crate) fn child(&self, number: usize, nth: usize) -> Option<(&str, &Node<'a>)> {
        let directory = &*self.node(number)?.path;
        let first = self
            .nodes
            .partition_point(|node| split(&node.path) <= (directory, ""));
        let node = self.node(first.checked_add(nth)?)?;
        let (parent, name) = split(&node.path);
        (parent == directory).then_some((name, node))
    }

    /// Appends the entries of `archive` in its order and returns the links.
    fn read(&mut self, archive: &'a [u8]) -> Result<Vec<Link<'a>>, ArchiveError> {
        let mut reader = Reader::new(archive);
        let mut links = Vec::new();
        let mut shared: Vec<(FileKey, usize)> = Vec::new();
        while let Some((entry, offset)) = reader.next_entry()? {
            let Entry {
                path,
                content,
                modified,
                provides,
            } = entry;
            if path.is_empty() && !matches!(content, Content::Directory) {
                let cause = Cause::BadName;
                return Err(ArchiveError { cause, offset });
            }
            let mut node = Node {
                path,
                bytes: None,
                modified,
                offset,
            };
            match content {
                Content::Directory => {}
                Content::Link(target) => {
                    links.push(Link { node, target });
                    continue;
                }
                Content::File(bytes) => node.bytes = Some(bytes),
                Content::Shared(key) => {
                    if shared.len() == SHARED_MAX {
                        return Err(ArchiveError {
                            cause: Cause::TooManyLinks,
                            offset,
                        });
                    }
                    shared.push((key, self.nodes.len()));
                    node.bytes = Some(&[]);
                }
            }
            if let Some(key) = provides {
                self.share(&mut shared, key, node.bytes);
            }
            self.nodes.push(node);
        }
        Ok(links)
    }

    /// Gives the data of a file to its other names.
    fn share(
        &mut self,
        waiting: &mut Vec<(FileKey, usize)>,
        key: FileKey,
        bytes: Option<&'a [u8]>,
    ) {
        waiting.retain(|&(other, number)| {
            if other == key {
                self.nodes[number].bytes = bytes;
            }
            other != key
        });
    }

    /// Sorts the nodes, drops those that were replaced, adds missing directories.
    fn arrange(&mut self) -> Result<(), ArchiveError> {
        sort(&mut self.nodes);
        self.nodes.dedup_by(|later, earlier| {
            let same = later.path == earlier.path;
            if same {
                core::mem::swap(later, earlier);
            }
            same
        });
        let missing = self.missing_directories()?;
        if !missing.is_empty() {
            self.nodes.extend(missing);
            sort(&mut self.nodes);
            self.nodes
                .dedup_by(|later, earlier| later.path == earlier.path);
        }
        Ok(())
    }

    /// The directories that are only implied by what lies in them; a path may appear twice.
    fn missing_directories(&self) -> Result<Vec<Node<'a>>, ArchiveError> {
        let mut missing = Vec::new();
        let mut checked = "";
        for node in &self.nodes {
            let mut directory = split(&node.path).0;
            // The entries of a directory lie next to each other: one look for all of them.
            if core::mem::replace(&mut checked, directory) == directory {
                continue;
            }
            while !directory.is_empty() {
                match self.find(directory).map(|number| self.nodes[number].bytes) {
                    Some(None) => break,
                    Some(Some(_)) => {
                        let (cause, offset) = (Cause::FileAsDirectory, node.offset);
                        return Err(ArchiveError { cause, offset });
                    }
                    None => missing.push(node.implied(directory.len())),
                }
                directory = split(directory).0;
            }
        }
        Ok(missing)
    }

    /// Turns links into files where the target is one now, and leaves the others in `links`.
    fn resolve(&mut self, links: &mut Vec<Link<'a>>) {
        let known = self.nodes.len();
        for link in core::mem::take(links) {
            let target = self
                .find_among(known, &link.target)
                .map(|number| &self.nodes[number]);
            match target.and_then(|target| Some((target.bytes?, target.modified))) {
                Some((bytes, modified)) => {
                    self.nodes.push(Node {
                        bytes: Some(bytes),
                        modified,
                        ..link.node
                    });
                }
                None => links.push(link),
            }
        }
    }

    /// Like [`find`](Self::find), among the first `known` nodes: those behind are not sorted yet.
    fn find_among(&self, known: usize, path: &str) -> Option<usize> {
        let wanted = split(path);
        self.nodes[..known]
            .binary_search_by(|node| split(&node.path).cmp(&wanted))
            .ok()
    }
}

impl<'a> Node<'a> {
    /// The directory that the first `len` bytes of the path name.
    ///
    /// `get` instead of an index, here and wherever an image slices text: the message of a slice that ends inside a character
    /// brings 4 KiB of tables into the image.
    fn implied(&self, len: usize) -> Self {
        let path = match &self.path {
            Cow::Borrowed(path) => Cow::Borrowed(path.get(..len).unwrap_or_default()),
            Cow::Owned(path) => Cow::Owned(String::from(path.get(..len).unwrap_or_default())),
        };
        Self {
            path,
            bytes: None,
            modified: self.modified,
            offset: self.offset,
        }
    }
}

/// Directory and name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Sorts by [`order`]: a heapsort, which is a tenth of the code of the sort in `core` and as fast as an index needs.
fn sort(nodes: &mut [Node<'_>]) {
    for root in (0..nodes.len() / 2).rev() {
        sift_down(nodes, root);
    }
    for end in (1..nodes.len()).rev() {
        nodes.swap(0, end);
        sift_down(&mut nodes[..end], 0);
    }
}

/// Moves the node at `root` down until neither of its children comes after it.
fn sift_down(nodes: &mut [Node<'_>], mut root: usize) {
    loop {
        let mut child = 2 * root + 1;
        if child >= nodes.len() {
            return;
        }
        if child + 1 < nodes.len() && order(&nodes[child], &nodes[child + 1]).is_lt() {
            child += 1;
        }
        if order(&nodes[root], &nodes[child]).is_ge() {
            return;
        }
        nodes.swap(root, child);
        root = child;
    }
}

fn order(a: &Node<'_>, b: &Node<'_>) -> Ordering {
    split(&a.path)
        .cmp(&split(&b.path))
        .then(a.offset.cmp(&b.offset))
}
