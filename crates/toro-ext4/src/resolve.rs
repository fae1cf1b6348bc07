//! From a path to an inode, through symbolic links.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::inode::{Inode, Kind, MAP, ROOT};
use crate::volume::Volume;

/// Most links on the way to a file.
const MOST_LINKS: usize = 40;

/// Longest target, and most names that wait to be looked up.
const LONGEST: u64 = 4096;
const MOST_NAMES: usize = 4096;

/// What a path leads to.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) inode: Inode,
    /// Its path without any link, and without a slash in front.
    pub(crate) path: String,
}

impl Volume {
    /// What is at `path`, which begins at the root.
    pub(crate) fn resolve(&mut self, path: &str) -> Result<Found, FileError> {
        // The names that were found, each with what it leads to.
        let mut trail: Vec<(String, Inode)> = Vec::new();
        let root = Inode::read(self, ROOT)?;
        let mut links = 0;
        let mut names: Vec<String> = path.split('/').rev().map(String::from).collect();
        while let Some(name) = names.pop() {
            let directory = trail.last().map_or(&root, |(_, inode)| inode);
            if name.is_empty() {
                continue;
            }
            if directory.kind != Kind::Directory {
                return Err(FileError::NotADirectory);
            }
            match &*name {
                "." => continue,
                ".." => {
                    trail.pop();
                    continue;
                }
                _ => {}
            }
            let number = directory.find(self, &name)?;
            let inode = Inode::read(self, number)?;
            if inode.kind != Kind::Link {
                trail.push((name, inode));
                continue;
            }
            links += 1;
            let target = self.target(&inode)?;
            if target.starts_with('/') {
                trail.clear();
            }
            names.extend(target.split('/').rev().map(String::from));
            if links > MOST_LINKS || names.len() + trail.len() > MOST_NAMES {
                return Err(FileError::Corrupt);
            }
        }
        let path: Vec<&str> = trail.iter().map(|(name, _)| &**name).collect();
        let path = path.join("/");
        let inode = trail.pop().map_or(root, |(_, inode)| inode);
        Ok(Found { inode, path })
    }

    /// Where a link leads.
    fn target(&mut self, link: &Inode) -> Result<String, FileError> {
        if link.len > LONGEST {
            return Err(FileError::Corrupt);
        }
        let len = usize::try_from(link.len).map_err(|_| FileError::Corrupt)?;
        let mut bytes = vec![0; len];
        if len < MAP && !link.has_extents {
            bytes.copy_from_slice(&link.map[..len]);
        } else {
            link.read_at(self, 0, &mut bytes)?;
        }
        String::from_utf8(bytes).map_err(|_| FileError::InvalidPath)
    }

    /// What the entry `name` of the directory at `path` leads to, if it is a link.
    pub(crate) fn follow(&mut self, path: &str, name: &str) -> Result<Inode, FileError> {
        let path = [path, "/", name].concat();
        Ok(self.resolve(&path)?.inode)
    }
}
