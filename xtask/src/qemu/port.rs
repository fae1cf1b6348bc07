//! [`Forward`]: a port of the host that leads to a port of the guest.

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, SockAddr, Socket, Type};

/// What keeps others from the ports of [`Forward::from_free_port`]: sockets that are bound and do not listen. They are closed with this program.
static KEPT: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// `HOST:GUEST`, as in `8080:80`, with `/udp` behind it for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) host: u16,
    pub(crate) guest: u16,
    pub(crate) udp: bool,
}

/// The text is no forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseForwardError(String);

impl fmt::Display for ParseForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not HOST:GUEST as in 8080:80", self.0)
    }
}

impl std::error::Error for ParseForwardError {}

impl FromStr for Forward {
    type Err = ParseForwardError;

    fn from_str(text: &str) -> Result<Self, ParseForwardError> {
        let (ports, udp) = match text.strip_suffix("/udp") {
            Some(ports) => (ports, true),
            None => (text.strip_suffix("/tcp").unwrap_or(text), false),
        };
        let port = |text: &str| text.parse().ok().filter(|&port| port != 0);
        ports
            .split_once(':')
            .and_then(|(host, guest)| {
                Some(Self {
                    host: port(host)?,
                    guest: port(guest)?,
                    udp,
                })
            })
            .ok_or_else(|| ParseForwardError(text.to_owned()))
    }
}

impl Forward {
    /// To port `guest` of the guest from a port that nothing on this host uses, nor will until this program ends: it may be long before QEMU takes it,
    /// and whoever got it meanwhile would answer in its place. QEMU, and who else asks for exactly this port, can have it.
    pub(crate) fn from_free_port(guest: u16) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&SockAddr::from(any))?;
        let bound = socket.local_addr()?.as_socket();
        let host = bound.context("a socket of IPv4 has a port")?.port();
        KEPT.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket);
        Ok(Self {
            host,
            guest,
            udp: false,
        })
    }

    /// The piece of QEMU's `-netdev user`.
    pub(crate) fn qemu(&self) -> String {
        let protocol = if self.udp { "udp" } else { "tcp" };
        format!(
            ",hostfwd={protocol}:127.0.0.1:{}-:{}",
            self.host, self.guest
        )
    }

    /// Fails if something on this host has the port already.
    pub(crate) fn check_free(&self) -> Result<()> {
        let address = ("127.0.0.1", self.host);
        let bound = if self.udp {
            UdpSocket::bind(address).map(drop)
        } else {
            TcpListener::bind(address).map(drop)
        };
        let (host, guest) = (self.host, self.guest);
        match bound {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "port {host} of this machine is in use; end the program that has it, or choose another: \
                 --port {}:{guest}",
                if host < u16::MAX { host + 1 } else { 8080 }
            ),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
                "only root may listen on port {host}; choose one above 1023: --port 8080:{guest}"
            ),
            Err(error) => bail!("cannot listen on port {host} of this machine: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::Forward;

    fn check(text: &str, expected: Option<(u16, u16, bool)>) {
        let forward = text.parse::<Forward>().ok();
        assert_eq!(
            forward.map(|f| (f.host, f.guest, f.udp)),
            expected,
            "{text}"
        );
    }

    #[test]
    fn forwards_are_read_as_they_are_written() {
        check("8080:80", Some((8080, 80, false)));
        check("53:53/udp", Some((53, 53, true)));
        check("1:2/tcp", Some((1, 2, false)));
        for text in [
            "", "80", "80:", ":80", "a:80", "80:70000", "0:80", "1:2/sctp", "1:2:3",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_free_port_is_nobody_else_s_and_can_be_taken() {
        let forward = Forward::from_free_port(80).unwrap();
        for _ in 0..100 {
            assert_ne!(Forward::from_free_port(80).unwrap().host, forward.host);
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            assert_ne!(other.local_addr().unwrap().port(), forward.host);
        }
        forward.check_free().unwrap();
        let taken = TcpListener::bind(("127.0.0.1", forward.host)).unwrap();
        forward.check_free().unwrap_err();
        drop(taken);
    }

    #[test]
    fn a_port_in_use_is_named_with_a_remedy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().port();
        let forward = Forward {
            host,
            guest: 80,
            udp: false,
        };
        let text = forward.check_free().unwrap_err().to_string();
        assert!(
            text.contains(&host.to_string()) && text.contains("--port"),
            "{text}"
        );
        drop(listener);
        forward.check_free().unwrap();
    }
}
