//! Handshakes: listeners, backlogs, refusals, and connections that this side begins.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use smoltcp::socket::tcp::State;
use toro_net::{BindError, ConnectError, DropReason};
use toro_time::Instant;

use crate::station;
use crate::world::{ADDRESS, World, config};

#[test]
fn an_echo_goes_both_ways() {
    for tx_checksum in [false, true] {
        let mut world = World::with(config(), tx_checksum);
        world.bind(7);
        let (client, server) = world.connected(7);
        world.client.tcp(client).send_slice(b"hello").unwrap();
        world.settle();
        assert_eq!(world.read(server), Poll::Ready(Ok(b"hello".to_vec())));
        assert_eq!(world.write(server, b"hello yourself"), Poll::Ready(Ok(14)));
        world.settle();
        assert_eq!(world.client_reads(client), b"hello yourself");
        assert_eq!(world.stack.stats().retransmits, 0);
    }
}

#[test]
fn data_that_arrives_before_accept_is_kept() {
    let mut world = World::new();
    world.bind(80);
    let client = world.client.connect((ADDRESS, 80));
    world.settle();
    world.client.tcp(client).send_slice(b"early").unwrap();
    world.client.tcp(client).close();
    world.settle();
    let server = world.accept(80).unwrap();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"early".to_vec())));
    assert_eq!(world.read(server), Poll::Ready(Ok(vec![])));
}

#[test]
fn a_port_without_a_listener_is_refused() {
    let mut world = World::new();
    let client = world.client.connect((ADDRESS, 81));
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
    assert_eq!(world.stack.stats().refused, 1);
}

#[test]
fn a_handshake_ends_when_the_backlog_has_room_again() {
    let mut config = config();
    config.limits.backlog = 1;
    let mut world = World::with(config, false);
    world.bind(80);
    let clients: Vec<_> = (0..3)
        .map(|_| world.client.connect((ADDRESS, 80)))
        .collect();
    world.settle();
    assert_eq!(
        (world.stack.stats().open, world.stack.stats().half_open),
        (1, 2)
    );
    let mut accepted = 0;
    while accepted < clients.len() {
        while world.accept(80).is_some() {
            accepted += 1;
        }
        world.pass(Duration::from_secs(4));
        assert!(
            world.now < Instant::ZERO + Duration::from_secs(15),
            "{accepted}"
        );
    }
    for client in clients {
        assert_eq!(world.client_state(client), State::Established);
    }
    assert_eq!(world.stack.stats().refused, 0);
}

#[test]
fn a_full_backlog_drops_requests_and_never_resets_them() {
    let mut config = config();
    config.limits.backlog = 2;
    let mut world = World::with(config, false);
    world.bind(80);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(world.client.connect((ADDRESS, 80)));
        world.settle();
    }
    assert_eq!(world.client_state(clients[0]), State::Established);
    assert_eq!(
        world.client_state(clients[2]),
        State::SynSent,
        "neither answered nor refused"
    );
    assert_eq!(world.stack.stats().dropped(DropReason::BacklogFull), 1);
    assert!(world.accept(80).is_some());
    world.pass(Duration::from_secs(3));
    assert_eq!(
        world.client_state(clients[2]),
        State::Established,
        "there was room in the end"
    );
}

#[test]
fn a_repeated_syn_makes_no_second_connection() {
    let mut world = World::new();
    world.bind(80);
    world.client.connect((ADDRESS, 80));
    let mut syn = None;
    for _ in 0..4 {
        world.client.poll(smoltcp::time::Instant::from_millis(10));
        while let Some(frame) = world.client.port.sent.pop_front() {
            if frame[12..14] == [8, 0] {
                syn = Some(frame);
            } else {
                world.inject(frame);
            }
        }
        for frame in world.stack_turn() {
            world.client.port.received.push_back(frame);
        }
    }
    let syn = syn.unwrap();
    for _ in 0..5 {
        world.inject(syn.clone());
    }
    let answers = world.stack_turn();
    assert_eq!(world.stack.stats().half_open, 1);
    assert_eq!(
        answers.len(),
        5,
        "each is answered, in case the answer was lost"
    );
    assert!(
        answers.windows(2).all(|two| two[0] == two[1]),
        "with the same numbers"
    );
}

#[test]
fn a_request_that_is_never_completed_is_answered_again_and_then_forgotten() {
    let mut world = World::new();
    world.bind(80);
    world.client.connect((ADDRESS, 80));
    while world.stack.stats().half_open == 0 {
        world.turn();
    }
    // From here on the client hears nothing.
    world.client = crate::station::Station::new();
    world.flight.weather.lose = 1000;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.stack.stats().half_open, 1);
    let sent = world.stack.stats().frames_out;
    assert!(
        sent >= 4,
        "the SYN|ACK goes out after 1, 3 and 7 seconds: {sent}"
    );
    world.pass(Duration::from_secs(10));
    assert_eq!(world.stack.stats().half_open, 0);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn a_port_is_bound_once_and_free_again_after_unbind() {
    let mut world = World::new();
    let address = SocketAddrV4::new([0, 0, 0, 0].into(), 80);
    assert_eq!(world.stack.bind(address), Ok(address));
    assert_eq!(world.stack.bind(address), Err(BindError::PortInUse));
    let elsewhere = SocketAddrV4::new([10, 9, 9, 9].into(), 81);
    assert_eq!(world.stack.bind(elsewhere), Err(BindError::NotOurAddress));
    world.stack.unbind(world.now, 80);
    assert_eq!(world.stack.bind(address), Ok(address));
    let free = world
        .stack
        .bind(SocketAddrV4::new([0, 0, 0, 0].into(), 0))
        .unwrap();
    assert!(free.port() >= 32_768);
}

#[test]
fn connections_that_nobody_accepted_are_reset_with_their_listener() {
    let mut world = World::new();
    world.bind(80);
    let client = world.client.connect((ADDRESS, 80));
    world.settle();
    world.stack.unbind(world.now, 80);
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn this_side_connects() {
    let mut world = World::new();
    let listener = world.client.listen(9000);
    let peer = SocketAddrV4::new(station::ADDRESS, 9000);
    let id = world.stack.connect(world.now, peer).unwrap();
    assert_eq!(world.stack.poll_connected(id, Waker::noop()), Poll::Pending);
    world.settle();
    assert_eq!(
        world.stack.poll_connected(id, Waker::noop()),
        Poll::Ready(Ok(()))
    );
    assert_eq!(world.write(id, b"ping"), Poll::Ready(Ok(4)));
    world.settle();
    assert_eq!(world.client_reads(listener), b"ping");
    assert_eq!(world.stack.peer_addr(id), Some(peer.into()));
    assert_eq!(world.stack.stats().connected, 1);
}

#[test]
fn a_connection_of_this_side_outlives_the_time_for_its_handshake() {
    let mut world = World::new();
    let listener = world.client.listen(9000);
    let peer = SocketAddrV4::new(station::ADDRESS, 9000);
    let id = world.stack.connect(world.now, peer).unwrap();
    world.pass(config().times.connect * 3);
    assert_eq!(world.write(id, b"still here"), Poll::Ready(Ok(10)));
    world.settle();
    assert_eq!(world.client_reads(listener), b"still here");
}

#[test]
fn a_refused_connect_says_so() {
    let mut world = World::new();
    let id = world
        .stack
        .connect(world.now, SocketAddrV4::new(station::ADDRESS, 9))
        .unwrap();
    world.settle();
    let outcome = world.stack.poll_connected(id, Waker::noop());
    assert_eq!(outcome, Poll::Ready(Err(ConnectError::Refused)));
    world.stack.close(world.now, id);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn a_connect_that_is_not_answered_times_out() {
    let mut world = World::new();
    world.flight.weather.lose = 1000;
    let nobody = SocketAddrV4::new([10, 0, 2, 77].into(), 9);
    let id = world.stack.connect(world.now, nobody).unwrap();
    world.pass(Duration::from_secs(29));
    assert_eq!(world.stack.poll_connected(id, Waker::noop()), Poll::Pending);
    world.pass(Duration::from_secs(2));
    let outcome = world.stack.poll_connected(id, Waker::noop());
    assert_eq!(outcome, Poll::Ready(Err(ConnectError::TimedOut)));
}

#[test]
fn a_peer_that_appears_late_is_reached_when_it_answers_arp() {
    let mut world = World::new();
    world.flight.weather.lose = 1000;
    let listener = world.client.listen(9000);
    let peer = SocketAddrV4::new(station::ADDRESS, 9000);
    let id = world.stack.connect(world.now, peer).unwrap();
    world.pass(Duration::from_secs(5));
    world.flight.weather.lose = 0;
    world.pass(Duration::from_millis(1100));
    assert_eq!(world.client_state(listener), State::Established);
    assert_eq!(
        world.stack.poll_connected(id, Waker::noop()),
        Poll::Ready(Ok(()))
    );
}

#[test]
fn peers_that_never_answer_arp_leave_nothing_behind() {
    let mut world = World::new();
    world.flight.weather.lose = 1000;
    for host in 100..200 {
        let nobody = SocketAddrV4::new([10, 0, 2, host].into(), 9);
        let id = world.stack.connect(world.now, nobody).unwrap();
        world.pass(Duration::from_secs(2));
        world.stack.close(world.now, id);
    }
    world.pass(Duration::from_secs(200));
    assert_eq!(world.stack.stats().open, 0);
    assert_eq!(world.stack.next_deadline(), None);
}

struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell(AtomicUsize::new(0)));
    (Arc::clone(&bell), Waker::from(bell))
}

#[test]
fn one_connection_wakes_one_acceptor() {
    let mut world = World::new();
    world.bind(80);
    let (one, one_waker) = bell();
    let (two, two_waker) = bell();
    let (mut first, mut second) = (None, None);
    assert!(world.stack.accept(80, &mut first, &one_waker).is_pending());
    assert!(world.stack.accept(80, &mut second, &two_waker).is_pending());
    world.client.connect((ADDRESS, 80));
    world.settle();
    assert_eq!(
        (one.0.load(Ordering::Relaxed), two.0.load(Ordering::Relaxed)),
        (1, 0)
    );
    // The first gives up without taking the connection: its wake-up goes to the second.
    world.stack.leave_line(80, first.unwrap());
    assert_eq!(two.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_reader_is_woken_by_data_and_not_by_acknowledgements() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let (reader, waker) = bell();
    let mut buffer = [0; 16];
    assert!(world.stack.read(server, &mut buffer, &waker).is_pending());
    assert_eq!(
        world.write(server, b"to be acknowledged"),
        Poll::Ready(Ok(18))
    );
    world.settle();
    assert_eq!(reader.0.load(Ordering::Relaxed), 0);
    world.client.tcp(client).send_slice(b"x").unwrap();
    world.settle();
    assert_eq!(reader.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_listener_keeps_to_its_limit() {
    let mut world = World::new();
    world.bind(80);
    world.stack.limit(80, None, Some(2));
    let (_, first) = world.connected(80);
    let (second, _) = world.connected(80);
    let third = world.client.connect((ADDRESS, 80));
    world.settle();
    assert_eq!(world.client_state(third), State::SynSent);
    let dropped = world
        .stack
        .stats()
        .dropped(toro_net::DropReason::BacklogFull);
    assert!(dropped > 0, "the request was dropped, not refused");
    // A place becomes free, and the request comes again by itself.
    world.stack.abort(world.now, first);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.client_state(third), State::Established);
    assert_eq!(world.client_state(second), State::Established);
}
