//! Timers: those that send signals, and those that are read.

use std::time::Duration;

use torov_abi::word::int;
use torov_abi::{Errno, Signal};
use torov_host as host;
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, timespec, to_timespec, word_at};
use crate::descriptors::Event;
use crate::signals::alarms::{PROF, REAL, Setting, VIRTUAL};
use crate::signals::{Info, SI_TIMER, To};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "alarm" => alarm,
        "setitimer" => setitimer,
        "getitimer" => getitimer,
        "timer_create" => timer_create,
        "timer_settime" => timer_settime,
        "timer_gettime" => timer_gettime,
        "timer_getoverrun" => |context, [number, ..]| {
            context.permit(Subject::Nothing)?;
            context.process.alarms.overrun(timer(number)?)
        },
        "timer_delete" => |context, [number, ..]| {
            context.permit(Subject::Nothing)?;
            context.process.alarms.delete(timer(number)?).map(|()| 0)
        },
        "timerfd_create" => timerfd_create,
        "timerfd_settime" => timerfd_settime,
        "timerfd_gettime" => timerfd_gettime,
        _ => return None,
    })
}

fn timerfd_create(context: &Context<'_>, [clock, flags, ..]: [u64; 6]) -> Answer {
    const CLOEXEC: i32 = 0o2_000_000;
    const NONBLOCK: i32 = 0o4000;
    context.permit(Subject::Nothing)?;
    if !CLOCKS.contains(&int(clock)) || int(flags) & !(CLOEXEC | NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = host::timer(int(clock), int(flags))?;
    let on_exec = int(flags) & CLOEXEC != 0;
    context.open_event(fd, Event::Timer { clock: int(clock) }, on_exec)
}

fn timerfd_settime(context: &Context<'_>, [fd, flags, new, old, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let descriptor = context.process.descriptors.get(fd)?;
    let new: [u8; 32] = context.memory().read_array(new)?;
    let before = host::set_timer(descriptor.fd(), int(flags), new)?;
    if old != 0 {
        context.memory().write(old, &before)?;
    }
    Ok(0)
}

fn timerfd_gettime(context: &Context<'_>, [fd, at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let descriptor = context.process.descriptors.get(fd)?;
    let setting = host::timer_setting(descriptor.fd())?;
    context.memory().write(at, &setting)?;
    Ok(0)
}

/// Real time, monotonic, and the one that counts sleep as well.
pub(crate) const CLOCKS: [i32; 3] = [0, 1, 7];

/// The number of a timer that a program has made.
fn timer(number: u64) -> Result<i32, Errno> {
    let number = int(number);
    (number >= 0).then_some(number).ok_or(Errno::EINVAL)
}

fn alarm(context: &Context<'_>, [seconds, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let new = Setting {
        value: Duration::from_secs(torov_abi::word::low(seconds).into()),
        interval: Duration::ZERO,
    };
    let left = context.process.alarms.set(REAL, new, false)?.value;
    // What is left counts as a second more rather than none.
    Ok(left.as_millis().div_ceil(1000).try_into().unwrap_or(0))
}

/// `struct itimerval`: an interval and a value in seconds and microseconds.
fn micros(bytes: &[u8; 32]) -> Result<Setting, Errno> {
    let time = |at: usize| {
        let (seconds, micros) = (word_at(bytes, at), word_at(bytes, at + 8));
        if seconds.cast_signed() < 0 || micros >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
    };
    Ok(Setting {
        interval: time(0)?,
        value: time(16)?,
    })
}

fn tell_micros(context: &Context<'_>, at: u64, setting: Setting) -> Result<(), Errno> {
    let times = [setting.interval, setting.value].map(super::time::timeval);
    context.memory().write(at, times.as_flattened())
}

/// The timer that `setitimer` calls `which`.
fn timer_of(which: u64) -> Result<i32, Errno> {
    match int(which) {
        0 => Ok(REAL),
        1 => Ok(VIRTUAL),
        2 => Ok(PROF),
        _ => Err(Errno::EINVAL),
    }
}

fn setitimer(context: &Context<'_>, [which, new, old, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let timer = timer_of(which)?;
    let new = match new {
        0 => Setting::default(),
        at => micros(&context.memory().read_array(at)?)?,
    };
    let before = context.process.alarms.set(timer, new, false)?;
    if old != 0 {
        tell_micros(context, old, before)?;
    }
    Ok(0)
}

fn getitimer(context: &Context<'_>, [which, at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let setting = context.process.alarms.get(timer_of(which)?)?;
    tell_micros(context, at, setting)?;
    Ok(0)
}

/// `struct itimerspec`: an interval and a value in seconds and nanoseconds.
fn nanos(context: &Context<'_>, at: u64) -> Result<Setting, Errno> {
    let bytes: [u8; 32] = context.memory().read_array(at)?;
    let time = |at: usize| {
        let mut half = [0; 16];
        half.copy_from_slice(&bytes[at..at + 16]);
        timespec(&half)
    };
    Ok(Setting {
        interval: time(0)?,
        value: time(16)?,
    })
}

fn tell_nanos(context: &Context<'_>, at: u64, setting: Setting) -> Result<(), Errno> {
    let times = [setting.interval, setting.value].map(to_timespec);
    context.memory().write(at, times.as_flattened())
}

fn timer_create(context: &Context<'_>, [clock, event, at, ..]: [u64; 6]) -> Answer {
    const SIGNAL: i32 = 0;
    const NONE: i32 = 1;
    const THREAD_ID: i32 = 4;
    const SIGALRM: i32 = 14;
    context.permit(Subject::Nothing)?;
    super::memory::check_word(context, at)?;
    if !CLOCKS.contains(&int(clock)) {
        return Err(Errno::EINVAL);
    }
    let (value, signal, kind, tid) = match event {
        0 => (None, SIGALRM, SIGNAL, 0),
        event => {
            let bytes: [u8; 24] = context.memory().read_array(event)?;
            let half = |at| int(word_at(&bytes, at));
            let kind = int(word_at(&bytes, 8) >> 32);
            (Some(word_at(&bytes, 0)), half(8), kind, half(16))
        }
    };
    let to = match kind {
        NONE => None,
        SIGNAL => Some(To::Process),
        THREAD_ID if context.process.signals.has(tid) => Some(To::Thread(tid)),
        _ => return Err(Errno::EINVAL),
    };
    let signal = match to {
        None => None,
        Some(_) => Some(Signal::new(signal).ok_or(Errno::EINVAL)?),
    };
    let notifies = |number: i32| {
        let own = u64::from(number.unsigned_abs());
        let info = Info {
            signal: signal?,
            code: SI_TIMER,
            words: [own, value.unwrap_or(own)],
        };
        Some((to?, info))
    };
    let number = context.process.alarms.create(int(clock), notifies)?;
    context.memory().write(at, &number.to_le_bytes())?;
    Ok(0)
}

fn timer_settime(context: &Context<'_>, [number, flags, new, old, ..]: [u64; 6]) -> Answer {
    const ABSTIME: i32 = 1;
    context.permit(Subject::Nothing)?;
    let new = nanos(context, new)?;
    let absolute = int(flags) & ABSTIME != 0;
    let alarms = &context.process.alarms;
    let before = alarms.set(timer(number)?, new, absolute)?;
    if old != 0 {
        tell_nanos(context, old, before)?;
    }
    Ok(0)
}

fn timer_gettime(context: &Context<'_>, [number, at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let setting = context.process.alarms.get(timer(number)?)?;
    tell_nanos(context, at, setting)?;
    Ok(0)
}
