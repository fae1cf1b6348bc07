//! [`Nodes`]: what is open.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use ext4_view::{Ext4, File};
use toro_vfs::{DirEntry, FileError, FileType, Metadata};

use crate::error::translate;
use crate::resolve::resolve;

/// Most entries of a directory that is listed: they are all in memory then.
const MOST_ENTRIES: usize = 1 << 17;

/// An open file or directory.
pub(crate) struct Open {
    pub(crate) metadata: Metadata,
    content: Content,
}

enum Content {
    File(Box<File>),
    Directory {
        path: String,
        /// Once it was listed.
        entries: Option<Vec<DirEntry>>,
    },
}

/// All that is open.
#[derive(Default)]
pub(crate) struct Nodes {
    open: BTreeMap<u64, Open>,
    next: u64,
}

impl Nodes {
    pub(crate) fn insert(&mut self, open: Open) -> u64 {
        self.next += 1;
        self.open.insert(self.next, open);
        self.next
    }

    pub(crate) fn remove(&mut self, node: u64) {
        self.open.remove(&node);
    }

    pub(crate) fn get(&mut self, node: u64) -> Result<&mut Open, FileError> {
        self.open.get_mut(&node).ok_or(FileError::NotFound)
    }
}

impl Open {
    /// Opens what is at `path`.
    pub(crate) fn new(ext: &Ext4, path: &str) -> Result<Self, FileError> {
        let path = resolve(ext, path)?;
        let found = ext.metadata(&path).map_err(translate)?;
        let file_type = known(found.file_type()).ok_or(FileError::Unsupported)?;
        let modified = u64::try_from(found.modified().seconds()).unwrap_or(0);
        let (len, content) = match file_type {
            FileType::File => {
                let file = ext.open(&path).map_err(translate)?;
                (found.len(), Content::File(Box::new(file)))
            }
            FileType::Directory => {
                let entries = None;
                (0, Content::Directory { path, entries })
            }
        };
        Ok(Self {
            metadata: Metadata::new(file_type, len, modified),
            content,
        })
    }

    pub(crate) fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let Content::File(file) = &mut self.content else {
            return Err(FileError::IsADirectory);
        };
        if offset >= self.metadata.len() {
            return Ok(0);
        }
        if file.position() != offset {
            file.seek_to(offset).map_err(translate)?;
        }
        let mut done = 0;
        // The library stops at the end of a block.
        while done < buf.len() {
            match file.read_bytes(&mut buf[done..]).map_err(translate)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// The `nth` entry of the directory.
    pub(crate) fn entry(&mut self, ext: &Ext4, nth: u64) -> Result<Option<DirEntry>, FileError> {
        let Content::Directory { path, entries } = &mut self.content else {
            return Err(FileError::NotADirectory);
        };
        let listed = match entries.take() {
            Some(listed) if nth > 0 => listed,
            _ => list(ext, path)?,
        };
        let entry = usize::try_from(nth).ok().and_then(|nth| listed.get(nth));
        let entry = entry.cloned();
        *entries = Some(listed);
        Ok(entry)
    }
}

/// All entries of a directory that are files or directories, or links to such.
fn list(ext: &Ext4, path: &str) -> Result<Vec<DirEntry>, FileError> {
    let mut entries = Vec::new();
    for entry in ext.read_dir(path).map_err(translate)? {
        let entry = entry.map_err(translate)?;
        let name = entry.file_name();
        // A name that is no text cannot be asked for.
        let Ok(name) = name.as_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        let mut found = entry.file_type().map_err(translate)?;
        if found.is_symlink() {
            let target = alloc::format!("{}/{name}", path.trim_end_matches('/'));
            let metadata = resolve(ext, &target).map(|target| ext.metadata(&target));
            match metadata {
                Ok(Ok(metadata)) => found = metadata.file_type(),
                _ => continue,
            }
        }
        if entries.len() >= MOST_ENTRIES {
            return Err(FileError::OutOfMemory);
        }
        if let Some(found) = known(found) {
            entries.push(DirEntry::new(String::from(name), found));
        }
    }
    Ok(entries)
}

fn known(file_type: ext4_view::FileType) -> Option<FileType> {
    match file_type {
        ext4_view::FileType::Regular => Some(FileType::File),
        ext4_view::FileType::Directory => Some(FileType::Directory),
        _ => None,
    }
}
