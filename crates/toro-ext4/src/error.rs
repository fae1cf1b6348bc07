//! What an error of the library means to the caller.

use ext4_view::Ext4Error;
use toro_vfs::{FileError, IoError};

pub(crate) fn translate(error: Ext4Error) -> FileError {
    match error {
        Ext4Error::NotFound => FileError::NotFound,
        Ext4Error::NotADirectory => FileError::NotADirectory,
        Ext4Error::IsADirectory => FileError::IsADirectory,
        Ext4Error::MalformedPath | Ext4Error::PathTooLong | Ext4Error::NotAbsolute => {
            FileError::InvalidPath
        }
        Ext4Error::FileTooLarge => FileError::OutOfMemory,
        Ext4Error::Io(_) => FileError::Io(IoError::Read),
        Ext4Error::Corrupt(_) | Ext4Error::TooManySymlinks => FileError::Corrupt,
        _ => FileError::Unsupported,
    }
}
