//! Memory: `mmap` and its family.

use torov_abi::word::{int, low, page_up};
use torov_abi::{Errno, PAGE};
use torov_host as host;
use torov_memory::{Access, Place, Rights};
use torov_policy::Subject;

use crate::Answer;
use crate::context::Context;
use crate::descriptors::Class;

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "mmap" => mmap,
        "munmap" => munmap,
        "mprotect" => mprotect,
        "mremap" => mremap,
        "msync" => msync,
        "madvise" => madvise,
        "brk" => brk,
        _ => return None,
    })
}

const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;

/// Never both to write and to execute.
fn rights(prot: u64) -> Result<Rights, Errno> {
    if prot & !(PROT_READ | PROT_WRITE | PROT_EXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let rights = Rights {
        read: prot & PROT_READ != 0,
        write: prot & PROT_WRITE != 0,
        execute: prot & PROT_EXEC != 0,
    };
    if rights.write && rights.execute {
        return Err(Errno::EACCES);
    }
    Ok(rights)
}

fn mmap(context: &Context<'_>, [at, len, prot, flags, fd, offset]: [u64; 6]) -> Answer {
    const SHARED: u64 = 1;
    const KIND: u64 = 3;
    const FIXED: u64 = 0x10;
    const ANONYMOUS: u64 = 0x20;
    const FIXED_NOREPLACE: u64 = 0x10_0000;
    context.permit(Subject::Nothing)?;
    let rights = rights(prot)?;
    let place = match flags {
        _ if flags & FIXED_NOREPLACE != 0 => Place::IfFree(at),
        _ if flags & FIXED != 0 => Place::Exactly(at),
        _ => Place::Anywhere(at),
    };
    if flags & KIND == 0 {
        return Err(Errno::EINVAL);
    }
    if let Place::Exactly(at) | Place::IfFree(at) = place {
        check_place(at, len)?;
    }
    if flags & ANONYMOUS != 0 {
        return context.memory().map(place, len, rights, "mmap");
    }
    if flags & SHARED != 0 && rights.write {
        // A page of the file's cache inside the guest could vanish under the monitor when the file is cut short.
        return Err(Errno::ENODEV);
    }
    let descriptor = context.process.descriptors.get(fd)?;
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    if !matches!(descriptor.class(), Class::File | Class::Stdio) {
        return Err(Errno::ENODEV);
    }
    // Nothing is read, but whether it may be is looked at, before another mapping makes room.
    host::read_at(descriptor.fd(), &[], 0).map_err(|_| Errno::EACCES)?;
    let start = context.memory().map(place, len, rights, "file")?;
    let filled = fill(context, &descriptor, start, len, offset);
    if let Err(error) = filled {
        context.memory().unmap(start, len)?;
        return Err(error);
    }
    Ok(start)
}

/// Whether there can be anything at that place: neither where null pointers lead nor beyond all addresses of a program.
fn check_place(at: u64, len: u64) -> Result<(), Errno> {
    const LOWEST: u64 = 0x1_0000;
    match at.checked_add(len) {
        _ if !at.is_multiple_of(PAGE) || len == 0 => Err(Errno::EINVAL),
        Some(end) if end > torov_abi::USER_END => Err(Errno::ENOMEM),
        None => Err(Errno::ENOMEM),
        Some(_) if at < LOWEST => Err(Errno::EPERM),
        Some(_) => Ok(()),
    }
}

/// Copies a piece of a file into a new area.
fn fill(
    context: &Context<'_>,
    descriptor: &crate::Descriptor,
    start: u64,
    len: u64,
    offset: u64,
) -> Result<(), Errno> {
    let end = host::status(descriptor.fd())?.len();
    let wanted = len.min(end.saturating_sub(offset));
    let mut done = 0;
    while done < wanted {
        let piece = (wanted - done).min(1 << 20);
        let spans = context.memory().loading_spans(start + done, piece)?;
        let at = i64::try_from(offset + done).map_err(|_| Errno::EOVERFLOW)?;
        match host::read_at(descriptor.fd(), &spans, at)? {
            0 => break,
            got => done += got,
        }
    }
    Ok(())
}

fn munmap(context: &Context<'_>, [at, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    context.memory().unmap(at, len).map(|()| 0)
}

fn mprotect(context: &Context<'_>, [at, len, prot, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    context.memory().protect(at, len, rights(prot)?).map(|()| 0)
}

fn madvise(context: &Context<'_>, [at, len, advice, ..]: [u64; 6]) -> Answer {
    const DONTNEED: u32 = 4;
    context.permit(Subject::Nothing)?;
    let len = page_up(len).ok_or(Errno::EINVAL)?;
    if !at.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    match low(advice) {
        DONTNEED => context.memory().clear(at, len).map(|()| 0),
        // All others are hints: sequential, huge pages, lazily free.
        0..=25 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// Nothing of a file is shared, so there is nothing to write.
fn msync(context: &Context<'_>, [at, len, flags, ..]: [u64; 6]) -> Answer {
    const ASYNC: u32 = 1;
    const INVALIDATE: u32 = 2;
    const SYNC: u32 = 4;
    context.permit(Subject::Nothing)?;
    let both = low(flags) & (ASYNC | SYNC) == ASYNC | SYNC;
    if both || low(flags) & !(ASYNC | INVALIDATE | SYNC) != 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_up(len).ok_or(Errno::ENOMEM)?;
    match at.is_multiple_of(PAGE) {
        false => Err(Errno::EINVAL),
        true if context.memory().covers(at, len) => Ok(0),
        true => Err(Errno::ENOMEM),
    }
}

fn mremap(context: &Context<'_>, [old, old_len, new_len, flags, to, _]: [u64; 6]) -> Answer {
    const MAYMOVE: i32 = 1;
    const FIXED: i32 = 2;
    context.permit(Subject::Nothing)?;
    let memory = context.memory();
    let lens = (page_up(old_len), page_up(new_len));
    let (Some(old_len), Some(new_len)) = lens else {
        return Err(Errno::EINVAL);
    };
    let place = match int(flags) {
        0 => None,
        MAYMOVE => Some(Place::Anywhere(0)),
        flags if flags == MAYMOVE | FIXED => Some(Place::Exactly(to)),
        _ => return Err(Errno::EINVAL),
    };
    if new_len == 0 || old_len == 0 || !old.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    if let Some(Place::Exactly(to)) = place {
        let overlaps = to < old.saturating_add(old_len) && old < to.saturating_add(new_len);
        if overlaps {
            return Err(Errno::EINVAL);
        }
    }
    memory.resize(old, old_len, new_len, place)
}

fn brk(context: &Context<'_>, [at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let now = context.memory().brk(0);
    // What could never be there is not promised.
    if at.saturating_sub(now) > context.memory().ram().len() {
        return Ok(now);
    }
    Ok(context.memory().brk(at))
}

/// Whether a word of the guest may be read and written, for calls that keep an address.
pub(crate) fn check_word(context: &Context<'_>, at: u64) -> Result<(), Errno> {
    context.memory().spans(at, 4, Access::Write).map(drop)
}
