//! From a path to a node: name by name, links followed inside the share only.
//!
//! The server follows no link for us, so none leads out: `..` stops at the root, and a target with a slash in front begins there.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::reply::Kind;
use crate::tree::{Pinned, Tree};

/// Most links on the way to a node, as in Linux.
pub(crate) const MOST_LINKS: usize = 40;
/// Longest path that links may make.
const LONGEST: usize = 4096;

/// Where a path leads.
pub(crate) struct Found<'t> {
    pub(crate) node: Pinned<'t>,
    /// The path without any link, in normal form.
    pub(crate) path: String,
}

/// The node at `path`, which begins at the root and may hold `.`, `..` and empty names.
///
/// # Errors
/// [`FileError::NotFound`], [`FileError::NotADirectory`], [`FileError::InvalidPath`] where links go round in circles, and what the server
/// fails with.
pub(crate) fn walk<'t>(tree: &'t Tree, path: &str) -> Result<Found<'t>, FileError> {
    let mut found = String::new();
    // The nodes of `found`, the root first.
    let mut nodes = Vec::from([tree.root()]);
    // What is still to be walked: the innermost link last.
    let mut rests: Vec<Rest<'_>> = Vec::from([Rest::new(Cow::Borrowed(path))]);
    let mut links = 0;
    while let Some(rest) = rests.last_mut() {
        let Some(name) = rest.next_name() else {
            rests.pop();
            continue;
        };
        let parent = nodes.last().expect("the root is never popped");
        match name {
            "" | "." => continue,
            ".." => {
                found.truncate(found.rfind('/').unwrap_or(0));
                if nodes.len() > 1 {
                    nodes.pop();
                }
                continue;
            }
            _ => {}
        }
        let node = tree.lookup(parent, name)?;
        if node.kind != Kind::Link {
            if !found.is_empty() {
                found.push('/');
            }
            found.push_str(name);
            nodes.push(node);
            continue;
        }
        links += 1;
        let target = tree.read_link(node.node)?;
        if links > MOST_LINKS || found.len() + target.len() > LONGEST {
            return Err(FileError::InvalidPath);
        }
        if target.starts_with('/') {
            found.clear();
            nodes.truncate(1);
        }
        rests.push(Rest::new(Cow::Owned(target)));
    }
    let node = nodes.pop().expect("the root is never popped");
    Ok(Found { node, path: found })
}

/// A path of which the front was walked.
struct Rest<'p> {
    path: Cow<'p, str>,
    at: usize,
}

impl<'p> Rest<'p> {
    fn new(path: Cow<'p, str>) -> Self {
        Self { path, at: 0 }
    }

    fn next_name(&mut self) -> Option<&str> {
        let rest = self.path.get(self.at..).filter(|rest| !rest.is_empty())?;
        let len = rest.find('/').unwrap_or(rest.len());
        let start = self.at;
        self.at += len + 1;
        self.path.get(start..start + len)
    }
}

/// The directory and the name that a path ends with, in normal form and not the root.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
