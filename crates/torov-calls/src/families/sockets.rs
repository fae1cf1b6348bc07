//! Sockets of the Internet, streams and datagrams. Sockets in the file system would lead past the mounts; pairs are fine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use torov_abi::Errno;
use torov_abi::word::{int, low, size, wide};
use torov_host as host;
use torov_memory::Access;
use torov_policy::Subject;

use crate::Answer;
use crate::context::{Context, word_at};
use crate::descriptors::{Class, Descriptor};

pub(crate) fn handler(name: &str) -> Option<fn(&Context<'_>, [u64; 6]) -> Answer> {
    Some(match name {
        "socket" => socket,
        "socketpair" => socketpair,
        "bind" => bind,
        "connect" => connect,
        "listen" => {
            |context, [fd, backlog, ..]| host::listen(a_socket(context, fd)?.fd(), int(backlog))
        }
        "accept" => |context, [fd, at, len, ..]| accept(context, fd, (at, len), 0),
        "accept4" => |context, [fd, at, len, flags, ..]| accept(context, fd, (at, len), int(flags)),
        "shutdown" => {
            |context, [fd, how, ..]| host::shutdown(a_socket(context, fd)?.fd(), int(how))
        }
        "getsockname" => |context, [fd, at, len, ..]| {
            let name = host::local_name(a_socket(context, fd)?.fd())?;
            tell(context, &name, (at, len))
        },
        "getpeername" => |context, [fd, at, len, ..]| {
            let name = host::peer_name(a_socket(context, fd)?.fd())?;
            tell(context, &name, (at, len))
        },
        "sendto" => sendto,
        "recvfrom" => recvfrom,
        "sendmsg" => sendmsg,
        "recvmsg" => recvmsg,
        "setsockopt" => setsockopt,
        "getsockopt" => getsockopt,
        _ => return None,
    })
}

const AF_UNIX: i32 = 1;
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const SOCK_NONBLOCK: i32 = 0o4000;
const SOCK_CLOEXEC: i32 = 0o2_000_000;

/// Streams and datagrams only: no raw packets.
fn check_kind(kind: i32) -> Result<(), Errno> {
    match kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) {
        1 | 2 => Ok(()),
        3 | 10 => Err(Errno::EPERM),
        4..=6 => Err(Errno::EPROTONOSUPPORT),
        _ => Err(Errno::EINVAL),
    }
}

fn socket(context: &Context<'_>, [domain, kind, protocol, ..]: [u64; 6]) -> Answer {
    let (domain, kind) = (int(domain), int(kind));
    context.permit(Subject::Nothing)?;
    if ![AF_INET, AF_INET6].contains(&domain) {
        return Err(Errno::EAFNOSUPPORT);
    }
    check_kind(kind)?;
    let fd = host::socket(domain, kind, int(protocol))?;
    context.open(fd, Class::Socket, String::new(), kind & SOCK_CLOEXEC != 0)
}

fn socketpair(context: &Context<'_>, [domain, kind, protocol, at, ..]: [u64; 6]) -> Answer {
    let (domain, kind) = (int(domain), int(kind));
    context.permit(Subject::Nothing)?;
    match domain {
        AF_UNIX => {}
        AF_INET | AF_INET6 => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EAFNOSUPPORT),
    }
    check_kind(kind)?;
    let on_exec = kind & SOCK_CLOEXEC != 0;
    let [one, other] = host::socket_pair(domain, kind, int(protocol))?;
    let one = context.open(one, Class::Socket, String::new(), on_exec)?;
    let opened = context.open(other, Class::Socket, String::new(), on_exec);
    let told = opened.and_then(|other| super::poll::tell(context, at, [one, other]));
    if let Err(error) = told {
        context.process.descriptors.close(one)?;
        return Err(error);
    }
    Ok(0)
}

/// What `number` stands for, which must be a socket.
fn a_socket(context: &Context<'_>, number: u64) -> Result<Arc<Descriptor>, Errno> {
    let descriptor = context.process.descriptors.get(number)?;
    if descriptor.class() != Class::Socket {
        return Err(Errno::ENOTSOCK);
    }
    context.permit(Subject::Nothing)?;
    Ok(descriptor)
}

/// Copies an address out of the guest: its bytes, and what they say. Only those of the Internet pass.
fn address(context: &Context<'_>, at: u64, len: u64) -> Result<(Vec<u8>, SocketAddr), Errno> {
    if !(16..=128).contains(&len) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; size(len)];
    context.memory().read(at, &mut bytes)?;
    let address = parse(&bytes)?;
    Ok((bytes, address))
}

/// What the bytes of a `struct sockaddr` say. Only addresses of the Internet pass.
pub(crate) fn parse(bytes: &[u8]) -> Result<SocketAddr, Errno> {
    if bytes.len() < 16 {
        return Err(Errno::EINVAL);
    }
    let family = i32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let ip = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7])),
        AF_INET6 if bytes.len() >= 24 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[8..24]);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    Ok(SocketAddr::new(ip, port))
}

/// Writes an address and its length to where the guest wants them, cut to the room there is.
fn tell(context: &Context<'_>, name: &[u8], (at, len): (u64, u64)) -> Answer {
    if at == 0 {
        return Ok(0);
    }
    let room = context.memory().read_u32(len)?;
    let cut = &name[..name.len().min(size(room.into()))];
    context.memory().write(at, cut)?;
    context
        .memory()
        .write(len, &low(wide(name.len())).to_le_bytes())?;
    Ok(0)
}

fn bind(context: &Context<'_>, [fd, at, len, ..]: [u64; 6]) -> Answer {
    let descriptor = internet_socket(context, fd)?;
    let (bytes, address) = address(context, at, len)?;
    context.permit(Subject::Address(address))?;
    host::bind(descriptor.fd(), &bytes)
}

fn connect(context: &Context<'_>, [fd, at, len, ..]: [u64; 6]) -> Answer {
    let descriptor = internet_socket(context, fd)?;
    let (bytes, address) = address(context, at, len)?;
    context.permit(Subject::Address(address))?;
    host::connect(descriptor.fd(), &bytes)
}

/// The socket, not judged yet: the address is what is judged.
fn internet_socket(context: &Context<'_>, number: u64) -> Result<Arc<Descriptor>, Errno> {
    let descriptor = context.process.descriptors.get(number)?;
    match descriptor.class() {
        Class::Socket => Ok(descriptor),
        _ => Err(Errno::ENOTSOCK),
    }
}

fn accept(context: &Context<'_>, fd: u64, name: (u64, u64), flags: i32) -> Answer {
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let (connection, peer) = host::accept(a_socket(context, fd)?.fd(), flags)?;
    tell(context, &peer, name)?;
    context.open(
        connection,
        Class::Socket,
        String::new(),
        flags & SOCK_CLOEXEC != 0,
    )
}

fn sendto(context: &Context<'_>, [fd, at, len, flags, to, to_len]: [u64; 6]) -> Answer {
    let descriptor = a_socket(context, fd)?;
    let spans = context.buffer(at, len, Access::Read)?;
    send(context, &descriptor, &spans, int(flags), (to, to_len))
}

/// Flags that a program may say: do not wait, all of it, look only, no signal, more follows, cut off.
const FLAGS: i32 = 0x40 | 0x100 | 0x2 | 0x4000 | 0x8000 | 0x20;

fn send(
    context: &Context<'_>,
    descriptor: &Descriptor,
    spans: &[host::Span<'_>],
    flags: i32,
    (to, to_len): (u64, u64),
) -> Answer {
    const NOSIGNAL: i32 = 0x4000;
    let to = if to == 0 {
        None
    } else {
        let (bytes, address) = address(context, to, to_len)?;
        let judged = torov_abi::number_of("connect").unwrap_or_default();
        context.process.permit(judged, Subject::Address(address))?;
        Some(bytes)
    };
    let sent = context.output(spans, || {
        host::send(descriptor.fd(), spans, flags & FLAGS, to.as_deref())
    });
    if flags & NOSIGNAL != 0 {
        sent
    } else {
        context.broken_pipe(sent)
    }
}

fn recvfrom(context: &Context<'_>, [fd, at, len, flags, from, from_len]: [u64; 6]) -> Answer {
    let descriptor = a_socket(context, fd)?;
    let spans = context.buffer(at, len, Access::Write)?;
    let (got, peer, _) = host::receive(descriptor.fd(), &spans, int(flags) & FLAGS)?;
    tell(context, &peer, (from, from_len))?;
    Ok(got)
}

/// The buffers of a `struct msghdr`.
fn message<'a>(
    context: &Context<'a>,
    header: &[u8; 56],
    access: Access,
) -> Result<Vec<host::Span<'a>>, Errno> {
    let count = word_at(header, 24);
    if count > 1024 {
        return Err(Errno::EMSGSIZE);
    }
    context.buffers(word_at(header, 16), count, access)
}

fn sendmsg(context: &Context<'_>, [fd, at, flags, ..]: [u64; 6]) -> Answer {
    let descriptor = a_socket(context, fd)?;
    let header: [u8; 56] = context.memory().read_array(at)?;
    let spans = message(context, &header, Access::Read)?;
    if word_at(&header, 40) != 0 {
        // Control data could pass descriptors of the host.
        return Err(Errno::EINVAL);
    }
    let to = (word_at(&header, 0), low(word_at(&header, 8)).into());
    send(context, &descriptor, &spans, int(flags), to)
}

fn recvmsg(context: &Context<'_>, [fd, at, flags, ..]: [u64; 6]) -> Answer {
    let descriptor = a_socket(context, fd)?;
    let header: [u8; 56] = context.memory().read_array(at)?;
    let spans = message(context, &header, Access::Write)?;
    let (got, peer, flags) = host::receive(descriptor.fd(), &spans, int(flags) & FLAGS)?;
    tell(context, &peer, (word_at(&header, 0), at + 8))?;
    // No control data, and the flags.
    context.memory().write(at + 40, &0_u64.to_le_bytes())?;
    context.memory().write(at + 48, &flags.to_le_bytes())?;
    Ok(got)
}

/// Options whose value is a number or a time. Others carry pointers or descriptors, or need rights.
fn is_plain(level: i32, name: i32) -> bool {
    match level {
        // SOL_SOCKET: addresses, type, error, sizes, keep-alive, linger, low-water marks, times, accepting, protocol.
        1 => matches!(
            name,
            2 | 3 | 4 | 6 | 7 | 8 | 9 | 13 | 15 | 18 | 19 | 20 | 21 | 30 | 38 | 39
        ),
        // IPPROTO_IP: type of service, time to live.
        0 => matches!(name, 1 | 2),
        // IPPROTO_TCP: no delay, segment size, cork, keep-alive, retries, linger, deferral, information, acks, time-out.
        6 => matches!(name, 1..=9 | 11 | 12 | 18 | 23),
        // IPPROTO_IPV6: only version 6.
        41 => name == 26,
        _ => false,
    }
}

fn setsockopt(context: &Context<'_>, [fd, level, name, at, len, _]: [u64; 6]) -> Answer {
    let descriptor = a_socket(context, fd)?;
    let (level, name) = (int(level), int(name));
    if !is_plain(level, name) {
        return Err(Errno::ENOPROTOOPT);
    }
    if len > 64 {
        return Err(Errno::EINVAL);
    }
    let mut value = vec![0; size(len)];
    context.memory().read(at, &mut value)?;
    host::set_option(descriptor.fd(), level, name, &value)
}

fn getsockopt(context: &Context<'_>, [fd, level, name, at, len_at, _]: [u64; 6]) -> Answer {
    let descriptor = a_socket(context, fd)?;
    let (level, name) = (int(level), int(name));
    if !is_plain(level, name) {
        return Err(Errno::ENOPROTOOPT);
    }
    let room = context.memory().read_u32(len_at)?;
    if int(room.into()) < 0 {
        return Err(Errno::EINVAL);
    }
    let room = size(room.min(64).into());
    let value = host::get_option(descriptor.fd(), level, name, room)?;
    context.memory().write(at, &value)?;
    context
        .memory()
        .write(len_at, &low(wide(value.len())).to_le_bytes())?;
    Ok(0)
}
