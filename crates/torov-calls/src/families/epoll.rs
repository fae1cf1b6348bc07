//! Sets of descriptors to wait for.
//!
//! The host's set holds the host's descriptors, and gives back the guest's own word for each. One that the guest closes
//! leaves the set when its last user lets it go, as on Linux.

use torov_abi::Errno;
use torov_abi::word::{int, wide};
use torov_host as host;
use torov_policy::Subject;

use super::signals::with_mask;
use crate::Answer;
use crate::context::Context;
use crate::descriptors::{Descriptor, Event, Interest};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "epoll_create" => |context, [size, ..]| match int(size) {
            ..=0 => Err(Errno::EINVAL),
            _ => create(context, 0),
        },
        "epoll_create1" => |context, [flags, ..]| create(context, flags),
        "epoll_ctl" => control,
        "epoll_wait" => wait,
        "epoll_pwait" => {
            |context, args| with_mask(context, Some((args[4], args[5])), || wait(context, args))
        }
        _ => return None,
    })
}

fn create(context: &Context<'_>, flags: u64) -> Answer {
    const CLOEXEC: u64 = 0o2_000_000;
    context.permit(Subject::Nothing)?;
    if flags & !CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = host::epoll_create()?;
    context.open_event(fd, Event::Set(Interest::default()), flags != 0)
}

fn set_of(context: &Context<'_>, number: u64) -> Result<std::sync::Arc<Descriptor>, Errno> {
    context.permit(Subject::Nothing)?;
    context.process.descriptors.get(number)
}

/// What a set waits for.
fn interest(set: &Descriptor) -> Result<&Interest, Errno> {
    match set.event() {
        Some(Event::Set(interest)) => Ok(interest),
        _ => Err(Errno::EINVAL),
    }
}

fn control(context: &Context<'_>, [set, operation, fd, at, ..]: [u64; 6]) -> Answer {
    const REMOVE: i32 = 2;
    let set = set_of(context, set)?;
    let descriptor = context.process.descriptors.get(fd)?;
    let event = if int(operation) == REMOVE {
        None
    } else {
        // Packed: 4 bytes of events, 8 of the guest's own.
        let events = context.memory().read_u32(at)?;
        let own = context
            .memory()
            .read_u64(at.checked_add(4).ok_or(Errno::EFAULT)?)?;
        Some((events, own))
    };
    interest(&set)?.set(&descriptor, event, || {
        host::epoll_control(set.fd(), int(operation), descriptor.fd(), event)
    })
}

fn wait(context: &Context<'_>, [set, at, most, timeout, ..]: [u64; 6]) -> Answer {
    let set = set_of(context, set)?;
    interest(&set)?;
    let most = usize::try_from(int(most))
        .ok()
        .filter(|most| *most > 0)
        .ok_or(Errno::EINVAL)?;
    let most = most.min(256);
    // Events that cannot be told would be lost: the room is looked at first.
    context
        .memory()
        .spans(at, wide(most) * 12, torov_memory::Access::Write)?;
    let events = host::epoll_wait(set.fd(), most, int(timeout))?;
    let mut bytes = Vec::with_capacity(events.len() * 12);
    for (events, own) in &events {
        bytes.extend(events.to_le_bytes());
        bytes.extend(own.to_le_bytes());
    }
    context.memory().write(at, &bytes)?;
    Ok(wide(events.len()))
}
