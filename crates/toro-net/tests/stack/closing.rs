//! How connections end.

use std::task::{Poll, Waker};
use std::time::Duration;

use smoltcp::socket::tcp::State;
use toro_net::{ReadError, Shutdown, WriteError};

use crate::world::{ADDRESS, World, config};

#[test]
fn what_was_written_before_close_arrives_with_the_fin() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let text: Vec<u8> = (0..16 << 10).map(|i| (i % 251) as u8).collect();
    assert_eq!(world.write(server, &text), Poll::Ready(Ok(text.len())));
    world.stack.close(world.now, server);
    let mut received = Vec::new();
    for _ in 0..100 {
        world.turn();
        received.extend(world.client_reads(client));
    }
    assert_eq!(received, text);
    assert_eq!(world.client_state(client), State::CloseWait);
    world.client.tcp(client).close();
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
    assert_eq!(world.stack.stats().open, 0);
    assert_eq!(world.stack.stats().time_wait, 1);
    world.pass(Duration::from_secs(11));
    assert_eq!(world.stack.stats().time_wait, 0);
}

#[test]
fn after_a_half_close_the_other_half_goes_on() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.stack.shutdown(world.now, server, Shutdown::Write);
    world.settle();
    assert_eq!(world.client_state(client), State::CloseWait);
    assert_eq!(
        world.write(server, b"x"),
        Poll::Ready(Err(WriteError::ShutDown))
    );
    world.client.tcp(client).send_slice(b"still here").unwrap();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"still here".to_vec())));
    assert!(world.read(server).is_pending());
    world.client.tcp(client).send_slice(b"last words").unwrap();
    world.client.tcp(client).close();
    world.settle();
    assert_eq!(
        world.stack.stats().time_wait,
        1,
        "no socket is kept for that"
    );
    assert_eq!(world.read(server), Poll::Ready(Ok(b"last words".to_vec())));
    assert_eq!(world.read(server), Poll::Ready(Ok(vec![])));
    world.stack.close(world.now, server);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn the_peer_closes_first() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.client.tcp(client).close();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(vec![])));
    assert_eq!(world.write(server, b"bye"), Poll::Ready(Ok(3)));
    world.stack.close(world.now, server);
    world.settle();
    assert_eq!(world.client_reads(client), b"bye");
    assert_eq!(world.stack.stats().open, 0);
    assert_eq!(world.stack.stats().time_wait, 0, "TIME-WAIT is the peer's");
}

#[test]
fn an_abort_resets_the_peer() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.stack.abort(world.now, server);
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn closing_with_unread_bytes_resets_the_peer() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.client.tcp(client).send_slice(b"unread").unwrap();
    world.settle();
    world.stack.close(world.now, server);
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
}

#[test]
fn bytes_for_a_connection_that_was_let_go_reset_the_peer() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.stack.close(world.now, server);
    world.settle();
    world.client.tcp(client).send_slice(b"too late").unwrap();
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn a_reset_by_the_peer_is_told_to_reader_and_writer() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.client.tcp(client).abort();
    world.settle();
    assert_eq!(
        world.read(server),
        Poll::Ready(Err(ReadError::ConnectionReset))
    );
    assert_eq!(
        world.write(server, b"x"),
        Poll::Ready(Err(WriteError::ConnectionReset))
    );
    assert_eq!(world.stack.stats().reset, 1);
    world.stack.close(world.now, server);
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn a_peer_that_never_closes_does_not_keep_what_was_let_go() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.stack.close(world.now, server);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.stack.stats().open, 1);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.stack.stats().open, 0);
    assert_eq!(world.client_state(client), State::Closed);
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let mut world = World::new();
    world.bind(80);
    let (_, server) = world.connected(80);
    world.flight.weather.lose = 1000;
    world.pass(Duration::from_secs(290));
    assert!(world.read(server).is_pending());
    world.pass(Duration::from_secs(20));
    assert_eq!(
        world.read(server),
        Poll::Ready(Err(ReadError::ConnectionTimedOut))
    );
    assert_eq!(world.stack.stats().timed_out, 1);
}

#[test]
fn an_idle_connection_lives_on_while_its_peer_does() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.pass(Duration::from_secs(3600));
    world.client.tcp(client).send_slice(b"still here").unwrap();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"still here".to_vec())));
}

#[test]
fn orphans_beyond_the_cap_are_reset() {
    let mut config = config();
    config.limits.orphans = 1;
    let mut world = World::with(config, false);
    world.bind(80);
    let pairs: Vec<_> = (0..2).map(|_| world.connected(80)).collect();
    for (_, server) in &pairs {
        world.stack.close(world.now, *server);
    }
    world.settle();
    assert_eq!(world.client_state(pairs[0].0), State::CloseWait);
    assert_eq!(world.client_state(pairs[1].0), State::Closed);
}

#[test]
fn a_tuple_in_time_wait_can_be_used_again() {
    let mut world = World::new();
    world.bind(80);
    for round in 0..5 {
        let client = world.client.connect_from(50_000, (ADDRESS, 80));
        world.settle();
        let server = world
            .accept(80)
            .unwrap_or_else(|| panic!("round {round} was not let in"));
        world.stack.close(world.now, server);
        world.settle();
        world.client.tcp(client).close();
        world.settle();
        assert_eq!(world.stack.stats().time_wait, 1);
        world.client.sockets.remove(client);
    }
}

#[test]
fn a_late_fin_is_acknowledged_from_time_wait() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.stack.close(world.now, server);
    world.settle();
    world.client.tcp(client).close();
    world.client.poll(smoltcp::time::Instant::from_millis(10));
    let fin = world.client.port.sent.pop_front().unwrap();
    world.inject(fin.clone());
    let first = world.stack_turn();
    assert_eq!(world.stack.stats().time_wait, 1);
    world.inject(fin);
    let second = world.stack_turn();
    assert_eq!(first.len(), 1);
    assert_eq!(second.len(), 1);
    assert_eq!(
        first[0][38..46],
        second[0][38..46],
        "the same sequence numbers"
    );
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    let mut config = config();
    config.limits.time_wait = 64;
    let mut world = World::with(config, false);
    world.bind(80);
    for round in 0..2000 {
        let client = world.client.connect((ADDRESS, 80));
        world.settle();
        let server = world.accept(80).expect("each is let in");
        world.client.tcp(client).send_slice(b"GET").unwrap();
        world.settle();
        assert_eq!(
            world.read(server),
            Poll::Ready(Ok(b"GET".to_vec())),
            "round {round}"
        );
        assert!(world.write(server, b"200").is_ready());
        world.stack.close(world.now, server);
        world.settle();
        assert_eq!(world.client_reads(client), b"200");
        world.client.tcp(client).close();
        world.settle();
        world.client.sockets.remove(client);
        let stats = world.stack.stats();
        assert_eq!((stats.open, stats.half_open), (0, 0), "round {round}");
        assert!(stats.time_wait <= 64);
    }
    assert_eq!(world.stack.stats().accepted, 2000);
}

#[test]
fn what_is_delivered_is_told_when_the_peer_has_all() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let text = [7; 9000];
    assert_eq!(world.write(server, &text), Poll::Ready(Ok(text.len())));
    world.stack.shutdown(world.now, server, Shutdown::Write);
    assert!(
        world
            .stack
            .poll_delivered(server, Waker::noop())
            .is_pending()
    );
    world.settle();
    let all = world.stack.poll_delivered(server, Waker::noop());
    assert!(all.is_ready(), "without the peer's own end");
    assert_eq!(world.client_reads(client).len(), text.len());
}

#[test]
fn a_reset_is_told_to_who_asks() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    assert_eq!(world.stack.error(server), None);
    world.client.tcp(client).abort();
    world.settle();
    assert_eq!(world.stack.error(server), Some(ReadError::ConnectionReset));
    assert!(world.stack.can_read(server) && world.stack.can_write(server));
}

#[test]
fn readiness_is_told_without_waiting() {
    let mut world = World::new();
    world.bind(80);
    assert!(!world.stack.can_accept(80));
    let (client, server) = world.connected(80);
    assert!(!world.stack.can_read(server) && world.stack.can_write(server));
    world.client.tcp(client).send_slice(b"x").unwrap();
    world.settle();
    assert!(world.stack.can_read(server));
    // The client reads nothing: its ring and ours fill.
    while world.stack.can_write(server) {
        assert!(world.write(server, &[0; 4096]).is_ready());
        world.settle();
    }
    assert!(world.write(server, b"x").is_pending());
    world.client_reads(client);
    world.settle();
    assert!(world.stack.can_write(server));
}

#[test]
fn a_fin_that_alone_is_lost_does_not_wait_for_a_timer_that_has_backed_off() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    assert!(world.write(server, b"some bytes").is_ready());
    world.settle();
    // The wire is cut for a while, and all that is tried meanwhile is lost.
    world.flight.weather.lose = 1000;
    assert!(world.write(server, b"more of them").is_ready());
    world.pass(Duration::from_secs(100));
    world.flight.weather.lose = 0;
    world.pass(Duration::from_secs(60));
    assert_eq!(world.client_reads(client), b"some bytesmore of them");
    // The FIN is lost, and nothing else.
    world.flight.weather.lose = 1000;
    world.stack.shutdown(world.now, server, Shutdown::Write);
    world.settle();
    world.flight.weather.lose = 0;
    assert_eq!(world.client_state(client), State::Established);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.client_state(client), State::CloseWait);
    // And again with the last one.
    world.client.tcp(client).close();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(vec![])));
    world.stack.close(world.now, server);
    assert_eq!(world.stack.stats().open, 0);
}
