//! What of the jail this host offers, found by trying, or by asking where trying would bind who asks.

use std::io;
use std::ptr;

/// Whether programs here can bind themselves by filters that end them.
///
/// # Errors
/// What the host says: `ENOSYS` if it has none, `EOPNOTSUPP` if they cannot end a process.
pub fn probe_seccomp() -> io::Result<()> {
    const GET_ACTION_AVAIL: u32 = 2;
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads the word, which lives during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) };
    done(result).map(drop)
}

/// The version of Landlock's interface.
///
/// # Errors
/// What the host says: `ENOSYS` if it is not built in, `EOPNOTSUPP` if it is off.
pub fn probe_landlock() -> io::Result<i64> {
    const VERSION: u32 = 1;
    let none = ptr::null::<u8>();
    // SAFETY: without a structure the call reads nothing, and tells its version.
    done(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) })
}

/// Which namespaces this user may leave, by what each holds. The process has one thread, and ends soon: what it may leave it
/// has left.
pub fn probe_namespaces() -> [(&'static str, io::Result<()>); 5] {
    // The first gives a user without rights those for the others.
    [
        ("users", libc::CLONE_NEWUSER),
        ("queues and name", libc::CLONE_NEWIPC | libc::CLONE_NEWUTS),
        ("mounts", libc::CLONE_NEWNS),
        ("network", libc::CLONE_NEWNET),
        ("processes", libc::CLONE_NEWPID),
    ]
    .map(|(what, flags)| {
        // SAFETY: the call takes numbers only.
        let result = unsafe { libc::unshare(flags) };
        (what, done(result.into()).map(drop))
    })
}

fn done(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::{probe_landlock, probe_seccomp};

    #[test]
    fn what_is_found_is_there() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(probe_seccomp().is_err() || status.contains("Seccomp:"));
        let modules = std::fs::read_to_string("/sys/kernel/security/lsm");
        if let Ok(modules) = modules {
            assert!(probe_landlock().is_err() || modules.contains("landlock"));
        }
    }
}
