//! Descriptors: opening below a mount point, looking, seeking.

use std::ffi::CStr;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use torov_abi::Errno;
use torov_abi::word::{int, wide};

use crate::check;

/// What `stat` tells of a file, laid out as the guest's `struct stat`.
#[derive(Clone, Copy)]
pub struct Status(libc::stat);

impl Status {
    /// The status of a directory that the host does not have, and that nobody may change.
    #[must_use]
    pub fn of_directory() -> Self {
        // SAFETY: all-zero is a value of this structure.
        let mut status: libc::stat = unsafe { mem::zeroed() };
        status.st_mode = libc::S_IFDIR | 0o555;
        status.st_nlink = 2;
        status.st_ino = 1;
        status.st_blksize = 4096;
        Self(status)
    }

    /// The bytes of `struct stat`.
    #[must_use]
    pub fn bytes(&self) -> [u8; mem::size_of::<libc::stat>()] {
        // SAFETY: the structure came from the kernel or zeroed memory, so all of its bytes are initialised, and it is
        // exactly as long as the array.
        unsafe { mem::transmute(self.0) }
    }

    /// Type and permissions.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.0.st_mode
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.st_size.try_into().unwrap_or(0)
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields of `statx` in the order of `struct stat`: dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, times.
    #[must_use]
    pub fn raw(&self) -> &libc::stat {
        &self.0
    }
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Status(mode {:o}, {} bytes)", self.mode(), self.len())
    }
}

/// The descriptor that a call has just returned.
pub(crate) fn owned(result: Result<u64, Errno>) -> Result<OwnedFd, Errno> {
    let fd = int(result?);
    // SAFETY: the kernel has just returned this number for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a directory of the host by any path, as the start of what a guest may see.
///
/// # Errors
/// As `open`.
pub fn open_root(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a text of C that lives during the call.
    owned(check(unsafe { libc::open(path.as_ptr(), flags) }))
}

/// `openat2` below `root`: no `..` past it, no absolute links, no magic links.
///
/// # Errors
/// As the call; `EXDEV` if the path leads out.
pub fn open_beneath(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    // Strict as this call is: who only names a file may say nothing of how it is used.
    let flags = match flags & libc::O_PATH {
        0 => flags | libc::O_CLOEXEC | libc::O_NOCTTY,
        path => path | libc::O_CLOEXEC | flags & (libc::O_DIRECTORY | libc::O_NOFOLLOW),
    };
    let created = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    // SAFETY: all-zero is the kernel's default for every field of this structure.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = u64::from(flags.cast_unsigned());
    how.mode = if created { u64::from(mode & 0o7777) } else { 0 };
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    let len = mem::size_of_val(&how);
    loop {
        // SAFETY: path and structure live during the call, and `len` is the structure's.
        let result = check(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                &raw mut how,
                len,
            )
        });
        // EAGAIN: a rename ran at the same time, and the kernel could not tell whether the path leads out.
        if result != Err(Errno::EAGAIN) {
            return owned(result);
        }
    }
}

/// Whether the monitor may do with an open file what `wanted` says, as `access` has it.
///
/// # Errors
/// As `faccessat2`: `EACCES` if not.
pub fn may_access(fd: BorrowedFd<'_>, wanted: i32) -> Result<u64, Errno> {
    // SAFETY: the empty path is a text of C.
    check(unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            fd.as_raw_fd(),
            c"".as_ptr(),
            wanted,
            libc::AT_EMPTY_PATH,
        )
    })
}

/// `fstat`, by number: the library makes another call, which takes paths.
///
/// # Errors
/// As the call.
pub fn status(fd: BorrowedFd<'_>) -> Result<Status, Errno> {
    // SAFETY: all-zero is a value of this structure.
    let mut status: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: the structure is ours for the call.
    check(unsafe { libc::syscall(libc::SYS_fstat, fd.as_raw_fd(), &raw mut status) })?;
    Ok(Status(status))
}

/// Whether `fd` is on a file system of the host whose files are bytes and nothing else: a file elsewhere may take each write for a
/// command, as those below `/proc` and `/sys` do.
#[must_use]
pub fn holds_plain_files(fd: BorrowedFd<'_>) -> bool {
    const PLAIN: [libc::c_long; 6] = [
        libc::EXT4_SUPER_MAGIC,
        libc::TMPFS_MAGIC,
        libc::OVERLAYFS_SUPER_MAGIC,
        libc::XFS_SUPER_MAGIC,
        libc::BTRFS_SUPER_MAGIC,
        libc::F2FS_SUPER_MAGIC,
    ];
    // SAFETY: all-zero is a value of this structure.
    let mut system: libc::statfs = unsafe { mem::zeroed() };
    // SAFETY: the structure is ours for the call.
    let asked = check(unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut system) });
    // The type of the field differs from library to library.
    asked.is_ok()
        && PLAIN
            .iter()
            .any(|kind| i128::from(*kind) == i128::from(system.f_type))
}

/// `lseek`.
///
/// # Errors
/// As the call.
pub fn seek(fd: BorrowedFd<'_>, offset: i64, whence: i32) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) })
}

/// `ftruncate`.
///
/// # Errors
/// As the call.
pub fn truncate(fd: BorrowedFd<'_>, len: i64) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), len) })
}

/// `fsync`.
///
/// # Errors
/// As the call.
pub fn synchronise(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::fsync(fd.as_raw_fd()) })
}

/// `getdents64` into `bytes`.
///
/// # Errors
/// As the call.
pub fn directory_entries(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<u64, Errno> {
    let (at, len) = (bytes.as_mut_ptr(), bytes.len());
    // SAFETY: the kernel writes at most `len` bytes into the slice.
    check(unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), at, len) })
}

/// `fcntl` with `F_GETFL` or `F_SETFL`.
///
/// # Errors
/// As the call; `EINVAL` for other commands.
pub fn control(fd: BorrowedFd<'_>, command: i32, argument: i32) -> Result<u64, Errno> {
    if ![libc::F_GETFL, libc::F_SETFL].contains(&command) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: both commands take an integer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) })
}

/// `dup`.
///
/// # Errors
/// As the call.
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    fd.try_clone_to_owned().map_err(Errno::from)
}

/// `pipe2`: the end to read from and the end to write to.
///
/// # Errors
/// As the call.
pub fn pipe(flags: i32) -> Result<[OwnedFd; 2], Errno> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two numbers into the array.
    check(unsafe {
        libc::pipe2(
            ends.as_mut_ptr(),
            flags & (libc::O_NONBLOCK | libc::O_DIRECT) | libc::O_CLOEXEC,
        )
    })?;
    let [read, write] = ends.map(|end| Ok(wide(usize::try_from(end).unwrap_or(0))));
    Ok([owned(read)?, owned(write)?])
}

/// `eventfd2`.
///
/// # Errors
/// As the call.
pub fn event_counter(value: u32, flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointer is passed.
    owned(check(unsafe {
        libc::eventfd(value, flags | libc::EFD_CLOEXEC)
    }))
}

/// `timerfd_create`.
///
/// # Errors
/// As the call.
pub fn timer(clock: i32, flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointer is passed.
    owned(check(unsafe {
        libc::timerfd_create(clock, flags | libc::TFD_CLOEXEC)
    }))
}

/// `timerfd_settime` with the bytes of a `struct itimerspec`; returns those of what was set before.
///
/// # Errors
/// As the call.
pub fn set_timer(fd: BorrowedFd<'_>, flags: i32, new: [u8; 32]) -> Result<[u8; 32], Errno> {
    let mut old = [0_u64; 4];
    let mut words = [0_u64; 4];
    for (word, bytes) in words.iter_mut().zip(new.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let (new, at) = (words.as_ptr().cast(), old.as_mut_ptr().cast());
    // SAFETY: both arrays are as long and as aligned as an `itimerspec`.
    check(unsafe { libc::timerfd_settime(fd.as_raw_fd(), flags, new, at) })?;
    Ok(bytes_of(old))
}

/// `timerfd_gettime`: the bytes of a `struct itimerspec`.
///
/// # Errors
/// As the call.
pub fn timer_setting(fd: BorrowedFd<'_>) -> Result<[u8; 32], Errno> {
    let mut words = [0_u64; 4];
    // SAFETY: the array is as long and as aligned as an `itimerspec`.
    check(unsafe { libc::timerfd_gettime(fd.as_raw_fd(), words.as_mut_ptr().cast()) })?;
    Ok(bytes_of(words))
}

fn bytes_of(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// `fallocate`.
///
/// # Errors
/// As the call.
pub fn allocate(fd: BorrowedFd<'_>, mode: i32, offset: i64, len: i64) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset, len) })
}

/// `fchmod`, without the bits by which a program gets the rights of its owner.
///
/// # Errors
/// As the call.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<u64, Errno> {
    // By number: where the call fails, musl makes others, which take paths.
    // SAFETY: no pointer is passed.
    check(unsafe { libc::syscall(libc::SYS_fchmod, fd.as_raw_fd(), mode & 0o1777) })
}

/// The same for what is open by `O_PATH`: by `fchmodat2`, which Linux has since 6.6.
///
/// # Errors
/// As the call: `ENOSYS` before.
pub fn set_mode_of_path(fd: BorrowedFd<'_>, mode: u32) -> Result<u64, Errno> {
    let empty = c"".as_ptr();
    // SAFETY: the empty path is a text of C.
    check(unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            fd.as_raw_fd(),
            empty,
            mode & 0o1777,
            libc::AT_EMPTY_PATH,
        )
    })
}

/// `ioctl(TIOCGWINSZ)`: the bytes of `struct winsize`.
///
/// # Errors
/// As the call: `ENOTTY` if it is no terminal.
pub fn window_size(fd: BorrowedFd<'_>) -> Result<[u8; 8], Errno> {
    let mut bytes = [0; 8];
    // SAFETY: the kernel writes a `struct winsize`, which has 8 bytes.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, bytes.as_mut_ptr()) })?;
    Ok(bytes)
}

/// `ioctl(TCGETS)`: the bytes of the kernel's `struct termios`.
///
/// # Errors
/// As the call: `ENOTTY` if it is no terminal.
pub fn terminal_settings(fd: BorrowedFd<'_>) -> Result<[u8; 36], Errno> {
    let mut bytes = [0; 36];
    // SAFETY: the kernel writes its `struct termios`, which has 36 bytes.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TCGETS, bytes.as_mut_ptr()) })?;
    Ok(bytes)
}

/// `ioctl(FIONREAD)`: how many bytes can be read.
///
/// # Errors
/// As the call.
pub fn readable_bytes(fd: BorrowedFd<'_>) -> Result<[u8; 4], Errno> {
    let mut bytes = [0; 4];
    // SAFETY: the kernel writes an `int`.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, bytes.as_mut_ptr()) })?;
    Ok(bytes)
}

/// `utimensat` on what is open, even by `O_PATH`. Each time is the bytes of a `struct timespec`; without any it is now.
///
/// # Errors
/// As the call.
pub fn set_times(fd: BorrowedFd<'_>, times: Option<[u8; 32]>) -> Result<u64, Errno> {
    let words = times.map(|times| {
        let mut words = [0_i64; 4];
        for (word, bytes) in words.iter_mut().zip(times.as_chunks::<8>().0) {
            *word = i64::from_le_bytes(*bytes);
        }
        words
    });
    let at = words
        .as_ref()
        .map_or(std::ptr::null(), |words| words.as_ptr());
    // SAFETY: four `i64` are two `timespec`s; the path is an empty text of C.
    check(unsafe {
        libc::syscall(
            libc::SYS_utimensat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            at,
            libc::AT_EMPTY_PATH,
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::holds_plain_files;

    #[test]
    fn files_that_take_commands_are_not_plain() {
        for path in ["/proc/self/comm", "/proc/self/stat"] {
            let file = File::open(path).unwrap();
            assert!(!holds_plain_files(file.as_fd()), "{path}");
        }
    }
}
