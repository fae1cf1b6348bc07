//! Which calls of the host the monitor makes for a call of the guest.

use libc::c_long;

/// What the monitor needs whatever the guest may do: memory, locks, clocks, its reports, its end.
const ALWAYS: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_pread64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    // How a monitor that crashes lets itself die.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_write,
];

/// The calls of the host behind each call of the guest that needs more.
const IMPLIED: &[(&[&str], &[c_long])] = &[
    (&["read", "readv"], &[libc::SYS_read, libc::SYS_readv]),
    // Writes of a batch that follow each other become one `writev`, if the file system is one where that is the same.
    (&["write", "writev"], &[libc::SYS_writev, libc::SYS_fstatfs]),
    (&["pread64", "preadv", "mmap"], &[libc::SYS_preadv]),
    (&["pwrite64", "pwritev"], &[libc::SYS_pwritev]),
    (&["lseek"], &[libc::SYS_lseek]),
    (&["fcntl"], &[libc::SYS_fcntl]),
    (&["ftruncate"], &[libc::SYS_ftruncate]),
    (&["truncate"], &[libc::SYS_openat2, libc::SYS_ftruncate]),
    (&["fsync", "fdatasync"], &[libc::SYS_fsync]),
    (&["fallocate"], &[libc::SYS_fallocate]),
    (&["fchmod"], &[libc::SYS_fchmod]),
    (
        &["chmod", "fchmodat"],
        &[libc::SYS_openat2, libc::SYS_fchmodat2, libc::SYS_fchmod],
    ),
    (
        &["signalfd", "signalfd4"],
        &[
            libc::SYS_eventfd2,
            libc::SYS_fcntl,
            libc::SYS_ppoll,
            libc::SYS_read,
        ],
    ),
    (&["sendfile"], &[libc::SYS_sendfile]),
    (&["timerfd_create"], &[libc::SYS_timerfd_create]),
    (&["timerfd_settime"], &[libc::SYS_timerfd_settime]),
    (&["timerfd_gettime"], &[libc::SYS_timerfd_gettime]),
    (&["getdents64"], &[libc::SYS_getdents64]),
    (
        &[
            "open",
            "openat",
            "openat2",
            "creat",
            "stat",
            "lstat",
            "newfstatat",
            "statx",
            "chdir",
        ],
        &[libc::SYS_openat2],
    ),
    (
        &["access", "faccessat", "faccessat2"],
        &[libc::SYS_openat2, libc::SYS_faccessat2],
    ),
    (
        &["readlink", "readlinkat"],
        &[libc::SYS_openat2, libc::SYS_readlinkat],
    ),
    (
        &["mkdir", "mkdirat"],
        &[libc::SYS_openat2, libc::SYS_mkdirat],
    ),
    (
        &["rmdir", "unlink", "unlinkat"],
        &[libc::SYS_openat2, libc::SYS_unlinkat],
    ),
    (
        &["rename", "renameat", "renameat2"],
        &[libc::SYS_openat2, libc::SYS_renameat2],
    ),
    (&["utimensat"], &[libc::SYS_openat2, libc::SYS_utimensat]),
    (
        &[
            "poll",
            "ppoll",
            "select",
            "pselect6",
            "pause",
            "rt_sigsuspend",
            "rt_sigtimedwait",
        ],
        &[libc::SYS_ppoll],
    ),
    (
        &["epoll_create", "epoll_create1"],
        &[libc::SYS_epoll_create1],
    ),
    (&["epoll_ctl"], &[libc::SYS_epoll_ctl]),
    (&["epoll_wait", "epoll_pwait"], &[libc::SYS_epoll_wait]),
    (&["pipe", "pipe2"], &[libc::SYS_pipe2]),
    (&["eventfd", "eventfd2"], &[libc::SYS_eventfd2]),
    (&["clock_getres"], &[libc::SYS_clock_getres]),
    (&["socket"], &[libc::SYS_socket]),
    (&["socketpair"], &[libc::SYS_socketpair]),
    (&["bind"], &[libc::SYS_bind]),
    (&["connect"], &[libc::SYS_connect]),
    (&["listen"], &[libc::SYS_listen]),
    (&["accept", "accept4"], &[libc::SYS_accept4]),
    (&["shutdown"], &[libc::SYS_shutdown]),
    (&["sendto", "sendmsg"], &[libc::SYS_sendmsg]),
    (&["recvfrom", "recvmsg"], &[libc::SYS_recvmsg]),
    (&["getsockname"], &[libc::SYS_getsockname]),
    (&["getpeername"], &[libc::SYS_getpeername]),
    (&["getsockopt"], &[libc::SYS_getsockopt]),
    (&["setsockopt"], &[libc::SYS_setsockopt]),
];

/// The numbers of the host's calls that a guest with the calls `allowed` implies, sorted.
#[must_use]
pub fn implied_calls(allowed: impl Fn(&str) -> bool) -> Vec<u32> {
    let more = IMPLIED
        .iter()
        .filter(|(names, _)| names.iter().any(|name| allowed(name)))
        .flat_map(|(_, calls)| calls.iter());
    let mut calls: Vec<u32> = ALWAYS
        .iter()
        .chain(more)
        .filter_map(|call| u32::try_from(*call).ok())
        .collect();
    if allowed("ioctl") {
        // `FIONBIO` is done by `fcntl`.
        calls.extend(u32::try_from(libc::SYS_fcntl));
    }
    calls.sort_unstable();
    calls.dedup();
    calls
}

/// The numbers of what serves a debugger that has come in already.
#[must_use]
pub fn debugger_calls() -> Vec<u32> {
    numbers(&[libc::SYS_read, libc::SYS_write, libc::SYS_ppoll])
}

/// The numbers of what looks at the open descriptors of a program that is to be kept.
#[must_use]
pub fn snapshot_calls() -> Vec<u32> {
    numbers(&[
        libc::SYS_fcntl,
        libc::SYS_getsockname,
        libc::SYS_getsockopt,
        libc::SYS_lseek,
        libc::SYS_read,
        libc::SYS_timerfd_gettime,
    ])
}

/// The numbers of what waits for a connection, and makes it the program's.
#[must_use]
pub fn waiting_calls() -> Vec<u32> {
    numbers(&[libc::SYS_accept4, libc::SYS_fcntl, libc::SYS_ppoll])
}

fn numbers(calls: &[c_long]) -> Vec<u32> {
    let numbers = calls.iter().map(|call| u32::try_from(*call));
    numbers.filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::{IMPLIED, implied_calls};

    #[test]
    fn nothing_that_starts_programs_or_looks_around_is_ever_implied() {
        let all = implied_calls(|_| true);
        for never in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_open,
            libc::SYS_openat,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_process_vm_readv,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
        ] {
            assert!(!all.contains(&u32::try_from(never).unwrap()), "{never}");
        }
    }

    #[test]
    fn sockets_are_for_those_who_may_have_them() {
        let none = implied_calls(|name| name == "write");
        assert!(!none.contains(&u32::try_from(libc::SYS_socket).unwrap()));
        assert!(none.contains(&u32::try_from(libc::SYS_writev).unwrap()));
        assert!(!none.contains(&u32::try_from(libc::SYS_readv).unwrap()));
    }

    #[test]
    fn names_are_sorted_into_one_row_each() {
        let mut names: Vec<&str> = IMPLIED
            .iter()
            .flat_map(|(names, _)| names.iter().copied())
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
