//! Which calls the poller may answer: none waits for anything but a disk.

use torov_abi::{CALL_COUNT, Call, word};

use crate::batch;
use crate::context::Held;
use crate::process::Process;

/// Those that are quick whatever their arguments.
const ALWAYS: [&str; 14] = [
    "lseek",
    "fstat",
    "clock_gettime",
    "gettimeofday",
    "time",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getrandom",
    "times",
];
/// Those that are quick on some descriptors.
const BY_DESCRIPTOR: [&str; 8] = [
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev",
];

/// Whether a call belongs to those that the poller may answer, by its number.
pub(crate) fn may_be_quick(number: u64) -> bool {
    let is_listed = |name| ALWAYS.contains(&name) || BY_DESCRIPTOR.contains(&name);
    number == batch::NUMBER || torov_abi::name_of(number).is_some_and(is_listed)
}

/// The same for whole calls, without a look at names.
pub(super) struct Quick([Speed; CALL_COUNT]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speed {
    Any,
    Quick,
    ByDescriptor,
}

impl Quick {
    pub(super) fn new() -> Self {
        let mut speeds = [Speed::Any; CALL_COUNT];
        let mut set = |names: &[&str], speed| {
            for number in names.iter().filter_map(|name| torov_abi::number_of(name)) {
                speeds[usize::from(number)] = speed;
            }
        };
        set(&ALWAYS, Speed::Quick);
        set(&BY_DESCRIPTOR, Speed::ByDescriptor);
        Self(speeds)
    }

    /// What `call` is to be made with if it cannot block. What its number stands for was looked at: another thread that
    /// gives the number to a pipe meanwhile does not have the call made on that.
    pub(super) fn is_quick(&self, process: &Process, call: &Call) -> Option<Held> {
        match self.0.get(word::size(call.number)) {
            Some(Speed::Quick) => Some(Held::Nothing),
            Some(Speed::ByDescriptor) => {
                let number = call.args[0];
                let descriptor = process.descriptors.get(number);
                let waits = descriptor.as_ref().is_ok_and(|open| !open.never_waits());
                (!waits).then_some(Held::Descriptor(number, descriptor))
            }
            Some(Speed::Any) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::may_be_quick;

    #[test]
    fn what_may_block_is_never_quick() {
        for name in [
            "futex",
            "poll",
            "accept4",
            "recvfrom",
            "nanosleep",
            "connect",
            "clone",
            "mmap",
            "exit",
        ] {
            assert!(
                !may_be_quick(torov_abi::number_of(name).unwrap().into()),
                "{name}"
            );
        }
        assert!(may_be_quick(1));
        assert!(!may_be_quick(u64::MAX));
    }
}
