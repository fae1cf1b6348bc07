//! [`Mounts`]: which file system holds a path.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{FileError, FileSystem, Place, path};

/// The mounted file systems of a core.
#[derive(Default)]
pub struct Mounts {
    /// Longest path first, so that the first match is the innermost.
    mounts: Vec<Mount>,
}

struct Mount {
    /// In normal form.
    path: String,
    file_system: Rc<dyn FileSystem>,
}

impl Mounts {
    /// Nothing is mounted.
    pub const fn new() -> Self {
        Self { mounts: Vec::new() }
    }

    /// Mounts `file_system` at `path`, where there need not be a directory.
    ///
    /// It covers what other mounts have at and below that path. A mount point that is no directory of the file system
    /// above it does not appear when that is listed.
    ///
    /// # Errors
    /// Fails if the path is not valid, or a mount point already.
    pub fn mount(&mut self, path: &str, file_system: Rc<dyn FileSystem>) -> Result<(), FileError> {
        let path = path::normalise(path)?.into_owned();
        if self.mounts.iter().any(|mount| mount.path == path) {
            return Err(FileError::AlreadyMounted);
        }
        let at = self
            .mounts
            .partition_point(|mount| mount.path.len() >= path.len());
        self.mounts.insert(at, Mount { path, file_system });
        Ok(())
    }

    /// Where something is mounted, the longest path first.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().map(|mount| mount.path.as_str())
    }

    /// Finds the file system that holds `path`.
    ///
    /// # Errors
    /// [`FileError::NotFound`] if nothing is mounted above the path; whether there is such a file is not asked yet.
    pub fn resolve<'p>(&self, path: &'p str) -> Result<Place<'p>, FileError> {
        let path = path::normalise(path)?;
        let found = self.mounts.iter().find_map(|mount| {
            let below = path::below(&mount.path, &path)?;
            Some((mount.file_system.clone(), path.len() - below.len()))
        });
        let (file_system, start) = found.ok_or(FileError::NotFound)?;
        Ok(Place::new(file_system, path, start))
    }

    /// Takes the mount at `path` away and returns its file system.
    ///
    /// Files that are open stay open. What was written is not brought to the device by this; see
    /// [`FileSystem::sync_all`].
    ///
    /// # Errors
    /// [`FileError::NotFound`] if nothing is mounted exactly there.
    pub fn unmount(&mut self, path: &str) -> Result<Rc<dyn FileSystem>, FileError> {
        let path = path::normalise(path)?;
        let at = self.mounts.iter().position(|mount| mount.path == path);
        Ok(self
            .mounts
            .remove(at.ok_or(FileError::NotFound)?)
            .file_system)
    }

    /// The mounted file systems.
    pub fn file_systems(&self) -> impl Iterator<Item = &Rc<dyn FileSystem>> {
        self.mounts.iter().map(|mount| &mount.file_system)
    }
}

impl fmt::Debug for Mounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.mounts.iter().map(|mount| &mount.path))
            .finish()
    }
}
