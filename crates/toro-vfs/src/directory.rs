//! [`ReadDir`]: the entries of a directory, one after the other.

use core::fmt;

use crate::file::OpenNode;
use crate::{DirEntry, FileError};

/// Iterates over the entries of a directory, without `.` and `..`.
pub struct ReadDir {
    open: OpenNode,
    cursor: u64,
    /// The last entry or an error was handed out.
    ended: bool,
}

impl ReadDir {
    pub(crate) fn new(open: OpenNode) -> Self {
        Self {
            open,
            cursor: 0,
            ended: false,
        }
    }
}

impl Iterator for ReadDir {
    type Item = Result<DirEntry, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self
            .open
            .file_system
            .read_dir(self.open.node, &mut self.cursor)
            .transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

impl core::iter::FusedIterator for ReadDir {}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("node", &self.open.node)
            .finish_non_exhaustive()
    }
}
