//! Tests sockets to the host on a machine: the host serves some connections, and makes others when it is asked to.
//!
//! Takes `mib=NUMBER`: how much is sent in one go.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod echo;

use alloc::vec;
use alloc::vec::Vec;

use toro::time::{Duration, Instant};
use toro::vsock::{
    AcceptError, ConnectError, ReadError, Times, VsockAddr, VsockListener, VsockStream,
};
use toro::{devices, thread, vsock};
use toro_abi::session::SocketSession;

use crate::echo::{Echo, serve};

toro::main!(main);

/// The host, where it serves us.
const HOST: VsockAddr = VsockAddr::host(SocketSession::HOST_PORT);
/// As long as a host may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(50);
/// Less than a peer has room for.
const WINDOW: usize = 16 << 10;

fn main() {
    toro_test::run(toro_test::cases![
        a_port_of_the_host_where_nobody_listens_is_an_error,
        a_port_is_bound_once,
        the_host_sends_back_what_it_gets,
        a_slow_host_gets_all,
        all_arrives_at_a_slow_reader,
        the_host_gets_back_what_it_sends,
        the_host_sends_to_a_slow_reader,
        the_host_is_a_slow_reader,
        what_is_sent_before_accept_is_kept,
        many_connections_come,
        many_connections_go,
        a_service_of_the_event_loop_answers,
        nobody_waits_who_is_not_to,
        a_host_that_is_gone_is_an_error,
    ]);
}

/// Runs `body` on the core that owns the device.
fn on_its_core(body: impl FnOnce() + Send + 'static) {
    let core = devices::owner_of("vsock0").expect("the machine has sockets");
    let builder = thread::Builder::new().name("test").stack_size(64 << 10);
    let handle = builder.spawn_on(core, body).expect("a thread");
    handle.join().expect("the body has returned");
}

/// How much is sent in one go.
fn bulk() -> usize {
    let mib = toro::env::args().find_map(|word| word.strip_prefix("mib=")?.parse().ok());
    mib.unwrap_or(2) << 20
}

fn bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(SocketSession::byte).collect()
}

/// Asks the host to do something to a connection of ours.
fn ask(what: u8, len: usize) -> VsockStream {
    let stream = VsockStream::connect(HOST).expect("the host listens");
    stream.set_read_timeout(Some(PATIENCE));
    stream.set_write_timeout(Some(PATIENCE));
    let mut request = vec![what];
    request.extend((len as u64).to_le_bytes());
    stream.write_all(&request).expect("the host reads");
    stream
}

fn send(stream: &VsockStream, len: usize) {
    for from in (0..len).step_by(WINDOW) {
        let part = bytes(from, WINDOW.min(len - from));
        stream.write_all(&part).expect("the host reads");
    }
}

/// Reads so many bytes, and the end of the stream.
fn receive(stream: &VsockStream, len: usize, step: usize) {
    let mut part = vec![0; step];
    let mut done = 0;
    while done < len {
        let read = stream.read(&mut part).expect("the host sends");
        assert!(read > 0 && read <= len - done, "{read} bytes behind {done}");
        assert_eq!(part[..read], bytes(done, read), "behind {done}");
        done += read;
    }
    assert_eq!(stream.read(&mut part), Ok(0));
}

fn a_port_of_the_host_where_nobody_listens_is_an_error() {
    on_its_core(|| {
        // vhost-device-vsock 0.3 leaves the request unanswered.
        let soon = Duration::from_millis(300);
        let connected = VsockStream::connect_timeout(VsockAddr::host(9), soon);
        let error = connected.expect_err("nobody listens");
        assert!(matches!(
            error,
            ConnectError::Refused | ConnectError::TimedOut
        ));
    });
}

fn a_port_is_bound_once() {
    on_its_core(|| {
        let first = VsockListener::bind(5).expect("free");
        VsockListener::bind(5).expect_err("taken");
        let any = VsockListener::bind(0).expect("there are more");
        assert!(any.local_addr().port > 5);
        assert_eq!(Some(first.local_addr().cid), vsock::cid());
        drop(first);
        VsockListener::bind(5).expect("free again");
    });
}

fn the_host_sends_back_what_it_gets() {
    on_its_core(|| {
        let len = bulk();
        let stream = ask(b'e', len);
        let mut back = vec![0; WINDOW];
        for from in (0..len).step_by(WINDOW) {
            let part = bytes(from, WINDOW.min(len - from));
            stream.write_all(&part).expect("the host reads");
            let mut done = 0;
            while done < part.len() {
                done += stream.read(&mut back[done..part.len()]).expect("it sends");
            }
            assert_eq!(back[..part.len()], part, "behind {from}");
        }
        assert_eq!(stream.read(&mut back), Ok(0));
    });
}

fn a_slow_host_gets_all() {
    on_its_core(|| {
        let stream = ask(b'r', bulk());
        send(&stream, bulk());
        assert_eq!(stream.read(&mut [0; 9]), Ok(1));
        assert_eq!(stream.read(&mut [0; 9]), Ok(0));
    });
}

fn all_arrives_at_a_slow_reader() {
    on_its_core(|| {
        let stream = ask(b's', bulk());
        thread::sleep(Duration::from_millis(100));
        receive(&stream, bulk(), 5000);
    });
}

fn the_host_gets_back_what_it_sends() {
    on_its_core(|| {
        let len = bulk();
        let listener = VsockListener::bind(7).expect("free");
        toro::println!("{}", SocketSession::Echo { port: 7, len });
        let (stream, _) = listener.accept().expect("the host comes");
        serve(&stream, len);
    });
}

fn the_host_sends_to_a_slow_reader() {
    on_its_core(|| {
        let len = bulk();
        let listener = VsockListener::bind(7).expect("free");
        toro::println!("{}", SocketSession::Send { port: 7, len });
        let (stream, peer) = listener.accept().expect("the host comes");
        assert_eq!(peer.cid, VsockAddr::HOST);
        thread::sleep(Duration::from_millis(100));
        let mut part = vec![0; 5000];
        let mut done = 0;
        while done < len {
            let read = stream.read(&mut part).expect("the host sends");
            assert_eq!(part[..read], bytes(done, read), "behind {done}");
            done += read;
        }
    });
}

fn the_host_is_a_slow_reader() {
    on_its_core(|| {
        let len = bulk();
        let listener = VsockListener::bind(7).expect("free");
        toro::println!("{}", SocketSession::Receive { port: 7, len });
        let (stream, _) = listener.accept().expect("the host comes");
        send(&stream, len);
        // Gone at once: what was written is delivered all the same.
    });
}

fn what_is_sent_before_accept_is_kept() {
    on_its_core(|| {
        let len = 5000;
        let listener = VsockListener::bind(7).expect("free");
        toro::println!("{}", SocketSession::Echo { port: 7, len });
        while vsock::stats().unread < len {
            thread::sleep(Duration::from_millis(1));
        }
        let (stream, _) = listener.accept().expect("the host has come");
        assert!(stream.can_read());
        serve(&stream, len);
    });
}

fn many_connections_come() {
    on_its_core(|| {
        const COUNT: usize = 60;
        let len = 1000;
        let listener = VsockListener::bind(7).expect("free");
        for _ in 0..COUNT {
            toro::println!("{}", SocketSession::Echo { port: 7, len });
        }
        let serve_one = |_| {
            let (stream, _) = listener.accept().expect("the host comes");
            thread::spawn("echo", move || serve(&stream, len))
        };
        let threads: Vec<_> = (0..COUNT).map(serve_one).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("it was echoed"));
    });
}

fn many_connections_go() {
    on_its_core(|| {
        for len in 0..100 {
            receive(&ask(b's', len), len, 50);
        }
        let streams: Vec<VsockStream> = (0..30).map(|len| ask(b's', len)).collect();
        for (len, stream) in streams.iter().enumerate() {
            receive(stream, len, 50);
        }
    });
}

fn a_service_of_the_event_loop_answers() {
    on_its_core(|| {
        let len = bulk();
        let done = echo::Done::default();
        let serving = vsock::serve(7, Echo::new(len, &done)).expect("free");
        toro::println!("{}", SocketSession::Echo { port: 7, len });
        let small = 3000;
        let other = vsock::serve(8, Echo::new(small, &done)).expect("free");
        for _ in 0..10 {
            let port = other.port();
            toro::println!("{}", SocketSession::Echo { port, len: small });
        }
        while done.get() < 11 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(serving);
    });
}

fn nobody_waits_who_is_not_to() {
    on_its_core(|| {
        let listener = VsockListener::bind(7).expect("free");
        listener.set_nonblocking(true);
        assert_eq!(listener.accept().err(), Some(AcceptError::WouldBlock));
        let stream = ask(b'e', 1);
        stream.set_read_timeout(Some(Duration::from_millis(1)));
        assert_eq!(stream.read(&mut [0]), Err(ReadError::TimedOut));
        stream.set_nonblocking(true);
        assert!(stream.can_write() && !stream.can_read());
        assert_eq!(stream.read(&mut [0]), Err(ReadError::WouldBlock));
        assert_eq!(stream.write(b"x"), Ok(1));
        stream.set_nonblocking(false);
        stream.set_read_timeout(Some(PATIENCE));
        assert_eq!(stream.read(&mut [0]), Ok(1));
        assert_eq!(stream.read(&mut [0]), Ok(0));
    });
}

fn a_host_that_is_gone_is_an_error() {
    on_its_core(|| {
        let start = Instant::now();
        let is_late = || start.elapsed() > PATIENCE;
        // What other cases have left has to be delivered first.
        while vsock::stats().connections > 0 {
            assert!(!is_late(), "connections do not end: {:?}", vsock::stats());
            thread::sleep(Duration::from_millis(1));
        }
        let reading = ask(b'e', 2);
        reading.write_all(b"x").expect("the host reads");
        assert_eq!(reading.read(&mut [0]), Ok(1));
        let writing = ask(b'r', usize::MAX);
        toro::println!("{}", SocketSession::Kill);
        let soon = Duration::from_millis(200);
        vsock::set_times(Times {
            connect: soon,
            probe: soon,
            answer: soon,
            stall: soon,
            ..Times::default()
        });
        let mut done = 0;
        let error = loop {
            match writing.write(&bytes(done, WINDOW)) {
                Ok(len) => done += len,
                Err(error) => break error,
            }
            assert!(!is_late(), "a dead host takes what is sent");
        };
        toro::println!("writing: {error}");
        let error = reading.read(&mut [0]).expect_err("the host is gone");
        toro::println!("reading: {error}");
        let error = loop {
            match VsockStream::connect(HOST) {
                Ok(stream) => drop(stream),
                Err(error) => break error,
            }
            assert!(!is_late(), "a dead host takes connections");
        };
        toro::println!("connecting: {error}");
        // The rest of the machine lives on, and so does the stack.
        VsockListener::bind(7).expect("free");
    });
}
