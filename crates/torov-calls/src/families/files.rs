//! Looking at files: opening, status, directories, paths.

use std::sync::PoisonError;

use torov_abi::Errno;
use torov_abi::word::{int, low, size, wide};
use torov_host as host;
use torov_policy::{Mode, Subject};

use crate::Answer;
use crate::context::{Context, word_at};
use crate::descriptors::Class;
use crate::mounts::plain;

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "open" => {
            |context, [path, flags, mode, ..]| openat(context, [CWD, path, flags, mode, 0, 0])
        }
        "creat" => |context, [path, mode, ..]| openat(context, [CWD, path, CREATE, mode, 0, 0]),
        "openat" => openat,
        "openat2" => openat2,
        "stat" => |context, [path, at, ..]| newfstatat(context, [CWD, path, at, 0, 0, 0]),
        "lstat" => |context, [path, at, ..]| newfstatat(context, [CWD, path, at, NOFOLLOW, 0, 0]),
        "fstat" => fstat,
        "newfstatat" => newfstatat,
        "statx" => statx,
        "access" => |context, [path, wanted, ..]| faccessat(context, [CWD, path, wanted, 0, 0, 0]),
        "faccessat" => |context, args| faccessat(context, [args[0], args[1], args[2], 0, 0, 0]),
        "faccessat2" => faccessat,
        "getdents64" => getdents,
        "readlink" => {
            |context, [path, at, len, ..]| readlinkat(context, [CWD, path, at, len, 0, 0])
        }
        "readlinkat" => readlinkat,
        "getcwd" => getcwd,
        "chdir" => chdir,
        "fchdir" => fchdir,
        "fadvise64" => fadvise,
        _ => return None,
    })
}

/// `AT_FDCWD`.
pub(crate) const CWD: u64 = (-100_i64).cast_unsigned();
/// `AT_SYMLINK_NOFOLLOW`.
const NOFOLLOW: u64 = 0x100;
/// `AT_EMPTY_PATH`.
const EMPTY_PATH: u64 = 0x1000;
/// What `creat` says to `open`.
const CREATE: u64 = 0o1101;

const O_ACCMODE: i32 = 3;
const O_CREAT: i32 = 0o100;
const O_TRUNC: i32 = 0o1000;
const O_NOFOLLOW: i32 = 0o400_000;
const O_CLOEXEC: i32 = 0o2_000_000;
const O_PATH: i32 = 0o10_000_000;
const O_TMPFILE: i32 = 0o20_000_000;
/// What `openat2` may say of the way: the mounts have no others below them that count, and magic links never lead anywhere.
const NO_XDEV: u64 = 1;
const NO_MAGICLINKS: u64 = 2;
const NO_SYMLINKS: u64 = 4;
/// What a program may say: access, creation, appending, not waiting, directories and links, large files.
const KNOWN: i32 = 0o12_717_303;

fn openat(context: &Context<'_>, [folder, path, flags, mode, ..]: [u64; 6]) -> Answer {
    open(context, (folder, path), int(flags), low(mode))
}

fn openat2(context: &Context<'_>, [folder, path, how, len, ..]: [u64; 6]) -> Answer {
    if len < 24 {
        return Err(Errno::EINVAL);
    }
    let how: [u8; 24] = context.memory().read_array(how)?;
    let [flags, mode, resolve] = [0, 8, 16].map(|at| word_at(&how, at));
    let flags = i32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let creates = flags & (O_CREAT | O_TMPFILE) != 0;
    // Strict as Linux is: what it cannot do as asked is an error.
    if flags & !(KNOWN | O_PATH | O_TMPFILE) != 0
        || mode & !0o7777 != 0
        || mode != 0 && !creates
        || resolve & !(NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS) != 0
    {
        return Err(Errno::EINVAL);
    }
    let nofollow = if resolve & NO_SYMLINKS == 0 {
        0
    } else {
        O_NOFOLLOW
    };
    open(context, (folder, path), flags | nofollow, low(mode))
}

fn open(context: &Context<'_>, (folder, path): (u64, u64), flags: i32, mode: u32) -> Answer {
    if flags & O_TMPFILE != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let changes =
        flags & O_PATH == 0 && (flags & O_ACCMODE != 0 || flags & (O_CREAT | O_TRUNC) != 0);
    let wanted = if changes { Mode::Rw } else { Mode::Ro };
    let path = context.judged_path(folder, path, wanted)?;
    let found = context.process.mounts.find(&path)?;
    if changes && found.mode == Mode::Ro {
        return Err(Errno::EROFS);
    }
    let mode = context.process.masked(mode);
    let fd = host::open_beneath(found.root, &found.path, flags & KNOWN, mode)?;
    let is_directory = host::status(std::os::fd::AsFd::as_fd(&fd))?.mode() & 0o170_000 == 0o040_000;
    let class = if is_directory {
        Class::Directory
    } else {
        Class::File
    };
    let path = plain(&path).to_owned();
    context.open(fd, class, path, flags & O_CLOEXEC != 0)
}

fn fstat(context: &Context<'_>, [fd, at, ..]: [u64; 6]) -> Answer {
    let status = host::status(context.descriptor(fd)?.fd())?;
    context.memory().write(at, &status.bytes())?;
    Ok(0)
}

/// The status of a path, or of a descriptor if the path is empty.
fn status_at(
    context: &Context<'_>,
    folder: u64,
    path: u64,
    flags: u64,
) -> Result<host::Status, Errno> {
    let first = if path == 0 {
        0
    } else {
        context.memory().read_array::<1>(path)?[0]
    };
    if first == 0 {
        if flags & EMPTY_PATH == 0 {
            return Err(Errno::ENOENT);
        }
        if folder != CWD {
            let descriptor = context.process.descriptors.get(folder)?;
            context.permit(Subject::Path(descriptor.path(), Mode::Ro))?;
            return host::status(descriptor.fd());
        }
    }
    let path = context.judged_path(folder, path, Mode::Ro)?;
    if context.process.mounts.is_above(&path) {
        return Ok(host::Status::of_directory());
    }
    let found = context.process.mounts.find(&path)?;
    let follow = if flags & NOFOLLOW == 0 { 0 } else { O_NOFOLLOW };
    let fd = host::open_beneath(found.root, &found.path, O_PATH | follow, 0)?;
    host::status(std::os::fd::AsFd::as_fd(&fd))
}

fn newfstatat(context: &Context<'_>, [folder, path, at, flags, ..]: [u64; 6]) -> Answer {
    /// `AT_NO_AUTOMOUNT`, which means nothing here.
    const NO_AUTOMOUNT: u64 = 0x800;
    if low(flags) & !low(NOFOLLOW | EMPTY_PATH | NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL);
    }
    let status = status_at(context, folder, path, flags)?;
    context.memory().write(at, &status.bytes())?;
    Ok(0)
}

fn statx(context: &Context<'_>, [folder, path, flags, mask, at, _]: [u64; 6]) -> Answer {
    /// The basic fields.
    const BASIC: u32 = 0x7ff;
    const RESERVED: u32 = 1 << 31;
    /// Those of `newfstatat`, and how fresh it is to be.
    const FLAGS: u32 = 0x7900;
    const SYNC: u32 = 0x6000;
    if low(flags) & !FLAGS != 0 || low(flags) & SYNC == SYNC || low(mask) & RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let status = status_at(context, folder, path, flags)?;
    let raw = status.raw();
    let mut bytes = [0; 256];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &BASIC.to_le_bytes());
    put(4, &low(raw.st_blksize.cast_unsigned()).to_le_bytes());
    put(16, &low(raw.st_nlink).to_le_bytes());
    put(20, &raw.st_uid.to_le_bytes());
    put(24, &raw.st_gid.to_le_bytes());
    put(28, &raw.st_mode.to_le_bytes());
    put(32, &raw.st_ino.to_le_bytes());
    put(40, &raw.st_size.to_le_bytes());
    put(48, &raw.st_blocks.to_le_bytes());
    for (place, seconds, nanos) in [
        (64, raw.st_atime, raw.st_atime_nsec),
        (96, raw.st_ctime, raw.st_ctime_nsec),
        (112, raw.st_mtime, raw.st_mtime_nsec),
    ] {
        put(place, &seconds.to_le_bytes());
        put(place + 8, &low(nanos.cast_unsigned()).to_le_bytes());
    }
    context.memory().write(at, &bytes)?;
    Ok(0)
}

fn fadvise(context: &Context<'_>, [fd, _, _, advice, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    match (descriptor.class(), low(advice)) {
        (Class::Pipe, _) => Err(Errno::ESPIPE),
        (_, 0..=5) => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn faccessat(context: &Context<'_>, [folder, path, wanted, flags, ..]: [u64; 6]) -> Answer {
    const W_OK: u64 = 2;
    const ANY: u64 = 7;
    const EACCESS: u64 = 0x200;
    if low(wanted) & !low(ANY) != 0 || low(flags) & !low(NOFOLLOW | EACCESS) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = context.judged_path(folder, path, Mode::Ro)?;
    if context.process.mounts.is_above(&path) {
        let denied = wanted & W_OK != 0;
        return if denied { Err(Errno::EROFS) } else { Ok(0) };
    }
    let found = context.process.mounts.find(&path)?;
    let follow = if flags & NOFOLLOW == 0 { 0 } else { O_NOFOLLOW };
    let fd = host::open_beneath(found.root, &found.path, O_PATH | follow, 0)?;
    if wanted & W_OK != 0 && found.mode == Mode::Ro {
        return Err(Errno::EROFS);
    }
    host::may_access(std::os::fd::AsFd::as_fd(&fd), int(wanted))
}

fn getdents(context: &Context<'_>, [fd, at, len, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    let len = len.min(1 << 16);
    // Entries that cannot be told would be lost: the room is looked at first.
    context
        .memory()
        .spans(at, len, torov_memory::Access::Write)?;
    let mut entries = vec![0; size(len)];
    let got = host::directory_entries(descriptor.fd(), &mut entries)?;
    context.memory().write(at, &entries[..size(got)])?;
    Ok(got)
}

fn readlinkat(context: &Context<'_>, [folder, path, at, len, ..]: [u64; 6]) -> Answer {
    if int(len) <= 0 {
        return Err(Errno::EINVAL);
    }
    let own = path != 0 && folder != CWD && context.memory().read_array::<1>(path)? == [0];
    let target = if own {
        // The link that is open itself.
        let link = context.process.descriptors.get(folder)?;
        context.permit(Subject::Path(link.path(), Mode::Ro))?;
        host::link_target(link.fd())?
    } else {
        link_at(context, folder, path)?
    };
    let len = size(len.min(wide(target.len())));
    context.memory().write(at, &target[..len])?;
    Ok(wide(len))
}

fn link_at(context: &Context<'_>, folder: u64, path: u64) -> Result<Vec<u8>, Errno> {
    let path = context.judged_path(folder, path, Mode::Ro)?;
    if path == "/proc/self/exe" {
        Ok(context.process.executable.clone().into_bytes())
    } else {
        let found = context.process.mounts.find(&path)?;
        let flags = O_PATH | O_NOFOLLOW;
        let link = host::open_beneath(found.root, &found.path, flags, 0)?;
        let target = host::link_target(std::os::fd::AsFd::as_fd(&link));
        // So does the kernel call what is open, and no link.
        target.map_err(|error| match error {
            Errno::ENOENT => Errno::EINVAL,
            error => error,
        })
    }
}

fn getcwd(context: &Context<'_>, [at, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let cwd = context
        .process
        .cwd
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let text = format!("{cwd}\0");
    drop(cwd);
    if wide(text.len()) > len {
        return Err(Errno::ERANGE);
    }
    context.memory().write(at, text.as_bytes())?;
    Ok(wide(text.len()))
}

fn chdir(context: &Context<'_>, [path, ..]: [u64; 6]) -> Answer {
    const O_DIRECTORY: i32 = 0o200_000;
    let path = context.judged_path(CWD, path, Mode::Ro)?;
    if !context.process.mounts.is_above(&path) {
        let found = context.process.mounts.find(&path)?;
        host::open_beneath(found.root, &found.path, O_PATH | O_DIRECTORY, 0)?;
    }
    *context
        .process
        .cwd
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = plain(&path).to_owned();
    Ok(0)
}

fn fchdir(context: &Context<'_>, [fd, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    if descriptor.class() != Class::Directory {
        return Err(Errno::ENOTDIR);
    }
    let path = descriptor.path().to_owned();
    *context
        .process
        .cwd
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = path;
    Ok(0)
}
