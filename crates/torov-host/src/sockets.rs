//! Sockets. Addresses are the bytes of a `struct sockaddr`.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::{mem, ptr};

use torov_abi::Errno;
use torov_abi::word::{size, wide};
use torov_memory::Span;

use crate::files::owned;
use crate::{check, interruptible, number, pointer};

/// The longest address.
const ADDRESS: usize = mem::size_of::<libc::sockaddr_storage>();

fn len(bytes: &[u8]) -> Result<u32, Errno> {
    let len = bytes.len();
    u32::try_from(len).map_err(|_| Errno::EINVAL)
}

/// `socket`.
///
/// # Errors
/// As the call.
pub fn socket(domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointer is passed.
    owned(check(unsafe {
        libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol)
    }))
}

/// `socketpair`.
///
/// # Errors
/// As the call.
pub fn socket_pair(domain: i32, kind: i32, protocol: i32) -> Result<[OwnedFd; 2], Errno> {
    let mut ends = [0; 2];
    let at = ends.as_mut_ptr();
    // SAFETY: the kernel writes two numbers into the array.
    check(unsafe { libc::socketpair(domain, kind | libc::SOCK_CLOEXEC, protocol, at) })?;
    let [one, other] = ends.map(|end| Ok(wide(usize::try_from(end).unwrap_or(0))));
    Ok([owned(one)?, owned(other)?])
}

/// `bind`.
///
/// # Errors
/// As the call.
pub fn bind(fd: BorrowedFd<'_>, address: &[u8]) -> Result<u64, Errno> {
    let len = len(address)?;
    // SAFETY: the address is `len` bytes that live during the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), len) })
}

/// `connect`. May block.
///
/// # Errors
/// As the call.
pub fn connect(fd: BorrowedFd<'_>, address: &[u8]) -> Result<u64, Errno> {
    let len = len(address)?;
    // SAFETY: the address is `len` bytes that live during the call.
    unsafe {
        interruptible(
            libc::SYS_connect,
            [
                number(fd.as_raw_fd()),
                pointer(address.as_ptr()),
                len.into(),
            ],
        )
    }
}

/// `listen`.
///
/// # Errors
/// As the call.
pub fn listen(fd: BorrowedFd<'_>, backlog: i32) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) })
}

/// `shutdown`.
///
/// # Errors
/// As the call.
pub fn shutdown(fd: BorrowedFd<'_>, how: i32) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) })
}

/// Calls `get` with room for an address and returns what it leaves there, and its own result.
fn named(
    get: impl FnOnce(*mut libc::sockaddr, *mut u32) -> Result<u64, Errno>,
) -> Result<(u64, Vec<u8>), Errno> {
    let mut bytes = vec![0; ADDRESS];
    let mut len = 128_u32;
    let result = get(bytes.as_mut_ptr().cast(), &raw mut len)?;
    bytes.truncate(size(u64::from(len)));
    Ok((result, bytes))
}

/// `accept4`: the connection and who is at its other end. May block.
///
/// # Errors
/// As the call.
pub fn accept(fd: BorrowedFd<'_>, flags: i32) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let flags = flags | libc::SOCK_CLOEXEC;
    let (fd, address) = named(|at, len| {
        let args = [
            number(fd.as_raw_fd()),
            pointer(at),
            pointer(len),
            number(flags),
        ];
        // SAFETY: `named` passes room for the longest address, and its length.
        unsafe { interruptible(libc::SYS_accept4, args) }
    })?;
    Ok((owned(Ok(fd))?, address))
}

/// `getsockname`.
///
/// # Errors
/// As the call.
pub fn local_name(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    // SAFETY: as in `accept`.
    let got = named(|at, len| check(unsafe { libc::getsockname(fd.as_raw_fd(), at, len) }));
    got.map(|(_, address)| address)
}

/// `getpeername`.
///
/// # Errors
/// As the call.
pub fn peer_name(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    // SAFETY: as in `accept`.
    let got = named(|at, len| check(unsafe { libc::getpeername(fd.as_raw_fd(), at, len) }));
    got.map(|(_, address)| address)
}

fn message(spans: &[Span<'_>]) -> libc::msghdr {
    // SAFETY: all-zero is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = spans.as_ptr().cast_mut().cast();
    // The type of the field differs from library to library.
    let count = u16::try_from(spans.len()).unwrap_or(u16::MAX);
    message.msg_iovlen = count.min(1024).into();
    message
}

/// `sendmsg` without control data. May block. Never raises `SIGPIPE`.
///
/// # Errors
/// As the call.
pub fn send(
    fd: BorrowedFd<'_>,
    spans: &[Span<'_>],
    flags: i32,
    to: Option<&[u8]>,
) -> Result<u64, Errno> {
    let mut message = message(spans);
    if let Some(to) = to {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = len(to)?;
    }
    // SAFETY: spans and address live during the call; `sendmsg` reads both.
    unsafe {
        interruptible(
            libc::SYS_sendmsg,
            [
                number(fd.as_raw_fd()),
                pointer(&raw const message),
                number(flags | libc::MSG_NOSIGNAL),
            ],
        )
    }
}

/// `recvmsg` without control data: how many bytes, from whom, and the flags of the message. May block.
///
/// # Errors
/// As the call.
pub fn receive(
    fd: BorrowedFd<'_>,
    spans: &[Span<'_>],
    flags: i32,
) -> Result<(u64, Vec<u8>, i32), Errno> {
    let mut message = message(spans);
    let mut address = vec![0; ADDRESS];
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = 128;
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: spans name writable memory and live during the call, and so does the room for the address.
    let got = unsafe {
        interruptible(
            libc::SYS_recvmsg,
            [
                number(fd.as_raw_fd()),
                pointer(&raw const message),
                number(flags),
            ],
        )
    }?;
    address.truncate(size(u64::from(message.msg_namelen)));
    Ok((got, address, message.msg_flags))
}

/// `setsockopt`.
///
/// # Errors
/// As the call.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<u64, Errno> {
    let len = len(value)?;
    // SAFETY: the value is `len` bytes that live during the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) })
}

/// `getsockopt`, at most `most` bytes.
///
/// # Errors
/// As the call.
pub fn get_option(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    most: usize,
) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; most.min(256)];
    let mut len = len(&value)?;
    let at = value.as_mut_ptr();
    // SAFETY: the kernel writes at most `len` bytes into the value.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            at.cast(),
            ptr::from_mut(&mut len),
        )
    })?;
    value.truncate(size(u64::from(len)));
    Ok(value)
}
