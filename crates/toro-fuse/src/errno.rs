//! What the numbers of the host's failures mean to callers.

use toro_vfs::{FileError, IoError};

use crate::wire::Opcode;

/// Linux' numbers (`asm-generic/errno.h`), which FUSE uses everywhere.
pub(crate) const ENOENT: u32 = 2;
pub(crate) const ENOSYS: u32 = 38;

/// What the failure `errno` of a request means.
pub(crate) fn translate(opcode: Opcode, errno: u32) -> FileError {
    match errno {
        // ESTALE: the node is gone.
        ENOENT | 116 => FileError::NotFound,
        // EPERM, EACCES
        1 | 13 => FileError::PermissionDenied,
        // ENOMEM, ENFILE, EMFILE
        12 | 23 | 24 => FileError::OutOfMemory,
        // EEXIST
        17 => FileError::AlreadyExists,
        // EXDEV
        18 => FileError::CrossDevice,
        // ENOTDIR
        20 => FileError::NotADirectory,
        // EISDIR
        21 => FileError::IsADirectory,
        // EFBIG
        27 => FileError::TooLarge,
        // ENOSPC, EDQUOT, EMLINK
        28 | 122 | 31 => FileError::NoSpace,
        // EROFS
        30 => FileError::ReadOnly,
        // ENAMETOOLONG, ELOOP, EINVAL of a name
        36 | 40 => FileError::InvalidPath,
        // ENOSYS, EOPNOTSUPP, ENXIO, ENODEV
        ENOSYS | 95 | 6 | 19 => FileError::Unsupported,
        // ENOTEMPTY
        39 => FileError::DirectoryNotEmpty,
        _ => FileError::Io(match opcode {
            Opcode::Write | Opcode::Setattr | Opcode::Create | Opcode::Mkdir => IoError::Write,
            Opcode::Unlink | Opcode::Rmdir | Opcode::Rename2 => IoError::Write,
            Opcode::Fsync | Opcode::Syncfs => IoError::Flush,
            _ => IoError::Read,
        }),
    }
}
