//! [`Place`]: a path with the file system that holds it, and what can be done there.

use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use crate::file::OpenNode;
use crate::{File, FileError, FileSystem, Metadata, OpenOptions, ReadDir, tree};

/// A path, with the file system that holds it.
///
/// The calls may park; so they are made here, where the mounts are no longer borrowed.
pub struct Place<'p> {
    pub(crate) file_system: Rc<dyn FileSystem>,
    /// In normal form; the file system's part begins at `start`.
    path: Cow<'p, str>,
    start: usize,
}

impl<'p> Place<'p> {
    pub(crate) fn new(file_system: Rc<dyn FileSystem>, path: Cow<'p, str>, start: usize) -> Self {
        Self {
            file_system,
            path,
            start,
        }
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// [`FileError::IsADirectory`] if it is one, and what the file system fails with.
    pub fn open(self) -> Result<File, FileError> {
        self.open_with(OpenOptions::new().read(true))
    }

    /// Opens or creates the file as `options` say.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open_with(self, options: &OpenOptions) -> Result<File, FileError> {
        let rest = self.path.get(self.start..).unwrap_or_default();
        options.open_node(self.file_system, rest)
    }

    /// Tells what is known of the file or directory.
    ///
    /// # Errors
    /// What the file system fails with.
    pub fn metadata(self) -> Result<Metadata, FileError> {
        self.node()?.metadata()
    }

    /// Lists the directory.
    ///
    /// # Errors
    /// [`FileError::NotADirectory`] if it is none, and what the file system fails with.
    pub fn read_dir(self) -> Result<ReadDir, FileError> {
        let node = self.node()?;
        if !node.metadata()?.is_dir() {
            return Err(FileError::NotADirectory);
        }
        Ok(ReadDir::new(node))
    }

    /// Creates the directory.
    ///
    /// # Errors
    /// [`FileError::AlreadyExists`], and what the file system fails with.
    pub fn create_dir(self) -> Result<(), FileError> {
        match self.rest() {
            "" => Err(FileError::AlreadyExists),
            path => self.file_system.create_dir(path),
        }
    }

    /// Creates the directory and those above it that are not there.
    ///
    /// # Errors
    /// [`FileError::NotADirectory`] if one of them is a file, and what the file system fails with.
    pub fn create_dir_all(self) -> Result<(), FileError> {
        tree::create_all(&self.file_system, self.rest())
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`FileError::IsADirectory`] if it is one, and what the file system fails with.
    pub fn remove_file(self) -> Result<(), FileError> {
        match self.rest() {
            "" => Err(FileError::IsADirectory),
            path => self.file_system.remove_file(path),
        }
    }

    /// Removes the directory, which must be empty.
    ///
    /// # Errors
    /// [`FileError::DirectoryNotEmpty`], and what the file system fails with.
    pub fn remove_dir(self) -> Result<(), FileError> {
        self.file_system.remove_dir(self.below_root()?)
    }

    /// Removes the directory and all that is below it.
    ///
    /// # Errors
    /// What the file system fails with; then a part may be gone.
    pub fn remove_dir_all(self) -> Result<(), FileError> {
        tree::remove_all(&self.file_system, self.below_root()?)
    }

    /// Gives what is here the path of `to`, and replaces the file or the empty directory that is there.
    ///
    /// # Errors
    /// [`FileError::CrossDevice`] if `to` lies in another mount, [`FileError::InvalidPath`] if it lies below this one,
    /// and what the file system fails with.
    pub fn rename(self, to: Place<'_>) -> Result<(), FileError> {
        if !Rc::ptr_eq(&self.file_system, &to.file_system) {
            return Err(FileError::CrossDevice);
        }
        let (from, to) = (self.below_root()?, to.below_root()?);
        match crate::path::below(from, to) {
            // The same path: it must be there, and nothing is to be done.
            Some("") => self.node().map(drop),
            Some(_) => Err(FileError::InvalidPath),
            None => self.file_system.rename(from, to),
        }
    }

    /// The path in the one form that the file system knows it by, with a slash in front.
    ///
    /// # Errors
    /// Fails if nothing is there.
    pub fn canonicalize(self) -> Result<String, FileError> {
        let rest = self.file_system.canonicalize(self.rest())?;
        let mut path = String::with_capacity(self.path.len() + 1);
        for part in [self.path[..self.start].trim_end_matches('/'), &rest] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(path)
    }

    /// The file system's part of the path.
    fn rest(&self) -> &str {
        self.path.get(self.start..).unwrap_or_default()
    }

    /// The file system's part of the path, which must not be its root.
    fn below_root(&self) -> Result<&str, FileError> {
        match self.rest() {
            "" => Err(FileError::IsMountPoint),
            path => Ok(path),
        }
    }

    fn node(&self) -> Result<OpenNode, FileError> {
        OpenNode::open(&self.file_system, self.rest())
    }
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.path).finish()
    }
}
