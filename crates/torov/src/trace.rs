//! A line for a call, as `strace` would write it.

use std::fmt::Write as _;
use std::time::Duration;

use torov_abi::{Call, Errno};

/// How many arguments each call has; those that are not named have three.
const COUNTS: &[(&str, usize)] = &[
    ("exit", 1),
    ("exit_group", 1),
    ("brk", 1),
    ("close", 1),
    ("getpid", 0),
    ("gettid", 0),
    ("getuid", 0),
    ("geteuid", 0),
    ("getgid", 0),
    ("getegid", 0),
    ("sched_yield", 0),
    ("set_tid_address", 1),
    ("arch_prctl", 2),
    ("munmap", 2),
    ("clock_gettime", 2),
    ("nanosleep", 2),
    ("listen", 2),
    ("uname", 1),
    ("pipe", 1),
    ("fstat", 2),
    ("mmap", 6),
    ("mremap", 5),
    ("futex", 6),
    ("openat", 4),
    ("newfstatat", 4),
    ("pread64", 4),
    ("pwrite64", 4),
    ("prlimit64", 4),
    ("rt_sigaction", 4),
    ("rt_sigprocmask", 4),
    ("readlinkat", 4),
    ("clone", 5),
    ("sendto", 6),
    ("recvfrom", 6),
    ("accept4", 4),
    ("clock_nanosleep", 4),
    ("rseq", 4),
];

/// A line for `call`, which took `took` and left `result` in its register.
pub(crate) fn line(tid: i32, call: &Call, result: u64, took: Duration) -> String {
    let unknown = format!("syscall_{}", call.number);
    let name = call.name().unwrap_or(&unknown);
    let count = COUNTS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(3, |(_, count)| *count);
    let mut text = format!("[{tid}] {name}(");
    for (at, argument) in call.args.iter().take(count).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing to a `String` cannot fail.
        let _ = match argument {
            0..=9999 => write!(text, "{comma}{argument}"),
            _ if (-4096..0).contains(&signed(*argument)) => {
                write!(text, "{comma}{}", signed(*argument))
            }
            _ => write!(text, "{comma}{argument:#x}"),
        };
    }
    let micros = took.as_micros();
    let _ = writeln!(text, ") = {} <{micros} us>", shown(result));
    text
}

/// `int` arguments that are negative have their upper half clear.
fn signed(value: u64) -> i64 {
    match u32::try_from(value) {
        Ok(half) => half.cast_signed().into(),
        Err(_) => value.cast_signed(),
    }
}

fn shown(result: u64) -> String {
    match result.cast_signed() {
        error @ -4095..=-1 => match i32::try_from(-error) {
            Ok(number) => format!("-1 {}", Errno::new(number)),
            Err(_) => error.to_string(),
        },
        value @ 0..=0xffff => value.to_string(),
        _ => format!("{result:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use torov_abi::Call;

    use super::line;

    fn check(number: u64, args: [u64; 6], result: i64, expected: &str) {
        let call = Call { number, args };
        let text = line(2, &call, result.cast_unsigned(), Duration::from_micros(5));
        assert_eq!(text, format!("[2] {expected} <5 us>\n"));
    }

    #[test]
    fn lines_are_as_strace_writes_them() {
        check(
            1,
            [1, 0x7000_0000, 6, 9, 9, 9],
            6,
            "write(1, 0x70000000, 6) = 6",
        );
        check(3, [77, 0, 0, 0, 0, 0], -9, "close(77) = -1 EBADF");
        let fd = (-100_i64).cast_unsigned();
        check(
            257,
            [fd, 0x7000_0000, 0, 0, 0, 0],
            -2,
            "openat(-100, 0x70000000, 0, 0) = -1 ENOENT",
        );
        check(
            999,
            [1, 2, 3, 0, 0, 0],
            -38,
            "syscall_999(1, 2, 3) = -1 ENOSYS",
        );
        check(12, [0, 0, 0, 0, 0, 0], 0x5555_0000, "brk(0) = 0x55550000");
    }
}
