//! Presets: lists of calls that go together.

/// Names of the presets, what each is for, and its calls.
pub const PRESETS: &[(&str, &str, &[&str])] = &[
    (
        "@start",
        "what C libraries and Rust's do before `main` and behind it",
        &[
            "brk",
            "mmap",
            "munmap",
            "mprotect",
            "madvise",
            "mremap",
            "arch_prctl",
            "set_tid_address",
            "set_robust_list",
            "rseq",
            "prlimit64",
            "getrlimit",
            "readlink",
            "readlinkat",
            "getrandom",
            "exit",
            "exit_group",
            "rt_sigaction",
            "rt_sigprocmask",
            "sigaltstack",
            "poll",
            "uname",
            "getpid",
            "gettid",
            "sched_getaffinity",
            "fstat",
            "newfstatat",
        ],
    ),
    (
        "@stdio",
        "to read and write what is open",
        &[
            "read", "write", "readv", "writev", "lseek", "close", "ioctl",
        ],
    ),
    (
        "@time",
        "clocks and sleep",
        &[
            "clock_gettime",
            "clock_getres",
            "gettimeofday",
            "time",
            "nanosleep",
            "clock_nanosleep",
            "times",
            "getrusage",
            "sysinfo",
        ],
    ),
    (
        "@threads",
        "threads and what they wait for",
        &[
            "clone",
            "clone3",
            "futex",
            "sched_yield",
            "sched_getaffinity",
            "sched_setaffinity",
            "gettid",
            "tgkill",
            "membarrier",
            "getcpu",
            "prctl",
        ],
    ),
    (
        "@identity",
        "who the program is",
        &[
            "getuid",
            "geteuid",
            "getgid",
            "getegid",
            "getppid",
            "getpgrp",
            "getgroups",
            "getsid",
            "setuid",
            "setgid",
            "getpgid",
            "umask",
        ],
    ),
    (
        "@files",
        "to look at files below the mounts and read them",
        &[
            "open",
            "openat",
            "openat2",
            "stat",
            "lstat",
            "statx",
            "access",
            "faccessat",
            "faccessat2",
            "getdents64",
            "getcwd",
            "chdir",
            "fchdir",
            "dup",
            "dup2",
            "dup3",
            "fcntl",
            "pread64",
            "preadv",
            "fadvise64",
            "statfs",
            "fstatfs",
        ],
    ),
    (
        "@change-files",
        "to change files below mounts of mode `rw`",
        &[
            "pwrite64",
            "pwritev",
            "ftruncate",
            "fsync",
            "fdatasync",
            "mkdir",
            "mkdirat",
            "rmdir",
            "unlink",
            "unlinkat",
            "rename",
            "renameat",
            "renameat2",
            "creat",
            "fallocate",
            "fchmod",
            "utimensat",
        ],
    ),
    (
        "@poll",
        "to wait for descriptors",
        &[
            "poll",
            "ppoll",
            "select",
            "pselect6",
            "pipe",
            "pipe2",
            "eventfd",
            "eventfd2",
            "epoll_create",
            "epoll_create1",
            "epoll_ctl",
            "epoll_wait",
            "epoll_pwait",
        ],
    ),
    (
        "@net-client",
        "to connect",
        &[
            "socket",
            "connect",
            "sendto",
            "recvfrom",
            "sendmsg",
            "recvmsg",
            "shutdown",
            "getsockopt",
            "setsockopt",
            "getsockname",
            "getpeername",
            "fcntl",
            "poll",
        ],
    ),
    (
        "@net-server",
        "to be connected to",
        &[
            "socket",
            "bind",
            "listen",
            "accept",
            "accept4",
            "sendto",
            "recvfrom",
            "sendmsg",
            "recvmsg",
            "shutdown",
            "getsockopt",
            "setsockopt",
            "getsockname",
            "getpeername",
            "fcntl",
            "poll",
        ],
    ),
];

/// The calls of a preset.
#[must_use]
pub fn preset(name: &str) -> Option<&'static [&'static str]> {
    let found = PRESETS.iter().find(|(known, ..)| *known == name)?;
    Some(found.2)
}

#[cfg(test)]
mod tests {
    use super::PRESETS;

    #[test]
    fn presets_hold_calls_that_linux_has() {
        for (preset, _, calls) in PRESETS {
            for call in *calls {
                assert!(torov_abi::number_of(call).is_some(), "{preset}: {call}");
            }
        }
    }
}
