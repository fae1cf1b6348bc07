//! Connections and listeners of threads.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use toro::net::{AcceptError, ReadError, Shutdown, TcpListener, TcpStream, WriteError};
use toro::thread;
use toro::time::Instant;

use crate::peer::{self, CALLED, PATIENCE, connect, text};

fn read_exactly(stream: &TcpStream, mut buffer: &mut [u8]) {
    while !buffer.is_empty() {
        let len = stream.read(buffer).expect("the peer is alive");
        assert!(len > 0, "the stream has ended {} bytes early", buffer.len());
        buffer = &mut buffer[len..];
    }
}

pub(crate) fn an_echo_comes_back() {
    let stream = connect("echo");
    let (text, mut back) = (text(1, 6000), [0; 6000]);
    stream.write_all(&text).expect("the peer reads");
    read_exactly(&stream, &mut back);
    assert_eq!(text[..], back[..]);
    stream.shutdown(Shutdown::Write);
    assert_eq!(stream.read(&mut back), Ok(0));
}

pub(crate) fn a_stream_that_is_not_to_wait_says_so() {
    let stream = connect("echo");
    stream.set_nonblocking(true);
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte), Err(ReadError::WouldBlock));
    stream.write_all(b"x").expect("there is room");
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        match stream.read(&mut byte) {
            Err(ReadError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            answer => break answer,
        }
    };
    assert_eq!((answer, byte), (Ok(1), *b"x"));

    // Until the rings of both sides are full; the network has no turn meanwhile.
    let full = loop {
        match stream.write(&[0; 1000]) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(full, WriteError::WouldBlock);
    stream.set_nonblocking(false);
    assert_eq!(stream.read(&mut byte), Ok(1), "it waits again");
}

pub(crate) fn a_listener_that_is_not_to_wait_says_so() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CALLED)).expect("the port is free");
    listener.set_nonblocking(true);
    assert_eq!(listener.accept().err(), Some(AcceptError::WouldBlock));
    let control = connect("call");
    control.write_all(b"1\n").expect("the peer reads");
    let deadline = Instant::now() + PATIENCE;
    let (stream, _) = loop {
        match listener.accept() {
            Err(AcceptError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            accepted => break accepted.expect("the peer calls"),
        }
    };
    let mut bytes = [0; 2000];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..len]).expect("the peer reads");
    }
    drop(stream);
    let mut answer = [0; 3];
    read_exactly(&control, &mut answer);
    assert_eq!(answer, *b"ok\n");
}

pub(crate) fn what_can_be_set_is_kept() {
    let stream = connect("echo");
    assert_eq!(stream.peer_addr(), peer::address("echo"));
    let own = toro::net::addresses()
        .expect("the machine has an address")
        .ip;
    assert_eq!(stream.local_addr().ip(), own);
    assert_ne!(stream.local_addr(), SocketAddr::from((own, 0)));
    assert!(stream.nodelay());
    stream.set_nodelay(false);
    assert!(!stream.nodelay());
    assert_eq!(stream.linger(), None);
    stream.set_linger(Some(Duration::ZERO));
    assert_eq!(stream.linger(), Some(Duration::ZERO));
    stream.set_keepalive(Some(Duration::from_secs(5)));
    assert_eq!(stream.take_error(), None);
    stream.write_all(b"still alive").expect("the peer reads");
    read_exactly(&stream, &mut [0; 11]);
}

pub(crate) fn a_drop_that_lingers_has_delivered() {
    let stream = connect("echo");
    stream.set_linger(Some(PATIENCE));
    let (sent, open) = (text(3, 3000), toro::net::stats().open);
    stream.write_all(&sent).expect("the peer reads");
    // The echo is read, so that nothing unread makes a reset of the end.
    read_exactly(&stream, &mut [0; 3000]);
    stream.write_all(b"").expect("nothing takes no room");
    drop(stream);
    let deadline = Instant::now() + PATIENCE;
    while toro::net::stats().open >= open && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(toro::net::stats().open < open, "the connection is over");
}
