//! [`Node`]: a file or a directory, whether it has a name or is only open.

use alloc::collections::BTreeMap;
use alloc::string::String;

use toro_vfs::{FileError, FileType};

use crate::pages::Pages;

/// A file or a directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) modified: u64,
    /// How often it is open.
    pub(crate) opened: usize,
    /// A directory names it, or it is the root.
    pub(crate) is_linked: bool,
}

#[derive(Debug)]
pub(crate) enum Content {
    File(Pages),
    Directory(Directory),
}

impl Node {
    pub(crate) fn new(content: Content, modified: u64) -> Self {
        Self {
            content,
            modified,
            opened: 0,
            is_linked: true,
        }
    }

    pub(crate) fn file_type(&self) -> FileType {
        match self.content {
            Content::File(_) => FileType::File,
            Content::Directory(_) => FileType::Directory,
        }
    }

    pub(crate) fn directory(&self) -> Result<&Directory, FileError> {
        match &self.content {
            Content::Directory(directory) => Ok(directory),
            Content::File(_) => Err(FileError::NotADirectory),
        }
    }

    pub(crate) fn directory_mut(&mut self) -> Result<&mut Directory, FileError> {
        match &mut self.content {
            Content::Directory(directory) => Ok(directory),
            Content::File(_) => Err(FileError::NotADirectory),
        }
    }
}

/// The names in a directory.
///
/// Entries also carry a number that is never given twice: it is the cursor of a listing, which stays right while
/// names come and go.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    by_name: BTreeMap<String, Entry>,
    by_number: BTreeMap<u64, String>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    node: usize,
    number: u64,
}

impl Directory {
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|entry| entry.node)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Names `node`; the name is free.
    pub(crate) fn insert(&mut self, name: &str, node: usize) {
        let number = self.next;
        self.next += 1;
        self.by_name
            .insert(String::from(name), Entry { node, number });
        self.by_number.insert(number, String::from(name));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(entry) = self.by_name.remove(name) {
            self.by_number.remove(&entry.number);
        }
    }

    /// The first entry at or behind `cursor`: its number, name and node.
    pub(crate) fn entry_from(&self, cursor: u64) -> Option<(u64, &str, usize)> {
        let (number, name) = self.by_number.range(cursor..).next()?;
        Some((*number, name, self.find(name)?))
    }
}
