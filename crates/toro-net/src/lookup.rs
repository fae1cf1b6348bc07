//! [`lookup`]: the addresses of a name, from the command line, from memory, or from a name server.
//!
//! Each question goes out from a socket of its own: its random port and its random number are what an answer must know
//! besides the server's address (RFC 5452, 9.2). An answer that was cut is asked for again over TCP.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use embedded_io_async::{Read as _, Write};
use toro_sched::task;
use toro_time::Instant;

use crate::dns::{self, Answer, Flaw, Kind, Name};
use crate::error::ConnectError;
use crate::names;
use crate::poll::with_stack;
use crate::tcp::TcpStream;
use crate::udp::UdpSocket;

/// How long a server has for its answer, each time it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often all servers are asked.
const ROUNDS: usize = 3;
/// Answers to other questions that are passed over before a server counts as silent: somebody guesses.
const FOREIGN: usize = 32;
/// Names that lead to another.
const LINKS: usize = 8;
/// The longest message (RFC 1035, 4.2.1): servers are not told of a longer one.
const MESSAGE_LEN: usize = 512;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// It is not a name: labels of letters, digits and hyphens, with dots between.
    BadName,
    /// There is no such name, or it has no address.
    NotFound,
    /// No server has answered.
    TimedOut,
    /// The servers cannot say, or their answers make no sense.
    Failed,
    /// Nobody can be asked.
    NoServer,
    /// The word `dns=` of the command line is not a list of addresses.
    BadServer,
    /// This core has no network.
    NoStack,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadName => "not a name",
            Self::NotFound => "no such name, or it has no address",
            Self::TimedOut => "the name servers do not answer",
            Self::Failed => "the name servers cannot say",
            Self::NoServer => {
                "no name server is known: DHCP has named none; say dns=ADDRESS on the command line"
            }
            Self::BadServer => "dns= is not a list of addresses, as in dns=10.0.2.3,10.0.2.4:53",
            Self::NoStack => "this core has no network",
        })
    }
}

impl core::error::Error for LookupError {}

/// Finds the addresses of `name`, or the one that it says itself; waits for the answer, less than a minute for each name
/// that it leads to. A name without dots is looked for in the domains that DHCP has named first. Addresses of IPv6 are asked for only where there are none of IPv4.
///
/// `hosts=NAME:ADDRESS` on the command line comes first, then answers that are still true, then the servers of `dns=`,
/// or else those that DHCP has named.
///
/// # Errors
/// Says why there is none.
pub fn lookup(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    toro_sched::block_on_for("network", looked_up(name))
}

/// As [`lookup`], for futures.
///
/// # Errors
/// Says why there is none.
pub async fn looked_up(text: &str) -> Result<Vec<IpAddr>, LookupError> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let name = Name::parse(text).ok_or(LookupError::BadName)?;
    let hosts = with_stack(|stack| stack.config.hosts).ok_or(LookupError::NoStack)?;
    let given = names::given(hosts, &name);
    if !given.is_empty() {
        return Ok(given);
    }
    for name in searched(text, name) {
        match found(&name).await {
            Err(LookupError::NotFound) => {}
            outcome => return outcome,
        }
    }
    Err(LookupError::NotFound)
}

/// The names to try for `text`: one without dots in each of the domains that DHCP has named, and then as it is.
fn searched(text: &str, name: Name) -> Vec<Name> {
    let mut names = Vec::new();
    if !text.contains('.') {
        let domains = with_stack(|stack| stack.addresses().map(|it| it.lease.search())).flatten();
        let whole = |domain| Name::parse(&format!("{text}.{domain}"));
        names.extend(domains.unwrap_or_default().into_iter().filter_map(whole));
    }
    names.push(name);
    names
}

/// Asks for the addresses of `name`.
async fn found(name: &Name) -> Result<Vec<IpAddr>, LookupError> {
    for kind in [Kind::A, Kind::Aaaa] {
        let addresses = resolve(name, kind).await?;
        if !addresses.is_empty() {
            return Ok(addresses);
        }
    }
    Err(LookupError::NotFound)
}

/// Follows `name` to its addresses of that kind, through the names that it leads to.
async fn resolve(name: &Name, kind: Kind) -> Result<Vec<IpAddr>, LookupError> {
    let known = with_stack(|stack| stack.find_name(Instant::now(), name, kind));
    if let Some(addresses) = known.ok_or(LookupError::NoStack)? {
        return Ok(addresses);
    }
    let servers = servers()?;
    let mut current = name.clone();
    let mut lifetime: Option<u32> = None;
    for _ in 0..LINKS {
        let answer = match ask_all(&servers, &current, kind).await {
            Err(LookupError::NotFound) => Answer {
                addresses: Vec::new(),
                alias: None,
                lifetime: None,
            },
            answer => answer?,
        };
        lifetime = lifetime.into_iter().chain(answer.lifetime).min();
        match answer.alias {
            Some(alias) => current = alias,
            None => {
                let (name, addresses) = (name.clone(), answer.addresses.clone());
                with_stack(|stack| {
                    stack.remember_name(Instant::now(), name, kind, addresses, lifetime);
                });
                return Ok(answer.addresses);
            }
        }
    }
    Err(LookupError::Failed)
}

fn servers() -> Result<Vec<SocketAddr>, LookupError> {
    let (words, named) = with_stack(|stack| {
        let addresses = stack.addresses();
        let named = addresses.map_or(Vec::new(), |addresses| addresses.dns.clone());
        let named = named.into_iter().map(IpAddr::V4);
        let others = stack.servers_v6().into_iter().map(IpAddr::V6);
        (stack.config.dns, named.chain(others).collect::<Vec<_>>())
    })
    .ok_or(LookupError::NoStack)?;
    let mut servers = names::parse_servers(words).map_err(|_| LookupError::BadServer)?;
    if servers.is_empty() {
        servers.extend(
            named
                .into_iter()
                .map(|server| SocketAddr::from((server, 53))),
        );
    }
    if servers.is_empty() {
        return Err(LookupError::NoServer);
    }
    Ok(servers)
}

/// Asks one server after the other, some times.
async fn ask_all(servers: &[SocketAddr], name: &Name, kind: Kind) -> Result<Answer, LookupError> {
    let mut outcome = LookupError::TimedOut;
    for _ in 0..ROUNDS {
        for server in servers {
            match task::timeout(PATIENCE, ask(*server, name, kind)).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(Flaw::NoSuchName)) => return Err(LookupError::NotFound),
                Some(Err(_)) => outcome = LookupError::Failed,
                None => {}
            }
        }
    }
    Err(outcome)
}

/// Asks `server` once.
async fn ask(server: SocketAddr, name: &Name, kind: Kind) -> Result<Answer, Flaw> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).map_err(|_| Flaw::Failed)?;
    socket.connect(server);
    let id = with_stack(|stack| stack.draw_number()).ok_or(Flaw::Failed)?;
    let question = dns::question(id, name, kind);
    socket.send(&question).map_err(|_| Flaw::Failed)?;
    let mut message = [0; MESSAGE_LEN];
    for _ in 0..FOREIGN {
        let received = socket.received_from(&mut message).await;
        let (len, _) = received.map_err(|_| Flaw::Failed)?;
        match dns::read(&message[..len], id, name, kind) {
            Err(Flaw::Foreign) => {}
            Err(Flaw::Cut) => return ask_over_tcp(server, id, &question, name, kind).await,
            answer => return answer,
        }
    }
    Err(Flaw::Foreign)
}

/// Asks `server` over a connection, where messages begin with their length (RFC 1035, 4.2.2).
async fn ask_over_tcp(
    server: SocketAddr,
    id: u16,
    question: &[u8],
    name: &Name,
    kind: Kind,
) -> Result<Answer, Flaw> {
    let stream = TcpStream::connected(server).await;
    let stream = stream.map_err(|_| Flaw::Failed)?;
    let mut connection = &stream;
    let len = u16::try_from(question.len()).map_err(|_| Flaw::Failed)?;
    let message = [&len.to_be_bytes()[..], question].concat();
    let sent = Write::write_all(&mut connection, &message).await;
    sent.map_err(|_| Flaw::Failed)?;
    let mut len = [0; 2];
    let read = connection.read_exact(&mut len).await;
    read.map_err(|_| Flaw::Failed)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    let read = connection.read_exact(&mut message).await;
    read.map_err(|_| Flaw::Failed)?;
    dns::read(&message, id, name, kind)
}

/// Why no connection to a name could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectToError {
    /// The name has no address.
    Lookup(LookupError),
    /// None of its addresses takes connections; what the last one said.
    Connect(ConnectError),
}

impl fmt::Display for ConnectToError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConnectToError {}

impl TcpStream {
    /// Connects to a port of the machine called `name`: to its addresses one after the other, each for at most `timeout`.
    ///
    /// # Errors
    /// Fails if the name has no address, or none of them takes the connection.
    pub fn connect_to(name: &str, port: u16, timeout: Duration) -> Result<Self, ConnectToError> {
        toro_sched::block_on_for("network", Self::connected_to(name, port, timeout))
    }

    /// As [`connect_to`](Self::connect_to), for futures.
    ///
    /// # Errors
    /// Fails if the name has no address, or none of them takes the connection.
    pub async fn connected_to(
        name: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Self, ConnectToError> {
        let addresses = looked_up(name).await.map_err(ConnectToError::Lookup)?;
        let mut last = ConnectError::Unreachable;
        for address in addresses {
            let connecting = Self::connected(SocketAddr::new(address, port));
            match task::timeout(timeout, connecting).await {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = error,
                None => last = ConnectError::TimedOut,
            }
        }
        Err(ConnectToError::Connect(last))
    }
}
