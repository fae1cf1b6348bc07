//! [`Initrd`]: the index as a file system of `toro_vfs`.

use alloc::string::String;

use toro_vfs::{DirEntry, FileError, FileSystem, FileType, Metadata, NodeId};

use crate::index::Node;
use crate::{ArchiveError, Index};

/// A read-only file system over an archive that stays in memory.
#[derive(Debug)]
pub struct Initrd {
    index: Index<'static>,
}

impl Initrd {
    /// Reads the headers of `archive`, which may be several archives in a row.
    ///
    /// # Errors
    /// Fails if any member is malformed.
    pub fn new(archive: &'static [u8]) -> Result<Self, ArchiveError> {
        Index::new(archive).map(|index| Self { index })
    }

    /// Number of files and directories, with the root.
    #[expect(clippy::len_without_is_empty, reason = "the root is always there")]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    fn node(&self, node: NodeId) -> Result<&Node<'static>, FileError> {
        let number = usize::try_from(node.0).ok();
        number
            .and_then(|number| self.index.node(number))
            .ok_or(FileError::NotFound)
    }
}

impl FileSystem for Initrd {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        if let Some(number) = self.index.find(path) {
            return Ok(NodeId(number as u64));
        }
        let behind_file = path
            .rmatch_indices('/')
            .filter_map(|(at, _)| path.get(..at))
            .any(|folder| self.index.file(folder).is_some());
        Err(if behind_file {
            FileError::NotADirectory
        } else {
            FileError::NotFound
        })
    }

    fn close(&self, _node: NodeId) {}

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        let node = self.node(node)?;
        let len = node.bytes.map_or(0, |bytes| bytes.len() as u64);
        Ok(Metadata::new(file_type(node), len, node.modified))
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let bytes = self.node(node)?.bytes.ok_or(FileError::IsADirectory)?;
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| bytes.get(offset..));
        let rest = rest.unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn try_read_at(&self, node: NodeId, at: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        self.read_at(node, at, buf)
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        if self.node(node)?.bytes.is_some() {
            return Err(FileError::NotADirectory);
        }
        let (Ok(number), Ok(nth)) = (usize::try_from(node.0), usize::try_from(*cursor)) else {
            return Ok(None);
        };
        let Some((name, child)) = self.index.child(number, nth) else {
            return Ok(None);
        };
        *cursor += 1;
        Ok(Some(DirEntry::new(String::from(name), file_type(child))))
    }

    fn static_bytes(&self, node: NodeId) -> Option<&'static [u8]> {
        self.node(node).ok()?.bytes
    }
}

fn file_type(node: &Node<'_>) -> FileType {
    if node.bytes.is_some() {
        FileType::File
    } else {
        FileType::Directory
    }
}
