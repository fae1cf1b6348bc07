//! Signals that are read (signalfd(2)).

use std::sync::Arc;

use torov_abi::Errno;
use torov_abi::word::{int, size, wide};
use torov_host as host;
use torov_policy::Subject;

use super::signals::await_one;
use crate::Answer;
use crate::context::Context;
use crate::descriptors::{Bell, Descriptor, Event};
use crate::signals::{Info, NEVER_BLOCKED, SI_TIMER};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "signalfd" => |context, [fd, mask, len, ..]| signalfd(context, [fd, mask, len, 0, 0, 0]),
        "signalfd4" => signalfd,
        _ => return None,
    })
}

const NONBLOCK: i32 = 0o4000;

fn signalfd(context: &Context<'_>, [fd, mask, len, flags, ..]: [u64; 6]) -> Answer {
    const CLOEXEC: i32 = 0o2_000_000;
    context.permit(Subject::Nothing)?;
    if int(flags) & !(CLOEXEC | NONBLOCK) != 0 || len != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = context.memory().read_u64(mask)? & !NEVER_BLOCKED;
    let process = context.process;
    if int(fd) != -1 {
        let descriptor = process.descriptors.get(fd)?;
        let Some(Event::Signals(bell)) = descriptor.event() else {
            return Err(Errno::EINVAL);
        };
        bell.set_mask(mask);
        process.signals.show_by(&descriptor);
        return Ok(fd);
    }
    let fd = host::event_counter(0, int(flags) & NONBLOCK)?;
    let descriptor = Arc::new(Descriptor::event_of(fd, Event::Signals(Bell::new(mask))));
    let on_exec = int(flags) & CLOEXEC != 0;
    let number = process
        .descriptors
        .add(Arc::clone(&descriptor), 0, on_exec)?;
    process.signals.show_by(&descriptor);
    Ok(number)
}

/// The length of a `struct signalfd_siginfo`.
const RECORD: u64 = 128;

/// `read` of a descriptor whose bell is `bell`: as many signals as there are and as there is room for, one at least.
pub(crate) fn read(
    context: &Context<'_>,
    descriptor: &Descriptor,
    bell: &Bell,
    (at, len): (u64, u64),
) -> Answer {
    const F_GETFL: i32 = 3;
    if len < RECORD {
        return Err(Errno::EINVAL);
    }
    // What cannot be told would be lost: the room is looked at first.
    let room = (len / RECORD).min(64);
    let access = torov_memory::Access::Write;
    context.memory().spans(at, room * RECORD, access)?;
    let signals = &context.process.signals;
    let mut records = Vec::new();
    while wide(records.len()) < room * RECORD {
        let Some(info) = signals.accept(context.tid, bell.mask()) else {
            break;
        };
        records.extend(record(&info));
    }
    if records.is_empty() {
        let flags = int(host::control(descriptor.fd(), F_GETFL, 0)?);
        if flags & NONBLOCK != 0 {
            return Err(Errno::EAGAIN);
        }
        signals.wait_for(context.tid, bell.mask());
        let info = await_one(context, bell.mask(), None);
        signals.wait_for(context.tid, 0);
        records.extend(record(&info?));
    }
    context.memory().write(at, &records)?;
    Ok(wide(records.len()))
}

/// `struct signalfd_siginfo`.
fn record(info: &Info) -> [u8; size(RECORD)] {
    let mut bytes = [0; size(RECORD)];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let [sender, value] = info.words.map(u64::to_le_bytes);
    put(0, &u32::from(info.signal.number()).to_le_bytes());
    put(8, &info.code.to_le_bytes());
    if info.code == SI_TIMER {
        put(24, &sender[..4]);
        put(32, &sender[4..]);
    } else {
        put(12, &sender);
    }
    put(44, &value[..4]);
    put(48, &value);
    bytes
}
