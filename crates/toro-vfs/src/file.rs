//! [`File`]: an open file with a position.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;

use embedded_io::SeekFrom;

use crate::{FileError, FileSystem, Metadata, NodeId, OpenOptions, Sync, core_mounts};

/// A node that is closed when it is dropped.
pub(crate) struct OpenNode {
    pub(crate) file_system: Rc<dyn FileSystem>,
    pub(crate) node: NodeId,
}

impl OpenNode {
    pub(crate) fn open(file_system: &Rc<dyn FileSystem>, path: &str) -> Result<Self, FileError> {
        Ok(Self {
            node: file_system.open(path)?,
            file_system: file_system.clone(),
        })
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, FileError> {
        self.file_system.metadata(self.node)
    }
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        self.file_system.close(self.node);
    }
}

/// An open file, with a position of its own. Closed when it is dropped.
pub struct File {
    open: OpenNode,
    position: u64,
    access: Access,
}

/// What a file was opened for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Every write goes behind the end.
    pub(crate) append: bool,
}

impl File {
    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// Fails if there is no such file, or if it is a directory.
    pub fn open(path: &str) -> Result<Self, FileError> {
        core_mounts::resolve(path)?.open()
    }

    /// Opens the file at `path` for writing: a new one, or the one that is there, cut to nothing.
    ///
    /// # Errors
    /// As [`OpenOptions::open`](crate::OpenOptions::open).
    pub fn create(path: &str) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    pub(crate) fn new(open: OpenNode, access: Access) -> Self {
        Self {
            open,
            position: 0,
            access,
        }
    }

    /// Tells what is known of the file.
    ///
    /// # Errors
    /// What the file system fails with.
    pub fn metadata(&self) -> Result<Metadata, FileError> {
        self.open.metadata()
    }

    /// Reads from the position on, moves it behind what was read and returns the number of bytes; 0 at the end.
    ///
    /// # Errors
    /// What the file system fails with.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, FileError> {
        let len = self.read_at(buf, self.position)?;
        // A position beyond 2^64 cannot be: the file system has read up to there.
        self.position = self.position.saturating_add(len as u64);
        Ok(len)
    }

    /// Reads from `offset` on and returns the number of bytes; 0 at and behind the end. The position stays.
    ///
    /// # Errors
    /// What the file system fails with.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FileError> {
        if !self.access.read {
            return Err(FileError::WrongMode);
        }
        self.open.file_system.read_at(self.open.node, offset, buf)
    }

    /// Reads from `offset` on if the bytes are in memory, and returns their number; 0 at and behind the end. Never waits.
    ///
    /// For small reads where nothing may park, such as a service of the event loop. The position stays.
    ///
    /// # Errors
    /// [`FileError::WouldBlock`] if a device, another core or another thread would have to be waited for; [`read_at`](Self::read_at) does.
    pub fn try_read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FileError> {
        if !self.access.read {
            return Err(FileError::WrongMode);
        }
        let open = &self.open;
        open.file_system.try_read_at(open.node, offset, buf)
    }

    /// Writes at the position, moves it behind what was written and returns the number of bytes.
    ///
    /// A file that was opened to append is written behind its end. What lies between the end and the position becomes
    /// zeros.
    ///
    /// # Errors
    /// [`FileError::WrongMode`], or what the file system fails with; then nothing was written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, FileError> {
        if !self.access.append {
            let len = self.write_at(bytes, self.position)?;
            self.position = self.position.saturating_add(len as u64);
            return Ok(len);
        }
        let open = &self.open;
        let (start, len) = open.file_system.append(open.node, bytes)?;
        self.position = start.saturating_add(len as u64);
        Ok(len)
    }

    /// Writes all of `bytes` as [`write`](Self::write) does.
    ///
    /// # Errors
    /// As [`write`](Self::write), but a part may have been written; the position tells.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            match self.write(bytes)? {
                0 => return Err(FileError::NoSpace),
                len => bytes = &bytes[len..],
            }
        }
        Ok(())
    }

    /// Writes at `offset` and returns the number of bytes. The position stays.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, FileError> {
        if !self.access.write {
            return Err(FileError::WrongMode);
        }
        let file_system = &self.open.file_system;
        file_system.write_at(self.open.node, offset, bytes)
    }

    /// Cuts the file to `len` bytes, or fills it with zeros up to there. The position stays.
    ///
    /// # Errors
    /// [`FileError::WrongMode`], or what the file system fails with.
    pub fn set_len(&self, len: u64) -> Result<(), FileError> {
        if !self.access.write {
            return Err(FileError::WrongMode);
        }
        self.open.file_system.set_len(self.open.node, len)
    }

    /// Returns when the file and all that is known of it is on stable storage.
    ///
    /// # Errors
    /// [`FileError::Io`]: nothing is promised of what was written since the last sync. A device without flush answers
    /// [`IoError::NoFlush`](crate::IoError::NoFlush).
    pub fn sync_all(&self) -> Result<(), FileError> {
        self.open.file_system.sync(self.open.node, Sync::All)
    }

    /// Returns when the bytes of the file are on stable storage and can be found there again.
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    pub fn sync_data(&self) -> Result<(), FileError> {
        self.open.file_system.sync(self.open.node, Sync::Data)
    }

    /// Reads all from the position to the end.
    ///
    /// # Errors
    /// [`FileError::OutOfMemory`], or what the file system fails with.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>, FileError> {
        let remaining = self.metadata()?.len().saturating_sub(self.position);
        let len = usize::try_from(remaining).map_err(|_| FileError::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(len)
            .map_err(|_| FileError::OutOfMemory)?;
        bytes.resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match self.read(&mut bytes[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Moves the position, which may lie behind the end, and returns it.
    ///
    /// # Errors
    /// [`FileError::InvalidSeek`] if the position would lie before the start.
    pub fn seek(&mut self, to: SeekFrom) -> Result<u64, FileError> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.metadata()?.len().checked_add_signed(distance),
        };
        self.position = position.ok_or(FileError::InvalidSeek)?;
        Ok(self.position)
    }

    /// The whole file without a copy, if the file system holds it in memory for good.
    pub fn as_static_slice(&self) -> Option<&'static [u8]> {
        self.open.file_system.static_bytes(self.open.node)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = &self.open;
        f.debug_struct("File")
            .field("node", &open.node)
            .field("position", &self.position)
            .finish()
    }
}

impl embedded_io::ErrorType for File {
    type Error = FileError;
}

impl embedded_io::Read for File {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, FileError> {
        Self::read(self, buf)
    }
}

impl embedded_io::Seek for File {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, FileError> {
        Self::seek(self, to)
    }
}

impl embedded_io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, FileError> {
        Self::write(self, bytes)
    }

    /// Does nothing, as in `std`: a file has no buffer of its own. See [`File::sync_all`].
    fn flush(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}
