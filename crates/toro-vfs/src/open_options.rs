//! [`OpenOptions`]: what a file is opened for, and whether it is created.

use alloc::rc::Rc;

use crate::file::{Access, OpenNode};
use crate::{File, FileError, FileSystem, core_mounts};

/// How often a file that comes and goes is looked for and created, in turn.
const TRIES: u32 = 16;

/// What a file is opened for, and whether it is created; as in `std::fs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    access: Access,
    truncate: bool,
    create: bool,
    create_new: bool,
}

impl OpenOptions {
    /// Nothing is asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.access.read = read;
        self
    }

    /// Whether the file can be written.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.access.write = write;
        self
    }

    /// Whether every write goes behind the end; asks for writing as well.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.access.append = append;
        self
    }

    /// Whether the file is cut to nothing when it is opened.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Whether the file is created if it is not there.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Whether the file must be new; `create` and `truncate` mean nothing then.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`FileError::WrongMode`] if neither reading nor writing is asked for, or if the file is to be created or cut but
    /// not written; [`FileError::AlreadyExists`] for [`create_new`](Self::create_new); [`FileError::IsADirectory`];
    /// and what the file system fails with.
    pub fn open(&self, path: &str) -> Result<File, FileError> {
        core_mounts::resolve(path)?.open_with(self)
    }

    pub(crate) fn open_node(
        &self,
        file_system: Rc<dyn FileSystem>,
        path: &str,
    ) -> Result<File, FileError> {
        let access = self.checked_access()?;
        let (node, is_new) = self.find_or_create(&*file_system, path)?;
        let open = OpenNode { file_system, node };
        if !is_new {
            if open.metadata()?.is_dir() {
                return Err(FileError::IsADirectory);
            }
            if self.truncate {
                open.file_system.set_len(open.node, 0)?;
            }
        }
        Ok(File::new(open, access))
    }

    fn checked_access(&self) -> Result<Access, FileError> {
        let Access { read, append, .. } = self.access;
        let write = self.access.write || append;
        let changes = self.create || self.create_new || self.truncate;
        let is_enough = if changes { write } else { read || write };
        // What is appended to and cut at once is a mistake, in `std` as well.
        let contradicts = append && self.truncate && !self.create_new;
        if !is_enough || contradicts {
            return Err(FileError::WrongMode);
        }
        Ok(Access {
            read,
            write,
            append,
        })
    }

    fn find_or_create(
        &self,
        file_system: &dyn FileSystem,
        path: &str,
    ) -> Result<(crate::NodeId, bool), FileError> {
        for _ in 0..TRIES {
            if !self.create_new {
                match file_system.open(path) {
                    Err(FileError::NotFound) if self.create => {}
                    other => return Ok((other?, false)),
                }
            }
            match file_system.create(path) {
                // Another thread was faster while this one was parked.
                Err(FileError::AlreadyExists) if !self.create_new => {}
                other => return Ok((other?, true)),
            }
        }
        // It is there and is not, whenever it is looked for.
        Err(FileError::Corrupt)
    }
}
