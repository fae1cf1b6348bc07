//! Tests IPv6 on a machine, with a router that gives it an address: the one of QEMU's user networking.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::net::{Ipv6Addr, SocketAddr};

use toro::net::{self, Addresses6, ConnectError, PingError, TcpListener, TcpStream};
use toro::time::{Duration, Instant};

/// The network of QEMU's router, its address there, and the one of its name server.
const PREFIX: [u16; 4] = [0xfec0, 0, 0, 0];
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 2);
const SERVER: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 3);
/// Nobody is there.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 99);
/// A machine of an emulator may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        a_router_gives_an_address,
        both_kinds_of_addresses_are_there,
        the_router_answers_a_ping,
        nobody_answers_a_ping,
        a_listener_takes_the_port_for_both,
        where_nothing_leads_is_unreachable,
    ]);
}

fn addresses() -> Addresses6 {
    net::wait_for_address6(true, Instant::now() + PATIENCE).expect("the router advertises")
}

fn a_router_gives_an_address() {
    let known = addresses();
    let [link, global] = known.own[..] else {
        panic!("other addresses than two: {known:?}");
    };
    assert!(link.is_unicast_link_local());
    assert_eq!(global.segments()[..4], PREFIX);
    assert_eq!(link.segments()[4..], global.segments()[4..]);
    assert_eq!(global.segments()[5] & 0xff, 0xff, "modified EUI-64");
    assert_eq!(known.routers.len(), 1);
    assert!(known.dns.is_empty() || known.dns == [SERVER]);
    assert_eq!(known.conflicts, 0);
}

fn both_kinds_of_addresses_are_there() {
    let four = net::wait_for_address(Instant::now() + PATIENCE).expect("a server of DHCP answers");
    assert_eq!(four.ip.octets()[..3], [10, 0, 2]);
    net::ping(four.gateway.expect("there is a router"), PATIENCE).expect("it answers");
}

fn the_router_answers_a_ping() {
    addresses();
    net::ping(ROUTER, PATIENCE).expect("it answers");
    // By now its station is known.
    net::ping(ROUTER, PATIENCE).expect("it answers again");
}

fn nobody_answers_a_ping() {
    addresses();
    let answer = net::ping(NOBODY, Duration::from_millis(300));
    assert_eq!(answer, Err(PingError::TimedOut));
}

fn a_listener_takes_the_port_for_both() {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7));
    let listener = TcpListener::bind(any).expect("nobody else is here");
    assert_eq!(listener.local_addr().port(), 7);
}

fn where_nothing_leads_is_unreachable() {
    addresses();
    let own = addresses().own[1];
    for target in [
        own,
        Ipv6Addr::LOCALHOST,
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    ] {
        let refused = TcpStream::connect(SocketAddr::from((target, 7)));
        assert_eq!(refused.err(), Some(ConnectError::Unreachable), "{target}");
    }
}
