//! Names of the host that the monitor no longer has (namespaces(7)).

use std::io;

/// What is taken away. Each costs its time at the start, and more at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// The host's network: interfaces, addresses, ports.
    pub network: bool,
    /// The host's mounts.
    pub mounts: bool,
}

/// Leaves the host's users, message queues and name, and what `also` says. The process has one thread yet.
///
/// A user without rights needs a user namespace of its own for that, in which it gives up at once what rights it has
/// there. Root needs none, and keeps its right to files of others.
///
/// # Errors
/// What the host says: `EPERM` or `EACCES` if it does not let users do this, `ENOSPC` if there are too many already.
pub fn leave_namespaces(also: Namespaces) -> io::Result<()> {
    // SAFETY: the call takes nothing and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut flags = libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if !is_root {
        flags |= libc::CLONE_NEWUSER;
    }
    if also.network {
        flags |= libc::CLONE_NEWNET;
    }
    if also.mounts {
        flags |= libc::CLONE_NEWNS;
    }
    // SAFETY: the call takes numbers only.
    if unsafe { libc::unshare(flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if is_root {
        Ok(())
    } else {
        give_up_capabilities()
    }
}

/// Gives up every capability (capset(2)), in the layout of version 3.
fn give_up_capabilities() -> io::Result<()> {
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let none = [0_u32; 6];
    // SAFETY: the header has a version and a process, the data are the six words of that version; both are only read.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
