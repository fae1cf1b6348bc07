//! Who the program is and what it runs on: little of it is true of the host.

use torov_abi::Errno;
use torov_abi::word::{int, low, size, wide};
use torov_host as host;
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, word_at};
use crate::process::PID;

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "getpid" | "getpgrp" => |context, _| says(context, i64::from(PID).cast_unsigned()),
        "gettid" => |context, _| says(context, i64::from(context.tid).cast_unsigned()),
        "getppid" => |context, _| says(context, 1),
        "getuid" | "geteuid" | "getgid" | "getegid" => |context, _| says(context, USER),
        "getpgid" | "getsid" => |context, [pid, ..]| {
            context.permit(Subject::Nothing)?;
            match int(pid) {
                0 | PID => says(context, i64::from(PID).cast_unsigned()),
                _ => Err(Errno::ESRCH),
            }
        },
        "setuid" | "setgid" => |context, [id, ..]| {
            context.permit(Subject::Nothing)?;
            if u64::from(low(id)) == USER {
                Ok(0)
            } else {
                Err(Errno::EPERM)
            }
        },
        "getgroups" => |context, [room, ..]| match int(room) {
            ..0 => Err(Errno::EINVAL),
            _ => says(context, 0),
        },
        "umask" => |context, [mask, ..]| {
            context.permit(Subject::Nothing)?;
            Ok(context.process.set_mask(low(mask)).into())
        },
        "uname" => uname,
        "sysinfo" => sysinfo,
        "getrandom" => getrandom,
        "prlimit64" => prlimit,
        "getrlimit" => |context, [resource, at, ..]| prlimit(context, [0, resource, 0, at, 0, 0]),
        "sched_getaffinity" => sched_getaffinity,
        "sched_setaffinity" => sched_setaffinity,
        "getcpu" => getcpu,
        "prctl" => prctl,
        // Registers a place that the kernel would keep up to date at each switch; libraries do without.
        "rseq" => |context, _| {
            context.permit(Subject::Nothing)?;
            Err(Errno::ENOSYS)
        },
        _ => return None,
    })
}

/// The only user that there is.
pub(crate) const USER: u64 = 1000;

/// Who sends signals: the program itself, as `siginfo_t` has it.
pub(crate) fn sender() -> u64 {
    USER << 32 | u64::from(PID.unsigned_abs())
}

fn says(context: &Context<'_>, value: u64) -> Answer {
    context.permit(Subject::Nothing)?;
    Ok(value)
}

fn uname(context: &Context<'_>, [at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let mut bytes = [0; 6 * 65];
    let fields = [
        "Linux",
        "torov",
        "6.6.0-torov",
        "#1 ToroV",
        "x86_64",
        "(none)",
    ];
    for (place, text) in bytes.chunks_mut(65).zip(fields) {
        place[..text.len()].copy_from_slice(text.as_bytes());
    }
    context.memory().write(at, &bytes)?;
    Ok(0)
}

fn sysinfo(context: &Context<'_>, [at, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    let mut bytes = [0; 112];
    let total = context.memory().ram().len();
    let used = context.memory().used();
    let mut put = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(0, host::clock_get(1)?.as_secs());
    put(32, total);
    put(40, total.saturating_sub(used));
    bytes[80] = 1;
    bytes[104] = 1;
    context.memory().write(at, &bytes)?;
    Ok(0)
}

fn getrandom(context: &Context<'_>, [at, len, flags, ..]: [u64; 6]) -> Answer {
    const KNOWN: u32 = 7;
    const RANDOM_AND_INSECURE: u32 = 6;
    context.permit(Subject::Nothing)?;
    let flags = low(flags);
    if flags & !KNOWN != 0 || flags & RANDOM_AND_INSECURE == RANDOM_AND_INSECURE {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; size(len.min(1 << 16))];
    host::random(&mut bytes)?;
    context.memory().write(at, &bytes)?;
    Ok(wide(bytes.len()))
}

/// How large the stack is.
pub(crate) const STACK: u64 = 8 << 20;

fn prlimit(context: &Context<'_>, [pid, resource, new, old, ..]: [u64; 6]) -> Answer {
    const RLIMIT_STACK: u32 = 3;
    const RLIMIT_NPROC: u32 = 6;
    const RLIMIT_NOFILE: u32 = 7;
    context.permit(Subject::Nothing)?;
    if int(pid) != 0 && int(pid) != PID {
        return Err(Errno::ESRCH);
    }
    let limit = match low(resource) {
        RLIMIT_STACK => STACK,
        RLIMIT_NPROC => context.process.limits.threads.into(),
        RLIMIT_NOFILE => context.process.descriptors.most(),
        0..=15 => u64::MAX,
        _ => return Err(Errno::EINVAL),
    };
    if old != 0 {
        let both = [limit.to_le_bytes(), limit.to_le_bytes()].concat();
        context.memory().write(old, &both)?;
    }
    if new != 0 {
        let both: [u8; 16] = context.memory().read_array(new)?;
        let [now, most] = [0, 8].map(|at| word_at(&both, at));
        if now > most {
            return Err(Errno::EINVAL);
        }
        // The profile sets limits, not the program.
        if now > limit {
            return Err(Errno::EPERM);
        }
    }
    Ok(0)
}

/// Whether there is a thread of that number; 0 is the one that asks.
fn check_thread(context: &Context<'_>, tid: u64) -> Result<(), Errno> {
    context.permit(Subject::Nothing)?;
    match int(tid) {
        0 => Ok(()),
        tid if context.process.signals.has(tid) => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// Where threads run is the host's affair, as long as there is such a processor.
fn sched_setaffinity(context: &Context<'_>, [tid, len, at, ..]: [u64; 6]) -> Answer {
    check_thread(context, tid)?;
    let mut set = [0; 8];
    let len = size(len.min(8));
    context.memory().read(at, &mut set[..len])?;
    let there = (1_u64 << host::processors().min(63)) - 1;
    if u64::from_le_bytes(set) & there == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

fn sched_getaffinity(context: &Context<'_>, [tid, len, at, ..]: [u64; 6]) -> Answer {
    check_thread(context, tid)?;
    if len < 8 || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let count = host::processors().min(63);
    context
        .memory()
        .write(at, &((1_u64 << count) - 1).to_le_bytes())?;
    Ok(8)
}

fn getcpu(context: &Context<'_>, [cpu, node, ..]: [u64; 6]) -> Answer {
    context.permit(Subject::Nothing)?;
    for at in [cpu, node].into_iter().filter(|at| *at != 0) {
        context.memory().write(at, &[0; 4])?;
    }
    Ok(0)
}

/// The text at `at` as the name of a thread: as far as there is room.
fn thread_name(context: &Context<'_>, at: u64) -> Result<Vec<u8>, Errno> {
    let mut name = Vec::new();
    for place in 0..15 {
        let at = at.checked_add(place).ok_or(Errno::EFAULT)?;
        match context.memory().read_array(at)? {
            [0] => break,
            [byte] => name.push(byte),
        }
    }
    Ok(name)
}

fn prctl(context: &Context<'_>, [option, argument, ..]: [u64; 6]) -> Answer {
    const PR_GET_DUMPABLE: u32 = 3;
    const PR_SET_NAME: u32 = 15;
    const PR_GET_NAME: u32 = 16;
    const PR_SET_NO_NEW_PRIVS: u32 = 38;
    const PR_GET_NO_NEW_PRIVS: u32 = 39;
    context.permit(Subject::Nothing)?;
    match low(option) {
        PR_SET_NAME => {
            let name = thread_name(context, argument)?;
            context.process.signals.set_name(context.tid, &name);
            Ok(0)
        }
        PR_GET_NAME => {
            let name = context.process.signals.name(context.tid);
            context.memory().write(argument, &name)?;
            Ok(0)
        }
        // There is nobody who could look.
        PR_GET_DUMPABLE => Ok(0),
        // There are no rights to be had.
        PR_SET_NO_NEW_PRIVS if argument == 1 => Ok(0),
        PR_GET_NO_NEW_PRIVS => Ok(1),
        _ => Err(Errno::EINVAL),
    }
}
