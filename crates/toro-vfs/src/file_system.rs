//! [`FileSystem`]: what a file system gives and the handles take.

use alloc::string::String;

use crate::FileError;

/// Names an open node; only its file system knows what the number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A file with bytes.
    File,
    /// A directory.
    Directory,
}

/// What is known of a node without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    file_type: FileType,
    len: u64,
    modified: u64,
}

impl Metadata {
    /// The metadata of a node of `len` bytes that was last changed at `modified` (seconds since 1970, UTC).
    pub fn new(file_type: FileType, len: u64, modified: u64) -> Self {
        Self {
            file_type,
            len,
            modified,
        }
    }

    /// What the node is.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Whether the node is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Whether the node is a file.
    pub fn is_file(&self) -> bool {
        self.file_type == FileType::File
    }

    /// Length of the file in bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "as in std: this is not a container"
    )]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When the node was last changed, in seconds since 1970 (UTC).
    pub fn modified(&self) -> u64 {
        self.modified
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    name: String,
    file_type: FileType,
}

impl DirEntry {
    /// An entry called `name`, without any path.
    pub fn new(name: String, file_type: FileType) -> Self {
        Self { name, file_type }
    }

    /// The name, without any path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the entry is.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }
}

/// What must have reached stable storage when a sync returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The bytes of the file, and what is needed to find them again.
    Data,
    /// The bytes and all that is known of the file.
    All,
}

/// A file system, used by the core that mounted it.
///
/// Calls may park the thread until a device has answered, and other threads may call meanwhile; so `&self`, and no
/// borrow of inner state across a park. Paths are normal ([`path`](crate::path)) and relative to the root of the file
/// system; the root is the empty path.
///
/// A node stays usable until it is closed, also when its name is removed or changed. The calls that change something
/// answer [`FileError::ReadOnly`] unless the file system has its own.
pub trait FileSystem {
    /// Opens the node at `path`.
    ///
    /// The caller owes one [`close`](Self::close) for the node.
    ///
    /// # Errors
    /// [`FileError::NotFound`], or [`FileError::NotADirectory`] if the path goes on behind a file.
    fn open(&self, path: &str) -> Result<NodeId, FileError>;

    /// Ends the use of `node`.
    fn close(&self, node: NodeId);

    /// Tells what is known of `node`.
    ///
    /// # Errors
    /// Fails if the device does.
    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError>;

    /// Reads bytes of the file from `offset` on and returns how many; 0 at and behind the end.
    ///
    /// # Errors
    /// [`FileError::IsADirectory`] if the node is none.
    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError>;

    /// Reads as [`read_at`](Self::read_at) does, if it can without waiting for a device or for another thread.
    ///
    /// Never parks.
    ///
    /// # Errors
    /// [`FileError::WouldBlock`] if it cannot, and always from a file system that keeps nothing in memory. What `buf` holds then is not defined.
    fn try_read_at(&self, _node: NodeId, _at: u64, _buf: &mut [u8]) -> Result<usize, FileError> {
        Err(FileError::WouldBlock)
    }

    /// Reads the entry of a directory at `cursor` and moves the cursor to the next one; `None` behind the last.
    ///
    /// A cursor starts at 0; its other values are the file system's affair.
    ///
    /// # Errors
    /// [`FileError::NotADirectory`] if the node is none.
    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError>;

    /// The bytes of the file, if they lie in memory and never change.
    fn static_bytes(&self, _node: NodeId) -> Option<&'static [u8]> {
        None
    }

    /// Creates an empty file at `path` and opens it, as [`open`](Self::open) does.
    ///
    /// # Errors
    /// [`FileError::AlreadyExists`], also for a directory; [`FileError::NotFound`] if its directory is not there.
    fn create(&self, _path: &str) -> Result<NodeId, FileError> {
        Err(FileError::ReadOnly)
    }

    /// Writes bytes to the file from `offset` on, with zeros between its end and there, and returns how many.
    ///
    /// # Errors
    /// Nothing was written then: [`FileError::NoSpace`], [`FileError::TooLarge`], or the device's.
    fn write_at(&self, _node: NodeId, _offset: u64, _bytes: &[u8]) -> Result<usize, FileError> {
        Err(FileError::ReadOnly)
    }

    /// Writes bytes behind the end of the file; returns where they begin and how many they are.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn append(&self, node: NodeId, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        let end = self.metadata(node)?.len();
        Ok((end, self.write_at(node, end, bytes)?))
    }

    /// Cuts the file to `len` bytes, or fills it with zeros up to there.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn set_len(&self, _node: NodeId, _len: u64) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }

    /// Returns when what was written to `node` is on stable storage, with its name and the directories above it.
    ///
    /// # Errors
    /// [`FileError::Io`]: then nothing is promised of what was written since the last sync.
    fn sync(&self, _node: NodeId, _what: Sync) -> Result<(), FileError> {
        Ok(())
    }

    /// Brings all that was written to stable storage and leaves the device as it should be found.
    ///
    /// # Errors
    /// [`FileError::Io`].
    fn sync_all(&self) -> Result<(), FileError> {
        Ok(())
    }

    /// Creates an empty directory at `path`.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    fn create_dir(&self, _path: &str) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }

    /// Removes the file at `path`; its space comes back when no node is open any more.
    ///
    /// # Errors
    /// [`FileError::NotFound`], [`FileError::IsADirectory`].
    fn remove_file(&self, _path: &str) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }

    /// Removes the empty directory at `path`, which is not the root.
    ///
    /// # Errors
    /// [`FileError::NotFound`], [`FileError::NotADirectory`], [`FileError::DirectoryNotEmpty`].
    fn remove_dir(&self, _path: &str) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }

    /// Gives what is at `from` the path `to`, and replaces the file or the empty directory that is there.
    ///
    /// Neither is the root, they differ, and `to` does not lie below `from`.
    ///
    /// # Errors
    /// [`FileError::NotFound`]; [`FileError::NotADirectory`] and [`FileError::IsADirectory`] if one is a directory and
    /// the other is not; [`FileError::DirectoryNotEmpty`].
    fn rename(&self, _from: &str, _to: &str) -> Result<(), FileError> {
        Err(FileError::ReadOnly)
    }

    /// The path under which the file system itself knows what is at `path`, without links and with the case on disk.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        let node = self.open(path)?;
        self.close(node);
        Ok(String::from(path))
    }
}
