//! Connections that give their rings up when others need the memory, and notice nothing of it.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use toro_net::{Buffers, Config, ConnectionId, ReadError, Shutdown};

use crate::flight::Weather;
use crate::wire::Rng;
use crate::world::{World, config};

/// What the stack reckons for a connection besides its rings; more than that would only make room for more rings.
const EACH: usize = 2048;

/// Memory for the rings of `awake` of `open` connections.
fn tight(awake: usize, open: usize) -> Config {
    let mut config = config();
    let Buffers { receive, send } = config.buffers;
    config.limits.memory = awake * (receive + send) + open * EACH;
    config
}

fn crowd(awake: usize, open: usize) -> (World, Vec<(SocketHandle, ConnectionId)>) {
    let mut world = World::with(tight(awake, open), false);
    world.bind(80);
    let pairs = (0..open).map(|_| world.connected(80)).collect();
    (world, pairs)
}

/// The client says something, the server reads and answers, the client reads.
fn exchange(world: &mut World, (client, server): (SocketHandle, ConnectionId), said: &[u8]) {
    world.client.tcp(client).send_slice(said).unwrap();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(said.to_vec())));
    assert_eq!(world.write(server, said), Poll::Ready(Ok(said.len())));
    world.settle();
    assert_eq!(world.client_reads(client), said);
}

#[test]
fn many_more_connections_than_rings_all_answer() {
    let (mut world, pairs) = crowd(4, 60);
    assert_eq!(world.stack.stats().asleep, 56);
    let mut rng = Rng::new(3);
    for round in 0..300u32 {
        let pair = pairs[rng.below(pairs.len())];
        exchange(&mut world, pair, &round.to_le_bytes());
    }
    let stats = world.stack.stats();
    assert_eq!((stats.open, stats.asleep), (60, 56));
    assert_eq!(stats.retransmits, 0);
    for (client, server) in pairs {
        world.stack.close(world.now, server);
        world.client.tcp(client).close();
    }
    world.pass(Duration::from_secs(60));
    let stats = world.stack.stats();
    assert_eq!((stats.open, stats.asleep), (0, 0));
}

#[test]
fn nobody_sleeps_while_there_is_memory() {
    let (world, _) = crowd(60, 60);
    assert_eq!(world.stack.stats().asleep, 0);
}

#[test]
fn who_talks_stays_awake() {
    let (mut world, pairs) = crowd(4, 4);
    let talker = pairs[0];
    for _ in 0..30 {
        exchange(&mut world, talker, b"still here");
        world.now += Duration::from_millis(1);
        world.connected(80);
    }
    let visits = world.stack.stats().visits;
    exchange(&mut world, talker, b"and now");
    assert!(world.stack.stats().visits - visits <= 4, "as ever");
}

#[test]
fn the_window_that_was_offered_stays_open() {
    let (mut world, pairs) = crowd(2, 10);
    let window = Buffers::default().receive;
    let bytes: Vec<u8> = (0..window).map(|i| i as u8).collect();
    for (client, server) in pairs {
        assert_eq!(world.client.tcp(client).send_slice(&bytes), Ok(window));
        world.settle();
        let mut read = Vec::new();
        while let Poll::Ready(Ok(some)) = world.read(server) {
            read.extend(some);
        }
        // No time has passed, so nothing was sent twice.
        assert!(read == bytes);
    }
}

#[test]
fn a_sleeper_can_be_written_to() {
    let (mut world, pairs) = crowd(2, 10);
    for (number, (client, server)) in (0u8..).zip(pairs) {
        assert!(world.stack.can_write(server));
        assert_eq!(world.write(server, &[number; 100]), Poll::Ready(Ok(100)));
        world.settle();
        assert_eq!(world.client_reads(client), [number; 100]);
    }
}

/// Fills the receive rings of all who are awake, so that nobody can give one up.
fn keep_awake(world: &mut World, pairs: &[(SocketHandle, ConnectionId)]) {
    for (client, _) in pairs {
        world.client.tcp(*client).send_slice(b"unread").unwrap();
        world.settle();
    }
}

#[test]
fn a_segment_for_a_sleeper_waits_for_memory() {
    let (mut world, pairs) = crowd(2, 4);
    keep_awake(&mut world, &pairs[..2]);
    let late = pairs[2];
    world.client.tcp(late.0).send_slice(b"late").unwrap();
    world.pass(Duration::from_secs(3));
    assert!(world.read(late.1).is_pending());
    assert!(world.read(pairs[0].1).is_ready());
    world.pass(Duration::from_secs(10));
    assert_eq!(world.read(late.1), Poll::Ready(Ok(b"late".to_vec())));
}

#[test]
fn a_write_to_a_sleeper_waits_for_memory() {
    let (mut world, pairs) = crowd(2, 4);
    keep_awake(&mut world, &pairs[..2]);
    let (client, server) = pairs[2];
    assert!(world.write(server, b"late").is_pending());
    world.pass(Duration::from_secs(3));
    assert!(world.read(pairs[0].1).is_ready());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.write(server, b"late"), Poll::Ready(Ok(4)));
    world.settle();
    assert_eq!(world.client_reads(client), b"late");
}

#[test]
fn a_request_waits_for_memory() {
    let (mut world, pairs) = crowd(2, 2);
    keep_awake(&mut world, &pairs);
    let client = world.client.connect((crate::world::ADDRESS, 80));
    world.settle();
    world.client.tcp(client).send_slice(b"hello").unwrap();
    world.settle();
    assert!(world.accept(80).is_none());
    assert!(world.read(pairs[0].1).is_ready());
    world.pass(Duration::from_secs(10));
    let server = world.accept(80).expect("there is room now");
    assert_eq!(world.read(server), Poll::Ready(Ok(b"hello".to_vec())));
}

#[test]
fn a_sleeper_keeps_asking_for_a_sign_of_life() {
    let (mut world, pairs) = crowd(2, 10);
    for _ in 0..100 {
        world.pass(Duration::from_secs(20));
    }
    assert_eq!(world.stack.stats().open, 10);
    for pair in pairs {
        exchange(&mut world, pair, b"after half an hour");
    }
}

#[test]
fn a_sleeper_whose_peer_has_vanished_is_given_up() {
    let (mut world, pairs) = crowd(2, 10);
    world.flight.weather.lose = 1000;
    world.pass(Duration::from_secs(290));
    assert_eq!(world.stack.stats().open, 10);
    for _ in 0..10 {
        world.pass(Duration::from_secs(20));
        for (_, server) in &pairs {
            if world.stack.error(*server).is_some() {
                let read = world.read(*server);
                assert_eq!(read, Poll::Ready(Err(ReadError::ConnectionTimedOut)));
                world.stack.close(world.now, *server);
            }
        }
    }
    let stats = world.stack.stats();
    assert_eq!((stats.open, stats.asleep), (0, 0));
}

#[test]
fn an_interval_that_was_set_survives_sleep() {
    let (mut world, pairs) = crowd(2, 2);
    let interval = Duration::from_secs(10);
    world.stack.set_keepalive(pairs[0].1, Some(interval));
    world.connected(80);
    world.connected(80);
    exchange(&mut world, pairs[0], b"awake");
    let before = world.stack.stats().frames_out;
    world.pass(Duration::from_secs(35));
    assert!(world.stack.stats().frames_out - before >= 3);
}

#[test]
fn a_sleeper_hears_the_end_and_a_reset() {
    let (mut world, pairs) = crowd(2, 10);
    world.client.tcp(pairs[0].0).close();
    world.client.tcp(pairs[1].0).abort();
    world.settle();
    assert_eq!(world.read(pairs[0].1), Poll::Ready(Ok(vec![])));
    assert_eq!(
        world.read(pairs[1].1),
        Poll::Ready(Err(ReadError::ConnectionReset))
    );
}

#[test]
fn a_sleeper_can_be_ended_in_each_way() {
    let (mut world, pairs) = crowd(2, 10);
    world.stack.close(world.now, pairs[0].1);
    world.stack.abort(world.now, pairs[1].1);
    world.stack.shutdown(world.now, pairs[2].1, Shutdown::Write);
    world.settle();
    assert_eq!(world.client_state(pairs[0].0), State::CloseWait);
    assert_eq!(world.client_state(pairs[1].0), State::Closed);
    assert_eq!(world.client_state(pairs[2].0), State::CloseWait);
    // The other half goes on.
    let (client, server) = pairs[2];
    world.client.tcp(client).send_slice(b"more").unwrap();
    world.client.tcp(client).close();
    world.client.tcp(pairs[0].0).close();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"more".to_vec())));
    assert_eq!(world.read(server), Poll::Ready(Ok(vec![])));
    world.stack.close(world.now, server);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.stack.stats().open, 7);
}

#[test]
fn bytes_for_a_sleeper_that_was_closed_are_refused() {
    let (mut world, pairs) = crowd(2, 10);
    let (client, server) = pairs[0];
    world.client.tcp(client).send_slice(b"crossing").unwrap();
    world.stack.close(world.now, server);
    world.settle();
    assert_eq!(world.client_state(client), State::Closed);
}

#[test]
fn rings_that_have_grown_are_given_up_too() {
    let (mut world, pairs) = crowd(8, 4);
    let (client, server) = pairs[0];
    let bytes: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let (mut sent, mut read) = (0, Vec::new());
    while read.len() < bytes.len() {
        if let Poll::Ready(written) = world.write(server, &bytes[sent..]) {
            sent += written.unwrap();
        }
        world.settle();
        read.extend(world.client_reads(client));
    }
    assert!(read == bytes);
    for _ in 0..4 {
        world.connected(80);
    }
    assert!(world.stack.stats().asleep > 0, "it had taken four places");
    exchange(&mut world, pairs[0], b"smaller");
}

#[test]
fn streams_are_exact_whoever_sleeps() {
    for seed in 0..5 {
        let (mut world, pairs) = crowd(3, 12);
        let mut rng = Rng::new(seed);
        world.flight.weather = Weather {
            lose: 10,
            repeat: 20,
            delay: Duration::from_millis(3),
            ..Weather::default()
        };
        world.flight.rng = Rng::new(seed);
        let mut up: Vec<VecDeque<u8>> = vec![VecDeque::new(); pairs.len()];
        let mut down = up.clone();
        for _ in 0..600 {
            let at = rng.below(pairs.len());
            let (client, server) = pairs[at];
            let bytes: Vec<u8> = (0..1 + rng.below(3000)).map(|_| rng.next() as u8).collect();
            if rng.chance(500) {
                let sent = world.client.tcp(client).send_slice(&bytes).unwrap();
                up[at].extend(&bytes[..sent]);
            } else if let Poll::Ready(written) = world.write(server, &bytes) {
                down[at].extend(&bytes[..written.unwrap()]);
            }
            world.pass(Duration::from_millis(rng.below(400) as u64));
            check(&mut world, &pairs, &mut up, &mut down);
        }
        world.flight.weather = Weather::default();
        for _ in 0..200 {
            world.pass(Duration::from_secs(2));
            check(&mut world, &pairs, &mut up, &mut down);
        }
        let left = up.iter().chain(&down).map(VecDeque::len).sum::<usize>();
        assert_eq!(left, 0, "seed {seed}");
    }
}

/// Both sides read what has come, which is what was sent.
fn check(
    world: &mut World,
    pairs: &[(SocketHandle, ConnectionId)],
    up: &mut [VecDeque<u8>],
    down: &mut [VecDeque<u8>],
) {
    for (at, (client, server)) in pairs.iter().enumerate() {
        while let Poll::Ready(read) = world.read(*server) {
            let read = read.unwrap();
            assert!(read == up[at].drain(..read.len()).collect::<Vec<u8>>());
        }
        let read = world.client_reads(*client);
        assert!(read == down[at].drain(..read.len()).collect::<Vec<u8>>());
    }
}
