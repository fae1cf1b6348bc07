//! Which handler answers which call.

use torov_abi::{Call, Errno};
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, Held};
use crate::families::{
    change, epoll, files, identity, io, memory, poll, signalfd, signals, sockets, sync, time,
    timers,
};
use crate::process::Process;

pub(crate) type Handler = fn(&Context<'_>, [u64; 6]) -> Answer;

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
        .or_else(|| signalfd::handler(name))
        .or_else(|| identity::handler(name))
}

/// Who answers a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answerer {
    /// The thread itself: it is one of [`crate::thread::OWN`], of that name.
    Thread(&'static str),
    /// A handler.
    Handler(Handler),
    /// Nobody.
    Nobody,
}

/// The calls that were made, with who answers them: names are compared once for each.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(u16, Answerer)>);

impl Table {
    /// Who answers call `number`.
    pub(crate) fn find(&mut self, number: u16) -> Answerer {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| *known == number) {
            return *known;
        }
        let name = torov_abi::name_of(number.into()).unwrap_or_default();
        let own = crate::thread::OWN.into_iter().find(|own| *own == name);
        let answerer = match (own, handler(name)) {
            (Some(own), _) => Answerer::Thread(own),
            (None, Some(handler)) => Answerer::Handler(handler),
            (None, None) => Answerer::Nobody,
        };
        self.0.push((number, answerer));
        answerer
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

/// Makes a call that is not the thread's own, with what is `held` for it, and tells who looks on.
pub(crate) fn make(
    process: &Process,
    tid: i32,
    table: &mut Table,
    call: &Call,
    held: Held,
) -> Answer {
    let start = process.observer.wants_calls().then(crate::thread::now);
    let made = admit(process, call).and_then(|number| {
        let context = Context {
            process,
            number,
            tid,
            held,
        };
        answer(table.find(number), &context, call)
    });
    if let Some(start) = start
        && made != Err(Errno::ERESTARTSYS)
    {
        let took = crate::thread::now().saturating_sub(start);
        let result = made.unwrap_or_else(Errno::to_register);
        process.observer.called(tid, call, result, took);
    }
    made
}

/// Answers a call that is not the thread's own.
pub(crate) fn answer(answerer: Answerer, context: &Context<'_>, call: &Call) -> Answer {
    match answerer {
        Answerer::Handler(handler) => handler(context, call.args),
        Answerer::Thread(_) | Answerer::Nobody => {
            context.process.observer.unsupported(call.number);
            Err(Errno::ENOSYS)
        }
    }
}
