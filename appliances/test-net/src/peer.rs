//! The host: where its peers are, and what passes to and fro.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

use toro::net::TcpStream;
use toro::time::{Duration, Instant};

/// Where QEMU lets the host appear.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Nothing takes longer, even where many things happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// The port of this machine that the host calls.
pub(crate) const CALLED: u16 = 7;

/// Waits until the machine has an address.
pub(crate) fn wait_for_network() {
    let addresses = toro::net::wait_for_address(Instant::now() + PATIENCE);
    assert!(addresses.is_some(), "the DHCP server has not answered");
}

/// Where the peer called `name` listens.
pub(crate) fn address(name: &str) -> SocketAddr {
    let port = toro::env::args().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let port = port.and_then(|port| port.parse().ok());
    SocketAddr::from((HOST, port.expect("cargo xtask test names the peers")))
}

/// A connection to the peer called `name`.
pub(crate) fn connect(name: &str) -> TcpStream {
    let stream = TcpStream::connect_timeout(address(name), PATIENCE).expect("the peer listens");
    stream.set_read_timeout(Some(PATIENCE));
    stream.set_write_timeout(Some(PATIENCE));
    stream
}

/// `len` bytes that differ for each `seed`.
pub(crate) fn text(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(0x9e37_79b1 + 2 * seed) >> 11).to_le_bytes()[0])
        .collect()
}
