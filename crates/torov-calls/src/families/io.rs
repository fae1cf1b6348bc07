//! Bytes to and from descriptors.

use std::sync::Arc;

use torov_abi::Errno;
use torov_abi::word::{int, low, size};
use torov_host as host;
use torov_memory::Access;
use torov_policy::Subject;

use super::signalfd;
use crate::Answer;
use crate::context::Context;
use crate::descriptors::{Class, Descriptor, Event};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "read" => read,
        "write" => write,
        "readv" => readv,
        "writev" => writev,
        "pread64" => pread,
        "pwrite64" => pwrite,
        "preadv" => preadv,
        "pwritev" => pwritev,
        "sendfile" => sendfile,
        "lseek" => lseek,
        "close" => close,
        "dup" => dup,
        "dup2" => dup2,
        "dup3" => dup3,
        "fcntl" => fcntl,
        "ioctl" => ioctl,
        _ => return None,
    })
}

fn read(context: &Context<'_>, [fd, at, len, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    if let Some(Event::Signals(bell)) = descriptor.event() {
        return signalfd::read(context, &descriptor, bell, (at, len));
    }
    let spans = context.buffer(at, len, Access::Write)?;
    host::read(descriptor.fd(), &spans)
}

/// What stands behind `fd`, to be read or written as bytes. The counter behind signals is the monitor's.
fn bytes_of(context: &Context<'_>, fd: u64) -> Result<Arc<Descriptor>, Errno> {
    let descriptor = context.descriptor(fd)?;
    match descriptor.event() {
        Some(Event::Signals(_)) => Err(Errno::EINVAL),
        _ => Ok(descriptor),
    }
}

fn write(context: &Context<'_>, [fd, at, len, ..]: [u64; 6]) -> Answer {
    let descriptor = bytes_of(context, fd)?;
    let spans = context.buffer(at, len, Access::Read)?;
    let written = context.output(&spans, || host::write(descriptor.fd(), &spans));
    context.broken_pipe(written)
}

fn readv(context: &Context<'_>, [fd, at, count, ..]: [u64; 6]) -> Answer {
    let descriptor = bytes_of(context, fd)?;
    let spans = context.buffers(at, count, Access::Write)?;
    host::read(descriptor.fd(), &spans)
}

fn writev(context: &Context<'_>, [fd, at, count, ..]: [u64; 6]) -> Answer {
    let descriptor = bytes_of(context, fd)?;
    let spans = context.buffers(at, count, Access::Read)?;
    let written = context.output(&spans, || host::write(descriptor.fd(), &spans));
    context.broken_pipe(written)
}

fn pread(context: &Context<'_>, [fd, at, len, offset, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    let spans = context.buffer(at, len, Access::Write)?;
    host::read_at(descriptor.fd(), &spans, offset.cast_signed())
}

fn pwrite(context: &Context<'_>, [fd, at, len, offset, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    let spans = context.buffer(at, len, Access::Read)?;
    context.output(&spans, || {
        host::write_at(descriptor.fd(), &spans, offset.cast_signed())
    })
}

fn preadv(context: &Context<'_>, [fd, at, count, offset, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    let spans = context.buffers(at, count, Access::Write)?;
    host::read_at(descriptor.fd(), &spans, offset.cast_signed())
}

fn pwritev(context: &Context<'_>, [fd, at, count, offset, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    let spans = context.buffers(at, count, Access::Read)?;
    context.output(&spans, || {
        host::write_at(descriptor.fd(), &spans, offset.cast_signed())
    })
}

fn sendfile(context: &Context<'_>, [to, from, at, len, ..]: [u64; 6]) -> Answer {
    const MOST: u64 = 1 << 20;
    let (to, from) = (bytes_of(context, to)?, bytes_of(context, from)?);
    let mut offset = match at {
        0 => None,
        at => Some(context.memory().read_u64(at)?.cast_signed()),
    };
    let sent = host::send_file(to.fd(), from.fd(), offset.as_mut(), len.min(MOST));
    let sent = context.broken_pipe(sent)?;
    context.process.count_output(sent)?;
    if let Some(offset) = offset {
        context.memory().write(at, &offset.to_le_bytes())?;
    }
    Ok(sent)
}

fn lseek(context: &Context<'_>, [fd, offset, whence, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    host::seek(descriptor.fd(), offset.cast_signed(), int(whence))
}

fn close(context: &Context<'_>, [fd, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    context.process.descriptors.close(fd).map(|()| 0)
}

fn dup(context: &Context<'_>, [fd, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    context.process.descriptors.add(descriptor, 0, false)
}

fn dup2(context: &Context<'_>, [fd, to, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    if low(fd) == low(to) {
        return Ok(to);
    }
    context.process.descriptors.put(to, descriptor, false)
}

const O_CLOEXEC: u64 = 0o2_000_000;

fn dup3(context: &Context<'_>, [fd, to, flags, ..]: [u64; 6]) -> Answer {
    let descriptor = context.descriptor(fd)?;
    if low(fd) == low(to) || flags & !O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let on_exec = flags & O_CLOEXEC != 0;
    context.process.descriptors.put(to, descriptor, on_exec)
}

/// What a program may change of the flags of what it has open: append, do not wait.
const CHANGEABLE: i32 = 0o2000 | 0o4000;

fn fcntl(context: &Context<'_>, [fd, command, argument, ..]: [u64; 6]) -> Answer {
    const F_DUPFD: u32 = 0;
    const F_GETFD: u32 = 1;
    const F_SETFD: u32 = 2;
    const F_GETFL: u32 = 3;
    const F_SETFL: u32 = 4;
    const F_DUPFD_CLOEXEC: u32 = 1030;
    let descriptor = context.descriptor(fd)?;
    let table = &context.process.descriptors;
    match low(command) {
        command @ (F_DUPFD | F_DUPFD_CLOEXEC) => {
            if argument >= table.most() {
                return Err(Errno::EINVAL);
            }
            table.add(descriptor, size(argument), command == F_DUPFD_CLOEXEC)
        }
        F_GETFD => table.on_exec(fd, None).map(u64::from),
        F_SETFD => table.on_exec(fd, Some(argument & 1 == 1)).map(|_| 0),
        F_GETFL => host::control(descriptor.fd(), 3, 0),
        F_SETFL => host::control(descriptor.fd(), 4, int(argument) & CHANGEABLE),
        _ => Err(Errno::EINVAL),
    }
}

fn ioctl(context: &Context<'_>, [fd, request, at, ..]: [u64; 6]) -> Answer {
    const TCGETS: u32 = 0x5401;
    const TIOCGWINSZ: u32 = 0x5413;
    const FIONREAD: u32 = 0x541b;
    const FIONBIO: u32 = 0x5421;
    let descriptor = context.process.descriptors.get(fd)?;
    let class = descriptor.class();
    context.permit(Subject::Request(low(request), class.name()))?;
    let memory = context.memory();
    match low(request) {
        TCGETS if class == Class::Stdio => {
            memory.write(at, &host::terminal_settings(descriptor.fd())?)?
        }
        TIOCGWINSZ if class == Class::Stdio => {
            memory.write(at, &host::window_size(descriptor.fd())?)?
        }
        FIONREAD => memory.write(at, &host::readable_bytes(descriptor.fd())?)?,
        FIONBIO => {
            let flags = int(host::control(descriptor.fd(), 3, 0)?);
            let wanted = if memory.read_u32(at)? == 0 { 0 } else { 0o4000 };
            host::control(descriptor.fd(), 4, flags & !0o4000 | wanted)?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}
