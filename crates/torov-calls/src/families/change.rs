//! Changing files and directories, below mounts that may be changed.

use std::os::fd::AsFd as _;

use torov_abi::Errno;
use torov_abi::word::{int, low};
use torov_host as host;
use torov_policy::{Mode, Subject};

use super::files::CWD;
use crate::Answer;
use crate::context::Context;

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "ftruncate" => ftruncate,
        "truncate" => truncate,
        "fsync" | "fdatasync" => {
            |context, [fd, ..]| host::synchronise(context.descriptor(fd)?.fd())
        }
        "fallocate" => |context, [fd, mode, offset, len, ..]| {
            let descriptor = context.descriptor(fd)?;
            let (offset, len) = (offset.cast_signed(), len.cast_signed());
            host::allocate(descriptor.fd(), int(mode), offset, len)
        },
        "fchmod" => |context, [fd, mode, ..]| {
            let descriptor = context.descriptor(fd)?;
            // What is open may be below a mount that is only read.
            if context.process.mounts.find(descriptor.path())?.mode == Mode::Ro {
                return Err(Errno::EROFS);
            }
            host::set_mode(descriptor.fd(), low(mode))
        },
        "chmod" => |context, [path, mode, ..]| fchmodat(context, [CWD, path, mode, 0, 0, 0]),
        "fchmodat" => fchmodat,
        "mkdir" => |context, [path, mode, ..]| mkdirat(context, [CWD, path, mode, 0, 0, 0]),
        "mkdirat" => mkdirat,
        "rmdir" => |context, [path, ..]| unlinkat(context, [CWD, path, REMOVEDIR, 0, 0, 0]),
        "unlink" => |context, [path, ..]| unlinkat(context, [CWD, path, 0, 0, 0, 0]),
        "unlinkat" => unlinkat,
        "rename" => |context, [from, to, ..]| renameat2(context, [CWD, from, CWD, to, 0, 0]),
        "renameat" => |context, [a, from, b, to, ..]| renameat2(context, [a, from, b, to, 0, 0]),
        "renameat2" => renameat2,
        "utimensat" => utimensat,
        _ => return None,
    })
}

/// `AT_REMOVEDIR`.
const REMOVEDIR: u64 = 0x200;

fn ftruncate(context: &Context<'_>, [fd, len, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    host::truncate(descriptor.fd(), len.cast_signed())
}

fn truncate(context: &Context<'_>, [path, len, ..]: [u64; 6]) -> Answer {
    /// `O_WRONLY`, and `O_NONBLOCK`: who looks for a pipe's reader does not wait.
    const FLAGS: i32 = 1 | 0o4000;
    let path = context.judged_path(CWD, path, Mode::Rw)?;
    if len.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let found = context.process.mounts.find(&path)?;
    if found.mode == Mode::Ro {
        return Err(Errno::EROFS);
    }
    let fd = host::open_beneath(found.root, &found.path, FLAGS, 0)?;
    host::truncate(fd.as_fd(), len.cast_signed())
}

fn fchmodat(context: &Context<'_>, [folder, path, mode, ..]: [u64; 6]) -> Answer {
    /// `O_PATH`; and `O_NONBLOCK`, so that nobody waits for the other end of a pipe.
    const O_PATH: i32 = 0o10_000_000;
    const O_NONBLOCK: i32 = 0o4000;
    let path = context.judged_path(folder, path, Mode::Rw)?;
    let found = context.process.mounts.find(&path)?;
    if found.mode == Mode::Ro {
        return Err(Errno::EROFS);
    }
    let fd = host::open_beneath(found.root, &found.path, O_PATH, 0)?;
    match host::set_mode_of_path(fd.as_fd(), low(mode)) {
        Err(Errno::ENOSYS) => {
            let fd = host::open_beneath(found.root, &found.path, O_NONBLOCK, 0)?;
            host::set_mode(fd.as_fd(), low(mode))
        }
        answer => answer,
    }
}

fn mkdirat(context: &Context<'_>, [folder, path, mode, ..]: [u64; 6]) -> Answer {
    let path = context.judged_path(folder, path, Mode::Rw)?;
    let (parent, name) = match context.process.mounts.parent_to_change(&path) {
        Err(Errno::EBUSY) => return Err(Errno::EEXIST),
        Err(Errno::ENOENT) if context.process.mounts.is_above(&path) => {
            return Err(Errno::EEXIST);
        }
        found => found?,
    };
    host::make_directory(parent.as_fd(), &name, context.process.masked(low(mode)))
}

fn unlinkat(context: &Context<'_>, [folder, path, flags, ..]: [u64; 6]) -> Answer {
    if flags & !REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = context.judged_path(folder, path, Mode::Rw)?;
    let (parent, name) = context.process.mounts.parent_to_change(&path)?;
    host::remove(parent.as_fd(), &name, flags != 0)
}

fn utimensat(context: &Context<'_>, [folder, path, times, flags, ..]: [u64; 6]) -> Answer {
    /// `AT_SYMLINK_NOFOLLOW`, and `O_PATH` with `O_NOFOLLOW` for it.
    const NOFOLLOW: u64 = 0x100;
    const EMPTY_PATH: u64 = 0x1000;
    const O_PATH: i32 = 0o10_000_000;
    const O_NOFOLLOW: i32 = 0o400_000;
    if low(flags) & !low(NOFOLLOW | EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let times = match times {
        0 => None,
        at => Some(context.memory().read_array::<32>(at)?),
    };
    if path == 0 {
        let descriptor = context.process.descriptors.get(folder)?;
        context.permit(Subject::Path(descriptor.path(), Mode::Rw))?;
        return host::set_times(descriptor.fd(), times);
    }
    let path = context.judged_path(folder, path, Mode::Rw)?;
    let found = context.process.mounts.find(&path)?;
    if found.mode == Mode::Ro {
        return Err(Errno::EROFS);
    }
    let follow = if flags & NOFOLLOW == 0 { 0 } else { O_NOFOLLOW };
    let fd = host::open_beneath(found.root, &found.path, O_PATH | follow, 0)?;
    host::set_times(fd.as_fd(), times)
}

fn renameat2(
    context: &Context<'_>,
    [from_folder, from, to_folder, to, flags, ..]: [u64; 6],
) -> Answer {
    let from = context.judged_path(from_folder, from, Mode::Rw)?;
    let to = context.judged_path(to_folder, to, Mode::Rw)?;
    let (old, old_name) = context.process.mounts.parent_to_change(&from)?;
    let (new, new_name) = context.process.mounts.parent_to_change(&to)?;
    host::rename(
        (old.as_fd(), &old_name),
        (new.as_fd(), &new_name),
        low(flags),
    )
}
