//! [`FileError`]: why a call on a file, a directory or a mount failed.

use core::fmt;

/// Why a call on a file, a directory or a mount failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileError {
    /// Nothing has this path, or nothing is mounted above it.
    NotFound,
    /// The path, or a part of it that must be a directory, is none.
    NotADirectory,
    /// The path is a directory, and the call wants a file.
    IsADirectory,
    /// The path is empty, too long, or holds a NUL.
    InvalidPath,
    /// The position lies before the start of the file or beyond 2^64.
    InvalidSeek,
    /// Something is mounted at this path already.
    AlreadyMounted,
    /// The file does not fit in memory.
    OutOfMemory,
    /// Something has this path already.
    AlreadyExists,
    /// The directory has entries.
    DirectoryNotEmpty,
    /// The file system or its device only reads.
    ReadOnly,
    /// Whoever keeps the files does not allow it.
    PermissionDenied,
    /// The device, the directory or the limit of the file system is full.
    NoSpace,
    /// The file would be larger than the file system can hold.
    TooLarge,
    /// The two paths lie in different mounts.
    CrossDevice,
    /// The root of a mount cannot be removed or renamed.
    IsMountPoint,
    /// The file was not opened for this.
    WrongMode,
    /// The call is not to wait, and would have to.
    WouldBlock,
    /// The file system cannot do this.
    Unsupported,
    /// What is on the device contradicts itself.
    Corrupt,
    /// The file system was not left in order, and cannot be repaired here.
    Unclean,
    /// The device failed.
    Io(IoError),
}

/// What the device of a file system failed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoError {
    /// Reading.
    Read,
    /// Writing: what was written since the last sync may be lost.
    Write,
    /// Bringing what was written to stable storage.
    Flush,
    /// The device cannot promise that what was written is stable.
    NoFlush,
    /// The device does not answer any more.
    Gone,
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "the device cannot read",
            Self::Write => "the device cannot write",
            Self::Flush => "the device cannot flush",
            Self::NoFlush => "the device has no flush",
            Self::Gone => "the device does not answer",
        })
    }
}

impl core::error::Error for IoError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::InvalidPath => "the path is not valid",
            Self::InvalidSeek => "the position lies outside of any file",
            Self::AlreadyMounted => "something is mounted there already",
            Self::OutOfMemory => "the file does not fit in memory",
            Self::AlreadyExists => "it exists already",
            Self::DirectoryNotEmpty => "the directory is not empty",
            Self::ReadOnly => "the file system is read-only",
            Self::PermissionDenied => "permission denied",
            Self::NoSpace => "no space is left",
            Self::TooLarge => "the file would be too large",
            Self::CrossDevice => "the paths lie in different mounts",
            Self::IsMountPoint => "something is mounted there",
            Self::WrongMode => "the file was not opened for that",
            Self::WouldBlock => "the call would have to wait",
            Self::Unsupported => "the file system cannot do that",
            Self::Corrupt => "the file system is corrupt",
            Self::Unclean => "the file system was not left in order: have its own tools repair it",
            Self::Io(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for FileError {}

impl embedded_io::Error for FileError {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind;
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::AlreadyMounted | Self::AlreadyExists => ErrorKind::AlreadyExists,
            Self::OutOfMemory => ErrorKind::OutOfMemory,
            Self::InvalidPath | Self::InvalidSeek => ErrorKind::InvalidInput,
            Self::ReadOnly | Self::WrongMode | Self::PermissionDenied => {
                ErrorKind::PermissionDenied
            }
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Corrupt => ErrorKind::InvalidData,
            _ => ErrorKind::Other,
        }
    }
}
