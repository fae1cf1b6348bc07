//! Waiting for descriptors; pipes and counters.

use std::sync::Arc;
use std::time::Duration;

use torov_abi::Errno;
use torov_abi::word::{int, low};
use torov_host::{self as host, Polled};
use torov_policy::Subject;

use super::signals::with_mask;
use crate::Answer;
use crate::context::{Context, timespec, word_at};
use crate::descriptors::{Class, Descriptor, Event};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "poll" => |context, [at, count, timeout, ..]| {
            let millis = u64::try_from(int(timeout)).ok();
            poll(context, at, count, millis.map(Duration::from_millis))
        },
        "ppoll" => |context, [at, count, timeout, mask, len, _]| {
            let timeout = timeout_at(context, timeout)?;
            with_mask(context, Some((mask, len)), || {
                poll(context, at, count, timeout)
            })
        },
        "select" => select,
        "pselect6" => pselect,
        "pipe" => |context, [at, ..]| pipe(context, at, 0),
        "pipe2" => |context, [at, flags, ..]| pipe(context, at, int(flags)),
        "eventfd" => |context, [value, ..]| eventfd(context, value, 0),
        "eventfd2" => |context, [value, flags, ..]| eventfd(context, value, int(flags)),
        _ => return None,
    })
}

const POLLIN: i16 = 1;
const POLLPRI: i16 = 2;
const POLLOUT: i16 = 4;
const POLLERR: i16 = 8;
const POLLHUP: i16 = 16;
const POLLNVAL: i16 = 32;

fn timeout_at(context: &Context<'_>, at: u64) -> Result<Option<Duration>, Errno> {
    if at == 0 {
        return Ok(None);
    }
    timespec(&context.memory().read_array(at)?).map(Some)
}

/// What stands behind the numbers, and what is waited for. `None` for a number that stands for nothing.
type Wanted = Vec<(Option<Arc<Descriptor>>, i16)>;

/// Waits, and returns what has happened to each.
fn wait(wanted: &Wanted, timeout: Option<Duration>) -> Result<Vec<i16>, Errno> {
    let mut polled: Vec<Polled<'_>> = wanted
        .iter()
        .map(|(descriptor, events)| Polled {
            fd: descriptor.as_ref().map(|descriptor| descriptor.fd()),
            events: *events,
            found: 0,
        })
        .collect();
    host::poll(&mut polled, timeout)?;
    Ok(polled.iter().map(|entry| entry.found).collect())
}

fn poll(context: &Context<'_>, at: u64, count: u64, timeout: Option<Duration>) -> Answer {
    context.permit(Subject::Nothing)?;
    if count > context.process.descriptors.most() {
        return Err(Errno::EINVAL);
    }
    let place = |entry: u64| at.checked_add(8 * entry).ok_or(Errno::EFAULT);
    let mut wanted: Wanted = Vec::new();
    let mut bad = Vec::new();
    for entry in 0..count {
        let bytes: [u8; 8] = context.memory().read_array(place(entry)?)?;
        let [a, b, c, d, e, f, ..] = bytes;
        let number = i32::from_le_bytes([a, b, c, d]);
        let known = u64::try_from(number)
            .ok()
            .and_then(|number| context.process.descriptors.get(number).ok());
        bad.push(number >= 0 && known.is_none());
        wanted.push((known, i16::from_le_bytes([e, f])));
    }
    let timeout = if bad.contains(&true) {
        Some(Duration::ZERO)
    } else {
        timeout
    };
    let found = wait(&wanted, timeout)?;
    let mut ready = 0;
    for (entry, (found, bad)) in (0..).zip(found.into_iter().zip(bad)) {
        let found = if bad { POLLNVAL } else { found };
        ready += u64::from(found != 0);
        context
            .memory()
            .write(place(entry)? + 6, &found.to_le_bytes())?;
    }
    Ok(ready)
}

fn select(context: &Context<'_>, [count, read, write, except, timeout, _]: [u64; 6]) -> Answer {
    let timeout = if timeout == 0 {
        None
    } else {
        // A `struct timeval` counts microseconds.
        let mut bytes: [u8; 16] = context.memory().read_array(timeout)?;
        let micros = word_at(&bytes, 8);
        bytes[8..].copy_from_slice(&micros.saturating_mul(1000).to_le_bytes());
        Some(timespec(&bytes)?)
    };
    choose(context, count, [read, write, except], timeout)
}

/// The last argument points to the address of a mask and its length.
fn pselect(context: &Context<'_>, [count, read, write, except, timeout, mask]: [u64; 6]) -> Answer {
    let timeout = timeout_at(context, timeout)?;
    let mask = match mask {
        0 => None,
        at => {
            let pair: [u8; 16] = context.memory().read_array(at)?;
            Some((word_at(&pair, 0), word_at(&pair, 8)))
        }
    };
    with_mask(context, mask, || {
        choose(context, count, [read, write, except], timeout)
    })
}

/// `select` as `poll`: three sets of bits, one for each number.
fn choose(context: &Context<'_>, count: u64, sets: [u64; 3], timeout: Option<Duration>) -> Answer {
    const MEANING: [(i16, i16); 3] = [
        (POLLIN, POLLIN | POLLHUP | POLLERR),
        (POLLOUT, POLLOUT | POLLERR),
        (POLLPRI, POLLPRI),
    ];
    context.permit(Subject::Nothing)?;
    let count = u64::from(low(count));
    if count > 1024 {
        return Err(Errno::EINVAL);
    }
    let words = count.div_ceil(64);
    let read = |set: u64| -> Result<Vec<u64>, Errno> {
        let word = |at: u64| set.checked_add(8 * at).ok_or(Errno::EFAULT);
        let words = 0..if set == 0 { 0 } else { words };
        words
            .map(|at| context.memory().read_u64(word(at)?))
            .collect()
    };
    let masks = [read(sets[0])?, read(sets[1])?, read(sets[2])?];
    let is_set = |mask: &[u64], number: u64| {
        let word = mask.get(torov_abi::word::size(number / 64));
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    };
    let mut numbers = Vec::new();
    let mut wanted: Wanted = Vec::new();
    for number in 0..count {
        let events = MEANING
            .iter()
            .zip(&masks)
            .filter(|(_, mask)| is_set(mask, number));
        let events = events.fold(0, |all, ((event, _), _)| all | event);
        if events != 0 {
            wanted.push((Some(context.process.descriptors.get(number)?), events));
            numbers.push(number);
        }
    }
    let found = wait(&wanted, timeout)?;
    let mut ready = 0;
    for ((set, mask), (_, meaning)) in sets.iter().zip(&masks).zip(MEANING) {
        let mut result = vec![0_u64; mask.len()];
        for (number, found) in numbers.iter().zip(&found) {
            if found & meaning != 0 && is_set(mask, *number) {
                result[torov_abi::word::size(number / 64)] |= 1 << (number % 64);
                ready += 1;
            }
        }
        let bytes: Vec<u8> = result.iter().flat_map(|word| word.to_le_bytes()).collect();
        context.memory().write(*set, &bytes)?;
    }
    Ok(ready)
}

const O_CLOEXEC: i32 = 0o2_000_000;

fn pipe(context: &Context<'_>, at: u64, flags: i32) -> Answer {
    /// `O_NONBLOCK`, `O_DIRECT`.
    const KNOWN: i32 = O_CLOEXEC | 0o4000 | 0o40_000;
    context.permit(Subject::Nothing)?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    super::memory::check_word(context, at)?;
    let [read, write] = host::pipe(flags)?;
    let on_exec = flags & O_CLOEXEC != 0;
    let read = context.open(read, Class::Pipe, String::new(), on_exec)?;
    let opened = context.open(write, Class::Pipe, String::new(), on_exec);
    let told = opened.and_then(|write| tell(context, at, [read, write]).map(|()| write));
    if let Err(error) = told {
        context.process.descriptors.close(read)?;
        return Err(error);
    }
    Ok(0)
}

/// Writes two numbers as `int`s.
pub(crate) fn tell(context: &Context<'_>, at: u64, numbers: [u64; 2]) -> Result<(), Errno> {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&low(numbers[0]).to_le_bytes());
    bytes[4..].copy_from_slice(&low(numbers[1]).to_le_bytes());
    context.memory().write(at, &bytes)
}

fn eventfd(context: &Context<'_>, value: u64, flags: i32) -> Answer {
    const SEMAPHORE: i32 = 1;
    const KNOWN: i32 = O_CLOEXEC | 0o4000 | SEMAPHORE;
    context.permit(Subject::Nothing)?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = host::event_counter(low(value), flags)?;
    let takes_one = flags & SEMAPHORE != 0;
    context.open_event(fd, Event::Counter { takes_one }, flags & O_CLOEXEC != 0)
}
