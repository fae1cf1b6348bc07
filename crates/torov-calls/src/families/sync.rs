//! What threads wait for: futexes.

use torov_abi::Errno;
use torov_abi::word::{int, low};
use torov_host as host;
use torov_memory::Access;
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, timespec};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "futex" => futex,
        "sched_yield" => |context, _| {
            context.permit(Subject::Nothing)?;
            host::yield_now();
            Ok(0)
        },
        "membarrier" => membarrier,
        _ => return None,
    })
}

/// A barrier on every processor that runs a thread of the program.
fn membarrier(context: &Context<'_>, [command, flags, ..]: [u64; 6]) -> Answer {
    const QUERY: i32 = 0;
    const GLOBAL: i32 = 1;
    const PRIVATE_EXPEDITED: i32 = 8;
    const REGISTER: i32 = 16;
    const OFFERED: i32 = GLOBAL | PRIVATE_EXPEDITED | REGISTER;
    context.permit(Subject::Nothing)?;
    match int(command) {
        _ if low(flags) != 0 => Err(Errno::EINVAL),
        QUERY => Ok(host::memory_barrier(QUERY)? & u64::from(OFFERED.unsigned_abs())),
        command @ (GLOBAL | PRIVATE_EXPEDITED | REGISTER) => host::memory_barrier(command),
        _ => Err(Errno::EINVAL),
    }
}

/// Every bit: whoever waits or wakes without naming any.
const ALL: u32 = u32::MAX;

fn futex(context: &Context<'_>, [at, operation, value, fourth, other, last]: [u64; 6]) -> Answer {
    const PRIVATE: u32 = 128;
    const REAL_TIME: u32 = 256;
    const WAIT: u32 = 0;
    const WAKE: u32 = 1;
    const REQUEUE: u32 = 3;
    const CMP_REQUEUE: u32 = 4;
    const WAIT_BITSET: u32 = 9;
    const WAKE_BITSET: u32 = 10;
    context.permit(Subject::Nothing)?;
    let operation = low(operation);
    let real_time = operation & REAL_TIME != 0;
    if real_time && operation & !(PRIVATE | REAL_TIME) != WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    if !at.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let spans = context.memory().spans(at, 4, Access::Read)?;
    let word = spans.first().ok_or(Errno::EFAULT)?;
    match operation & !(PRIVATE | REAL_TIME) {
        kind @ (WAIT | WAIT_BITSET) => {
            let until = deadline(context, fourth, kind == WAIT)?;
            let bits = if kind == WAIT { ALL } else { low(last) };
            host::futex_wait(word, low(value), until, real_time, bits)
        }
        WAKE => host::futex_wake(word, int(value), ALL),
        WAKE_BITSET => host::futex_wake(word, int(value), low(last)),
        kind @ (REQUEUE | CMP_REQUEUE) => {
            let spans = context.memory().spans(other, 4, Access::Read)?;
            let to = spans.first().ok_or(Errno::EFAULT)?;
            let expected = (kind == CMP_REQUEUE).then_some(low(last));
            host::futex_requeue(word, to, int(value), low(fourth), expected)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// When a wait ends. Plain `FUTEX_WAIT` says how long, the others until when.
fn deadline(
    context: &Context<'_>,
    at: u64,
    relative: bool,
) -> Result<Option<std::time::Duration>, Errno> {
    if at == 0 {
        return Ok(None);
    }
    let time = timespec(&context.memory().read_array(at)?)?;
    if !relative {
        return Ok(Some(time));
    }
    let now = host::clock_get(1)?;
    Ok(Some(now.saturating_add(time)))
}
