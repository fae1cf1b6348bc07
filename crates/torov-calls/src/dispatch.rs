//! Which handler answers which call.

use torov_abi::{Call, Errno};
use torov_policy::Subject;

use crate::Answer;
use crate::context::Context;
use crate::families::{
    change, epoll, files, identity, io, memory, poll, signals, sockets, sync, time, timers,
};
use crate::process::Process;

type Handler = fn(&Context<'_>, [u64; 6]) -> Answer;

/// The handler of a call, by its name. Calls that change the processor are in [`crate::thread`].
fn handler(name: &str) -> Option<Handler> {
    io::handler(name)
        .or_else(|| files::handler(name))
        .or_else(|| change::handler(name))
        .or_else(|| memory::handler(name))
        .or_else(|| time::handler(name))
        .or_else(|| timers::handler(name))
        .or_else(|| sync::handler(name))
        .or_else(|| poll::handler(name))
        .or_else(|| epoll::handler(name))
        .or_else(|| sockets::handler(name))
        .or_else(|| signals::handler(name))
        .or_else(|| identity::handler(name))
}

/// The handlers by number, found once.
#[derive(Debug)]
pub(crate) struct Table(Vec<Option<Handler>>);

impl Table {
    pub(crate) fn new() -> Self {
        let by_number = |number| torov_abi::name_of(number).and_then(handler);
        Self((0..512).map(by_number).collect())
    }
}

/// Whether the monitor has a handler for the call of that name.
#[must_use]
pub fn is_supported(name: &str) -> bool {
    handler(name).is_some() || crate::thread::OWN.contains(&name)
}

/// Whether the profile lets the program make `call` at all.
///
/// # Errors
/// What it gets instead.
pub(crate) fn admit(process: &Process, call: &Call) -> Result<u16, Errno> {
    if !process.policy.knows(call.number) {
        return Err(process.deny(call.number, Subject::Nothing));
    }
    u16::try_from(call.number).map_err(|_| Errno::ENOSYS)
}

/// Answers a call.
pub(crate) fn answer(table: &Table, context: &Context<'_>, call: &Call) -> Answer {
    let handler = table.0.get(usize::from(context.number)).copied().flatten();
    let Some(handler) = handler else {
        context.process.observer.unsupported(call.number);
        return Err(Errno::ENOSYS);
    };
    handler(context, call.args)
}
