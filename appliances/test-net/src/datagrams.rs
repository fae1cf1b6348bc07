//! UDP and pings.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use alloc::vec::Vec;

use toro::net::{PingError, ReceiveError, UdpSocket};
use toro::task::{self, timeout};
use toro::thread;
use toro::time::Instant;

use crate::peer::{HOST, PATIENCE, address, text};

/// A datagram may be lost, even here: so long is waited before it is sent again.
const AGAIN: Duration = Duration::from_secs(3);

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free")
}

/// Sends `sent` again and again until it comes back.
fn exchange(socket: &UdpSocket, sent: &[u8], to: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    let mut back = [0; 2000];
    socket.set_read_timeout(Some(AGAIN));
    while Instant::now() < deadline {
        socket.send_to(sent, to).expect("there is a route");
        match socket.recv_from(&mut back) {
            Ok((len, from)) => {
                assert_eq!(from, to);
                assert!(back[..len] == *sent, "another datagram came back");
                return;
            }
            Err(error) => assert_eq!(error, ReceiveError::TimedOut),
        }
    }
    panic!("no datagram has come back");
}

pub(crate) fn a_datagram_comes_back() {
    for len in [1, 2, 1471, 1472] {
        // One each: a late answer must not be taken for the next.
        let socket = socket();
        assert_ne!(socket.local_addr().port(), 0);
        exchange(&socket, &text(len, len), address("udp"));
    }
}

pub(crate) fn a_socket_that_is_not_to_wait_says_so() {
    let socket = socket();
    socket.connect(address("udp"));
    assert_eq!(socket.peer_addr(), Some(address("udp")));
    socket.set_nonblocking(true);
    let mut back = [0; 8];
    assert_eq!(socket.recv(&mut back), Err(ReceiveError::WouldBlock));
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        socket.send(b"here").expect("there is a route");
        thread::sleep(Duration::from_millis(20));
        match socket.recv(&mut back) {
            Err(ReceiveError::WouldBlock) if Instant::now() < deadline => {}
            answer => break answer,
        }
    };
    assert_eq!((answer, &back[..4]), (Ok(4), &b"here"[..]));
}

pub(crate) fn a_receive_gives_up_in_time() {
    let socket = socket();
    socket.set_read_timeout(Some(Duration::from_millis(20)));
    assert_eq!(socket.recv(&mut [0; 8]), Err(ReceiveError::TimedOut));
}

pub(crate) fn tasks_exchange_datagrams() {
    let one = |seed: usize| async move {
        let socket = socket();
        let sent = text(seed, 600);
        let mut back = [0; 600];
        loop {
            let to = address("udp");
            socket.send_to(&sent, to).expect("there is a route");
            let received = timeout(AGAIN, socket.received_from(&mut back)).await;
            if let Some(received) = received {
                assert_eq!(received, Ok((600, to)));
                assert!(back[..] == sent[..], "another datagram came back");
                return;
            }
        }
    };
    let tasks: Vec<_> = (0..8)
        .map(|seed| task::spawn(timeout(PATIENCE, one(seed))))
        .collect();
    for task in tasks {
        let done = task.join().expect("the task has not panicked");
        done.expect("no datagram has come back for long");
    }
}

pub(crate) fn the_gateway_answers_a_ping() {
    let deadline = Instant::now() + PATIENCE;
    while toro::net::ping(HOST, AGAIN).is_err() {
        assert!(Instant::now() < deadline, "QEMU's router does not answer");
    }
}

pub(crate) fn nobody_answers_a_ping() {
    let nobody = Ipv4Addr::new(10, 0, 2, 99);
    let answer = toro::net::ping(nobody, Duration::from_millis(50));
    assert_eq!(answer, Err(PingError::TimedOut));
    let far = Ipv4Addr::new(224, 0, 0, 1);
    let answer = toro::net::ping(far, Duration::from_millis(50));
    assert_eq!(answer, Err(PingError::Unreachable));
}
