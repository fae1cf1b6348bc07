//! What ToroV asks of the host: the few system calls that the monitor makes for its guest.
//!
//! Every function is one call of Linux with types in the place of pointers. Guest memory comes as [`Span`]s, which
//! the monitor has checked; descriptors are borrowed or owned. Names, arguments and errors are those of the manual
//! pages, section 2.

mod clock;
mod epoll;
mod files;
mod futex;
mod names;
mod own;
mod sockets;
mod transfer;
mod wait;

use torov_abi::Errno;
pub use torov_memory::Span;

pub use self::clock::{Clock, cpu_time, get as clock_get, resolution, sleep};
pub use self::epoll::{epoll_control, epoll_create, epoll_wait};
pub use self::files::{
    Status, allocate, control, directory_entries, duplicate, event_counter, holds_plain_files,
    may_access, open_beneath, open_root, pipe, readable_bytes, seek, set_mode, set_mode_of_path,
    set_timer, set_times, status, synchronise, terminal_settings, timer, timer_setting, truncate,
    window_size,
};
pub use self::futex::{futex_requeue, futex_wait, futex_wake};
pub use self::names::{link_target, make_directory, remove, rename};
pub use self::own::give_back_pages;
pub use self::sockets::{
    accept, bind, connect, get_option, listen, local_name, peer_name, receive, send, set_option,
    shutdown, socket, socket_pair,
};
pub use self::transfer::{read, read_at, read_bytes, send_file, write, write_at, write_bytes};
pub use self::wait::{Polled, memory_barrier, poll, processors, random, yield_now};

/// The result of a call that returns -1 and sets `errno` when it fails.
fn check(result: impl TryInto<u64>) -> Result<u64, Errno> {
    result
        .try_into()
        .map_err(|_| std::io::Error::last_os_error().into())
}

/// Makes a call that may block, and that another thread can interrupt ([`torov_interrupt::Line`]).
///
/// # Safety
/// 1. The call with these arguments is sound, as in [`torov_interrupt::call`].
unsafe fn interruptible<const N: usize>(
    number: libc::c_long,
    args: [u64; N],
) -> Result<u64, Errno> {
    let mut words = [0; 7];
    words[0] = number.cast_unsigned();
    words[1..=N].copy_from_slice(&args);
    // SAFETY: duty 1 is the caller's.
    let result = unsafe { torov_interrupt::call(words) };
    u64::try_from(result).map_err(|_| Errno::new(i32::try_from(-result).unwrap_or(0)))
}

/// An argument that is a descriptor or another `int`.
fn number(value: i32) -> u64 {
    i64::from(value).cast_unsigned()
}

/// An argument that is a pointer.
fn pointer<T>(to: *const T) -> u64 {
    torov_abi::word::wide(to.addr())
}
