//! Signals: what the program wants done with them, and those that it sends to itself.

use std::sync::PoisonError;

use torov_abi::word::int;
use torov_abi::{Errno, Signal};
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, word_at};
use crate::ending::Ending;
use crate::process::PID;

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "rt_sigaction" => rt_sigaction,
        "rt_sigprocmask" => rt_sigprocmask,
        "sigaltstack" => sigaltstack,
        "kill" => |context, [pid, signal, ..]| send(context, int(pid), signal),
        "tkill" => |context, [tid, signal, ..]| send(context, int(tid), signal),
        "tgkill" => |context, [pid, _, signal, ..]| send(context, int(pid), signal),
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
    let mut dispositions = context
        .process
        .dispositions
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let before = dispositions.get(signal);
    if let Some(action) = action {
        dispositions.set(signal, action)?;
    }
    drop(dispositions);
    if old != 0 {
        let bytes: Vec<u8> = before.iter().flat_map(|word| word.to_le_bytes()).collect();
        context.memory().write(old, &bytes)?;
    }
    Ok(0)
}

/// No signal comes from outside, so the mask only has to be remembered by the program: none is set here.
fn rt_sigprocmask(context: &Context<'_>, [_, new, old, len, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    if len != 8 {
        return Err(Errno::EINVAL);
    }
    if new != 0 {
        context.memory().read_u64(new)?;
    }
    if old != 0 {
        context.memory().write(old, &[0; 8])?;
    }
    Ok(0)
}

fn sigaltstack(context: &Context<'_>, [new, old, ..]: [u64; 6]) -> Answer {
    const SS_DISABLE: u32 = 2;
    context.permit(Subject::Nothing)?;
    if new != 0 {
        context.memory().read_array::<24>(new)?;
    }
    if old != 0 {
        let mut bytes = [0; 24];
        bytes[8..12].copy_from_slice(&SS_DISABLE.to_le_bytes());
        context.memory().write(old, &bytes)?;
    }
    Ok(0)
}

/// A signal to the program itself: there is no one else. Handlers do not run; deadly ones end the program.
fn send(context: &Context<'_>, to: i32, signal: u64) -> Answer {
    context.permit(Subject::Nothing)?;
    if to < PID && to != 0 {
        return Err(Errno::ESRCH);
    }
    if int(signal) == 0 {
        return Ok(0);
    }
    let signal = Signal::new(int(signal)).ok_or(Errno::EINVAL)?;
    let dispositions = context
        .process
        .dispositions
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let is_deadly = dispositions.is_deadly(signal);
    drop(dispositions);
    if is_deadly {
        context.process.end(&Ending::Signal(signal));
    }
    Ok(0)
}
