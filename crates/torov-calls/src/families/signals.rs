//! Signals: what the program wants done with them, those that it sends to itself, and waiting for them.

use std::time::Duration;

use torov_abi::word::int;
use torov_abi::{Errno, Signal};
use torov_host as host;
use torov_policy::Subject;

use super::identity::sender;
use crate::Answer;
use crate::context::{Context, timespec, word_at};
use crate::process::PID;
use crate::signals::{Info, SI_TKILL, SI_USER, To};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "rt_sigaction" => rt_sigaction,
        "rt_sigprocmask" => rt_sigprocmask,
        "rt_sigpending" => rt_sigpending,
        "rt_sigsuspend" => rt_sigsuspend,
        "rt_sigtimedwait" => rt_sigtimedwait,
        "pause" => |context, _| {
            context.permit(Subject::Nothing)?;
            wait()
        },
        "kill" => |context, [pid, signal, ..]| send(context, process(pid)?, signal, SI_USER),
        "tkill" => |context, [tid, signal, ..]| send(context, thread(tid)?, signal, SI_TKILL),
        "tgkill" => |context, [pid, tid, signal, ..]| {
            own(pid)?;
            send(context, thread(tid)?, signal, SI_TKILL)
        },
        "rt_sigqueueinfo" => {
            |context, [pid, signal, at, ..]| queue(context, process(pid)?, signal, at)
        }
        "rt_tgsigqueueinfo" => |context, [pid, tid, signal, at, ..]| {
            own(pid)?;
            queue(context, thread(tid)?, signal, at)
        },
        _ => return None,
    })
}

fn rt_sigaction(context: &Context<'_>, [signal, new, old, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let signal = Signal::new(int(signal))
        .filter(|_| len == 8)
        .ok_or(Errno::EINVAL)?;
    let action = if new == 0 {
        None
    } else {
        let bytes: [u8; 32] = context.memory().read_array(new)?;
        Some([0, 8, 16, 24].map(|at| word_at(&bytes, at)))
    };
    let signals = &context.process.signals;
    let before = signals.action(signal);
    if let Some(action) = action {
        signals.set_action(signal, action)?;
    }
    if old != 0 {
        let bytes: Vec<u8> = before.iter().flat_map(|word| word.to_le_bytes()).collect();
        context.memory().write(old, &bytes)?;
    }
    Ok(0)
}

fn rt_sigprocmask(context: &Context<'_>, [how, new, old, len, ..]: [u64; 6]) -> Answer {
    const BLOCK: i32 = 0;
    const UNBLOCK: i32 = 1;
    const SET: i32 = 2;
    context.permit(Subject::Nothing)?;
    if len != 8 {
        return Err(Errno::EINVAL);
    }
    let signals = &context.process.signals;
    let before = signals.mask(context.tid);
    if new != 0 {
        let mask = context.memory().read_u64(new)?;
        let change: fn(u64, u64) -> u64 = match int(how) {
            BLOCK => |old, mask| old | mask,
            UNBLOCK => |old, mask| old & !mask,
            SET => |_, mask| mask,
            _ => return Err(Errno::EINVAL),
        };
        signals.set_mask(context.tid, |old| change(old, mask));
    }
    if old != 0 {
        context.memory().write(old, &before.to_le_bytes())?;
    }
    Ok(0)
}

fn rt_sigpending(context: &Context<'_>, [at, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    if len > 8 {
        return Err(Errno::EINVAL);
    }
    let waiting = context.process.signals.waiting(context.tid).to_le_bytes();
    context
        .memory()
        .write(at, &waiting[..torov_abi::word::size(len)])?;
    Ok(0)
}

/// Waits for a signal, and nothing else.
fn wait() -> Answer {
    match host::poll(&mut [], None) {
        Ok(_) => Err(Errno::EINTR),
        interrupted => interrupted,
    }
}

fn rt_sigsuspend(context: &Context<'_>, [at, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    with_mask(context, Some((at, len)), wait)
}

/// Makes a call with the mask at an address, if there is one, as `ppoll` and its like do. A handler that ends the call
/// runs with that mask, and goes back to the thread's own.
pub(crate) fn with_mask(
    context: &Context<'_>,
    mask: Option<(u64, u64)>,
    call: impl FnOnce() -> Answer,
) -> Answer {
    let Some((at, len)) = mask.filter(|(at, _)| *at != 0) else {
        return call();
    };
    if len != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = context.memory().read_u64(at)?;
    let signals = &context.process.signals;
    signals.lend_mask(context.tid, mask);
    // What the mask lets through ends the call, be it made or not.
    let answer = match call() {
        Err(Errno::ERESTARTSYS) => Err(Errno::EINTR),
        answer => answer,
    };
    if answer != Err(Errno::EINTR) {
        signals.return_mask(context.tid);
    }
    answer
}

fn rt_sigtimedwait(context: &Context<'_>, [set, at, timeout, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    if len != 8 {
        return Err(Errno::EINVAL);
    }
    let wanted = context.memory().read_u64(set)?;
    let until = match timeout {
        0 => None,
        timeout => {
            let time = timespec(&context.memory().read_array(timeout)?)?;
            Some(crate::thread::now().saturating_add(time))
        }
    };
    let signals = &context.process.signals;
    signals.wait_for(context.tid, wanted);
    let info = await_one(context, wanted, until);
    signals.wait_for(context.tid, 0);
    let info = info?;
    if at != 0 {
        context.memory().write(at, &info.bytes())?;
    }
    Ok(info.signal.number().into())
}

pub(crate) fn await_one(
    context: &Context<'_>,
    wanted: u64,
    until: Option<Duration>,
) -> Result<Info, Errno> {
    let process = context.process;
    loop {
        // What is raised from here on is seen by the wait below.
        torov_interrupt::lower();
        process.hear();
        if let Some(info) = process.signals.accept(context.tid, wanted) {
            return Ok(info);
        }
        if process.signals.is_due(context.tid) || process.wants(context.tid) {
            torov_interrupt::raise();
            return Err(Errno::EINTR);
        }
        let left = until.map(|until| until.saturating_sub(crate::thread::now()));
        if left == Some(Duration::ZERO) {
            return Err(Errno::EAGAIN);
        }
        // Interrupted or not: the loop looks.
        let _ = host::poll(&mut [], left);
    }
}

/// The program, by a number that means it: its own, its group's, or all that it may send to.
fn process(pid: u64) -> Result<To, Errno> {
    match int(pid) {
        PID | 0 | -1 => Ok(To::Process),
        pid if pid == -PID => Ok(To::Process),
        _ => Err(Errno::ESRCH),
    }
}

/// The same by its own number alone.
fn own(pid: u64) -> Result<(), Errno> {
    match int(pid) {
        PID => Ok(()),
        ..=0 => Err(Errno::EINVAL),
        _ => Err(Errno::ESRCH),
    }
}

fn thread(tid: u64) -> Result<To, Errno> {
    match int(tid) {
        ..=0 => Err(Errno::EINVAL),
        tid => Ok(To::Thread(tid)),
    }
}

/// A signal to the program itself: there is no one else.
fn send(context: &Context<'_>, to: To, signal: u64, code: i32) -> Answer {
    post(context, to, signal, (code, [sender(), 0]))
}

/// The same with what the program says of it. It cannot pretend to be the kernel.
fn queue(context: &Context<'_>, to: To, signal: u64, at: u64) -> Answer {
    let bytes: [u8; 32] = context.memory().read_array(at)?;
    let code = int(word_at(&bytes, 8));
    if code >= 0 || code == SI_TKILL {
        return Err(Errno::EPERM);
    }
    post(
        context,
        to,
        signal,
        (code, [word_at(&bytes, 16), word_at(&bytes, 24)]),
    )
}

fn post(context: &Context<'_>, to: To, signal: u64, (code, words): (i32, [u64; 2])) -> Answer {
    context.permit(Subject::Nothing)?;
    let signals = &context.process.signals;
    if let To::Thread(tid) = to
        && !signals.has(tid)
    {
        return Err(Errno::ESRCH);
    }
    if int(signal) == 0 {
        return Ok(0);
    }
    let signal = Signal::new(int(signal)).ok_or(Errno::EINVAL)?;
    let info = Info {
        signal,
        code,
        words,
    };
    signals.send(to, info).map(|()| 0)
}
