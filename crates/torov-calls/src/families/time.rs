//! Clocks and sleep.

use std::time::Duration;

use torov_abi::Errno;
use torov_abi::word::int;
use torov_host as host;
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, timespec, to_timespec};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "clock_gettime" => clock_gettime,
        "clock_getres" => clock_getres,
        "gettimeofday" => gettimeofday,
        "time" => time,
        "nanosleep" => {
            |context, [wanted, left, ..]| sleep(context, (MONOTONIC, false), wanted, left)
        }
        "clock_nanosleep" => |context, [clock, flags, wanted, left, ..]| {
            sleep(context, (clock_id(clock)?, flags & 1 == 1), wanted, left)
        },
        "times" => times,
        "getrusage" => getrusage,
        _ => return None,
    })
}

const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;

/// The clocks that a program may read: none of another process.
fn clock_id(clock: u64) -> Result<i32, Errno> {
    let clock = int(clock);
    if (0..=11).contains(&clock) {
        Ok(clock)
    } else {
        Err(Errno::EINVAL)
    }
}

/// What a clock shows. `counter` is what came with the call, see [`Clock`](crate::Clock).
fn read(context: &Context<'_>, clock: i32, counter: u64) -> Result<Duration, Errno> {
    let own = context.process.clock.as_ref();
    let read = own.and_then(|own| own.read(context.memory(), clock, counter));
    read.unwrap_or_else(|| host::clock_get(clock))
}

fn clock_gettime(context: &Context<'_>, [clock, at, counter, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let time = read(context, clock_id(clock)?, counter)?;
    context.memory().write(at, &to_timespec(time))?;
    Ok(0)
}

fn clock_getres(context: &Context<'_>, [clock, at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let time = host::resolution(clock_id(clock)?)?;
    if at != 0 {
        context.memory().write(at, &to_timespec(time))?;
    }
    Ok(0)
}

/// A time as seconds and microseconds.
pub(crate) fn timeval(time: Duration) -> [u8; 16] {
    let mut bytes = to_timespec(time);
    bytes[8..].copy_from_slice(&u64::from(time.subsec_micros()).to_le_bytes());
    bytes
}

fn gettimeofday(context: &Context<'_>, [at, zone, counter, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    if at != 0 {
        let time = read(context, REALTIME, counter)?;
        context.memory().write(at, &timeval(time))?;
    }
    if zone != 0 {
        context.memory().write(zone, &[0; 8])?;
    }
    Ok(0)
}

fn time(context: &Context<'_>, [at, _, counter, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let seconds = read(context, REALTIME, counter)?.as_secs();
    if at != 0 {
        context.memory().write(at, &seconds.to_le_bytes())?;
    }
    Ok(seconds)
}

fn sleep(context: &Context<'_>, (clock, absolute): (i32, bool), wanted: u64, left: u64) -> Answer {
    context.permit(Subject::Nothing)?;
    let wanted = timespec(&context.memory().read_array(wanted)?)?;
    let before = host::clock_get(clock)?;
    let slept = host::sleep(clock, wanted, absolute);
    if slept == Err(Errno::EINTR) && left != 0 && !absolute {
        let passed = host::clock_get(clock)?.saturating_sub(before);
        let rest = wanted.saturating_sub(passed);
        context.memory().write(left, &to_timespec(rest))?;
    }
    slept
}

/// `times` counts in hundredths of a second.
fn times(context: &Context<'_>, [at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let ticks = |time: Duration| u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX);
    if at != 0 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&ticks(host::cpu_time()).to_le_bytes());
        context.memory().write(at, &bytes)?;
    }
    Ok(ticks(host::clock_get(MONOTONIC)?))
}

fn getrusage(context: &Context<'_>, [whose, at, ..]: [u64; 6]) -> Answer {
    const CHILDREN: i32 = -1;
    context.permit(Subject::Nothing)?;
    let mut bytes = [0; 144];
    match int(whose) {
        // There are none.
        CHILDREN => {}
        0 | 1 => {
            bytes[..16].copy_from_slice(&timeval(host::cpu_time()));
            let used = context.memory().used() / 1024;
            bytes[32..40].copy_from_slice(&used.to_le_bytes());
        }
        _ => return Err(Errno::EINVAL),
    }
    context.memory().write(at, &bytes)?;
    Ok(0)
}
