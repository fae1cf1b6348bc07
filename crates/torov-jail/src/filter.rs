//! [`Filter`]: a program for the kernel that decides about every system call of this process (seccomp(2)).

use std::io;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this number.
    Fail(u16),
    /// The process ends.
    Kill,
}

/// The `ioctl` numbers of the monitor: running and making processors, adding memory, and what a terminal is asked.
const REQUESTS: &[u32] = &[
    0xae80,      // KVM_RUN
    0xae41,      // KVM_CREATE_VCPU
    0x4020_ae46, // KVM_SET_USER_MEMORY_REGION
    0x4090_ae82, // KVM_SET_REGS
    0x8138_ae83, // KVM_GET_SREGS
    0x4138_ae84, // KVM_SET_SREGS
    0x4008_ae89, // KVM_SET_MSRS
    0x4008_ae90, // KVM_SET_CPUID2
    0x4004_ae99, // KVM_SET_MP_STATE
    0x4018_aee1, // KVM_SET_DEVICE_ATTR
    0x4188_aea7, // KVM_SET_XCRS
    0x9000_aea4, // KVM_GET_XSAVE
    0x5000_aea5, // KVM_SET_XSAVE
    0x8040_ae9f, // KVM_GET_VCPU_EVENTS
    0x5401,      // TCGETS
    0x5413,      // TIOCGWINSZ
    0x541b,      // FIONREAD
];

/// The filter, as classic BPF.
#[derive(Clone, Debug)]
pub struct Filter(Vec<libc::sock_filter>);

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_0: u32 = 16;
const ARGUMENT_1: u32 = 24;

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// `CLONE_VM`, `CLONE_FS`, `CLONE_FILES`, `CLONE_SIGHAND`, `CLONE_THREAD`.
const THREAD: u32 = 0x1_0f00;

impl Filter {
    /// A filter that allows `calls`, the monitor's own `ioctl`s, and threads if `threads`.
    #[must_use]
    pub fn new(calls: &[u32], threads: bool) -> Self {
        let mut filter = Self(Vec::new());
        filter.load(ARCHITECTURE);
        filter.unless_equal(X86_64, Verdict::Kill);
        filter.load(NUMBER);
        filter.requests();
        filter.nudges();
        if threads {
            filter.threads();
        }
        for call in calls {
            filter.if_equal(*call, Verdict::Allow);
        }
        filter.say(Verdict::Fail(1));
        filter
    }

    fn load(&mut self, offset: u32) {
        self.0.push(instruction(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            offset,
        ));
    }

    fn say(&mut self, verdict: Verdict) {
        let value = match verdict {
            Verdict::Allow => libc::SECCOMP_RET_ALLOW,
            Verdict::Fail(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
            Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        };
        self.0
            .push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value));
    }

    fn if_equal(&mut self, value: u32, verdict: Verdict) {
        self.0.push(instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            value,
        ));
        self.say(verdict);
    }

    fn unless_equal(&mut self, value: u32, verdict: Verdict) {
        self.0.push(instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            0,
            value,
        ));
        self.say(verdict);
    }

    /// Passes over the next `len` instructions unless the number is `call`.
    fn only_for(&mut self, call: i64, len: usize) {
        let call = u32::try_from(call).unwrap_or(u32::MAX);
        let len = u8::try_from(len).expect("the lists above are short");
        self.0.push(instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            len,
            call,
        ));
    }

    fn requests(&mut self) {
        self.only_for(libc::SYS_ioctl, 2 * REQUESTS.len() + 2);
        self.load(ARGUMENT_1);
        for request in REQUESTS {
            self.if_equal(*request, Verdict::Allow);
        }
        self.say(Verdict::Fail(1));
    }

    /// Signals to threads of this process, which is how they are interrupted, and to nobody else.
    fn nudges(&mut self) {
        self.only_for(libc::SYS_tgkill, 4);
        self.load(ARGUMENT_0);
        self.if_equal(std::process::id(), Verdict::Allow);
        self.say(Verdict::Fail(1));
    }

    /// Threads of this process, and no other process. What `clone3` wants lies in memory, so the library is sent back to `clone`.
    fn threads(&mut self) {
        const ENOSYS: u16 = 38;
        self.only_for(libc::SYS_clone3, 1);
        self.say(Verdict::Fail(ENOSYS));
        self.only_for(libc::SYS_clone, 5);
        self.load(ARGUMENT_0);
        self.0.push(instruction(
            libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
            0,
            0,
            THREAD,
        ));
        self.if_equal(THREAD, Verdict::Allow);
        self.say(Verdict::Fail(1));
    }

    /// Binds every thread of this process, for ever. [`give_up_privileges`](crate::give_up_privileges) comes first.
    ///
    /// # Errors
    /// What the host says, such as that it has no seccomp.
    pub fn install(mut self) -> io::Result<()> {
        let len =
            u16::try_from(self.0.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        let program = libc::sock_fprog {
            len,
            filter: self.0.as_mut_ptr(),
        };
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        // SAFETY: the program has `len` instructions, and the kernel copies it during the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What the filter says to a call, for tests.
    #[must_use]
    pub fn decide(&self, number: u32, args: [u64; 2]) -> Verdict {
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let step = self.0[at];
            at += 1;
            let (class, operation) = (step.code & 7, step.code & 0xf0);
            match u32::from(class) {
                libc::BPF_LD => {
                    accumulator = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => X86_64,
                        ARGUMENT_0 => low(args[0]),
                        _ => low(args[1]),
                    };
                }
                libc::BPF_ALU => accumulator &= step.k,
                libc::BPF_JMP => {
                    debug_assert_eq!(u32::from(operation), libc::BPF_JEQ);
                    at += usize::from(if accumulator == step.k {
                        step.jt
                    } else {
                        step.jf
                    });
                }
                _ => return verdict(step.k),
            }
        }
    }
}

fn verdict(value: u32) -> Verdict {
    match value & libc::SECCOMP_RET_ACTION_FULL {
        libc::SECCOMP_RET_ALLOW => Verdict::Allow,
        libc::SECCOMP_RET_ERRNO => Verdict::Fail(u16::try_from(value & 0xffff).unwrap_or(0)),
        _ => Verdict::Kill,
    }
}

fn low(value: u64) -> u32 {
    torov_abi::word::low(value)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    let code = u16::try_from(code).unwrap_or(0);
    libc::sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Verdict};

    fn decide(threads: bool, number: i64, args: [u64; 2]) -> Verdict {
        Filter::new(&[1, 60], threads).decide(u32::try_from(number).unwrap(), args)
    }

    #[test]
    fn what_is_listed_is_allowed_and_the_rest_fails() {
        assert_eq!(decide(false, 1, [0; 2]), Verdict::Allow);
        assert_eq!(decide(false, 60, [0; 2]), Verdict::Allow);
        assert_eq!(decide(false, libc::SYS_execve, [0; 2]), Verdict::Fail(1));
        assert_eq!(decide(false, 0x4000_0001, [0; 2]), Verdict::Fail(1), "x32");
    }

    #[test]
    fn requests_are_the_monitor_s() {
        assert_eq!(decide(false, libc::SYS_ioctl, [5, 0xae80]), Verdict::Allow);
        assert_eq!(
            decide(false, libc::SYS_ioctl, [5, 0xae01]),
            Verdict::Fail(1)
        );
        assert_eq!(
            decide(true, libc::SYS_ioctl, [0, 0x5412]),
            Verdict::Fail(1),
            "TIOCSTI"
        );
    }

    #[test]
    fn signals_go_to_this_process_only() {
        let own = std::process::id();
        let tgkill = |process: u32| decide(false, libc::SYS_tgkill, [process.into(), 1]);
        assert_eq!(tgkill(own), Verdict::Allow);
        assert_eq!(tgkill(own + 1), Verdict::Fail(1));
        assert_eq!(tgkill(1), Verdict::Fail(1));
        assert_eq!(
            decide(true, libc::SYS_kill, [own.into(), 9]),
            Verdict::Fail(1)
        );
    }

    #[test]
    fn threads_are_allowed_and_processes_never() {
        let thread = 0x3d_0f00;
        assert_eq!(decide(true, libc::SYS_clone, [thread, 0]), Verdict::Allow);
        assert_eq!(
            decide(false, libc::SYS_clone, [thread, 0]),
            Verdict::Fail(1)
        );
        assert_eq!(decide(true, libc::SYS_clone, [17, 0]), Verdict::Fail(1));
        assert_eq!(decide(true, libc::SYS_clone3, [0; 2]), Verdict::Fail(38));
        assert_eq!(decide(true, libc::SYS_fork, [0; 2]), Verdict::Fail(1));
    }
}
