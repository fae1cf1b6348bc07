//! How ToroV binds itself before its guest runs.
//!
//! Should a guest find a hole in the monitor, it gains little: [`filter`] leaves the monitor those system calls of the
//! host that the guest's profile implies (the profile binds twice), and [`landlock`] leaves it the folders that are
//! mounted. Neither can be undone, and both hold without rights of any kind.

mod filter;
mod implied;
mod landlock;
mod namespaces;
mod probe;

use std::io;

pub use self::filter::{Filter, Verdict};
pub use self::implied::{debugger_calls, implied_calls, snapshot_calls, waiting_calls};
pub use self::landlock::{Grant, Right, restrict_files};
pub use self::namespaces::{Namespaces, leave_namespaces};
pub use self::probe::{probe_landlock, probe_namespaces, probe_seccomp};

/// Gives up what a set-user-ID program would bring. The other two ask for it.
///
/// # Errors
/// What the host says.
pub fn give_up_privileges() -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
