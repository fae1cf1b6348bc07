//! Files below a few folders only (landlock(7)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// What may be done below a folder, or with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Looking and reading.
    Read,
    /// Everything but running programs and making devices, sockets and pipes.
    Change,
    /// Reading and writing one file that is there.
    Device,
}

/// A folder or a file, and what may be done.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'fd> {
    /// It, opened with `O_PATH` or otherwise.
    pub place: BorrowedFd<'fd>,
    /// What may be done.
    pub right: Right,
}

const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE: u64 = 3 << 4;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
/// Moving between folders, with version 2.
const REFER: u64 = 1 << 13;
/// Cutting short, with version 3.
const TRUNCATE: u64 = 1 << 14;
/// All rights of version 1.
const FIRST: u64 = (1 << 13) - 1;

const RULE_PATH_BENEATH: u32 = 1;
const CREATE_RULESET_VERSION: u32 = 1;

/// Takes from this thread, and from those that it will start, every file but those of `grants`.
///
/// # Errors
/// What the host says: `ENOSYS` or `EOPNOTSUPP` if it has no Landlock.
pub fn restrict_files(grants: &[Grant<'_>]) -> io::Result<()> {
    let version = call(
        libc::SYS_landlock_create_ruleset,
        [0, 0, CREATE_RULESET_VERSION.into(), 0],
    )?;
    let handled = match version {
        1 => FIRST,
        2 => FIRST | REFER,
        _ => FIRST | REFER | TRUNCATE,
    };
    let attributes = [handled];
    let at = attributes.as_ptr().addr();
    let ruleset = call(
        libc::SYS_landlock_create_ruleset,
        [torov_abi::word::wide(at), 8, 0, 0],
    )?;
    // SAFETY: the kernel has just returned this number for us alone.
    let ruleset = unsafe { OwnedFd::from_raw_fd(i32::try_from(ruleset).unwrap_or(-1)) };
    for grant in grants {
        add(&ruleset, *grant, handled)?;
    }
    call(
        libc::SYS_landlock_restrict_self,
        [number(ruleset.as_raw_fd()), 0, 0, 0],
    )
    .map(drop)
}

fn add(ruleset: &OwnedFd, grant: Grant<'_>, handled: u64) -> io::Result<()> {
    let access = match grant.right {
        Right::Read => READ_FILE | READ_DIR,
        Right::Change => {
            READ_FILE | READ_DIR | WRITE_FILE | REMOVE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
        }
        Right::Device => READ_FILE | WRITE_FILE | TRUNCATE,
    };
    // `struct landlock_path_beneath_attr` is packed: 8 bytes of rights, 4 of the descriptor.
    let mut attributes = [0; 12];
    attributes[..8].copy_from_slice(&(access & handled).to_le_bytes());
    attributes[8..].copy_from_slice(&grant.place.as_raw_fd().to_le_bytes());
    let at = torov_abi::word::wide(attributes.as_ptr().addr());
    call(
        libc::SYS_landlock_add_rule,
        [number(ruleset.as_raw_fd()), RULE_PATH_BENEATH.into(), at, 0],
    )
    .map(drop)
}

fn number(fd: i32) -> u64 {
    u64::try_from(fd).unwrap_or(u64::MAX)
}

/// One of the three calls of Landlock. Addresses among `args` are those of live arrays of the caller.
fn call(number: libc::c_long, args: [u64; 4]) -> io::Result<i64> {
    // SAFETY: the three calls read what their arguments point to, which the callers above keep alive.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3]) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
