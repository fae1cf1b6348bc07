//! Bytes arrive intact over a wire that loses, repeats, reorders and corrupts frames.

use std::task::Poll;
use std::time::Duration;

use smoltcp::socket::tcp::State;

use crate::flight::Weather;
use crate::wire::Rng;
use crate::world::{Hop, World, config};

const MIB: usize = 1 << 20;

fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| rng.next() as u8).collect()
}

/// Sends `len` bytes each way at once, closes, and checks that nothing is left.
fn check(weather: Weather, seed: u64, len: usize) {
    let mut world = match seed % 3 {
        0 => World::with(config(), false),
        1 => World::with(config(), true),
        _ => World::cutting(config()),
    };
    world.flight.rng = Rng::new(seed);
    world.bind(80);
    let (client, server) = world.connected(80);
    world.flight.weather = weather;
    // Some ways have a narrow part too, which may be silent.
    world.hop = seed.is_multiple_of(7).then_some(Hop {
        longest: 1000 + (seed * 37 % 500) as u16,
        speaks: seed.is_multiple_of(2),
    });
    let (up, down) = (text(seed, len), text(seed + 1, len));
    let (mut up_sent, mut down_sent) = (0, 0);
    let (mut up_read, mut down_read) = (Vec::new(), Vec::new());
    let start = world.now;
    let mut closed = false;
    while up_read.len() < len || down_read.len() < len {
        world.turn();
        let socket = world.client.tcp(client);
        up_sent += socket.send_slice(&up[up_sent..]).unwrap();
        down_read.extend(world.client_reads(client));
        if !closed && let Poll::Ready(bytes) = world.read(server) {
            up_read.extend(bytes.unwrap());
        }
        if down_sent < len
            && let Poll::Ready(written) = world.write(server, &down[down_sent..])
        {
            down_sent += written.unwrap();
        }
        if down_sent == len && up_read.len() == len && !closed {
            closed = true;
            world.stack.close(world.now, server);
        }
        if !world.turn() {
            world.now = world.next_event();
        }
        assert!(
            world.now < start + Duration::from_secs(3600),
            "stuck in weather of seed {seed}"
        );
    }
    assert!(up_read == up, "upwards, seed {seed}");
    assert!(down_read == down, "downwards, seed {seed}");
    world.client.tcp(client).close();
    // The FIN may have to wait for smoltcp's longest interval, and then comes TIME-WAIT.
    world.pass(Duration::from_secs(400));
    assert_eq!(world.client_state(client), State::Closed, "seed {seed}");
    let stats = world.stack.stats();
    assert_eq!(
        (stats.open, stats.half_open, stats.time_wait),
        (0, 0, 0),
        "seed {seed}"
    );
}

#[test]
fn a_good_wire_needs_no_retransmission() {
    check(Weather::default(), 1, MIB);
}

#[test]
fn delays_reorder_frames() {
    let delay = Duration::from_millis(5);
    check(
        Weather {
            delay,
            ..Weather::default()
        },
        2,
        MIB,
    );
}

#[test]
fn a_wire_that_loses_one_in_a_hundred() {
    let delay = Duration::from_millis(2);
    check(
        Weather {
            lose: 10,
            delay,
            ..Weather::default()
        },
        3,
        MIB,
    );
}

#[test]
fn a_wire_that_does_everything_wrong() {
    let delay = Duration::from_millis(20);
    check(
        Weather {
            lose: 50,
            repeat: 50,
            corrupt: 20,
            delay,
            ..Weather::default()
        },
        4,
        MIB / 4,
    );
}

#[test]
fn many_seeds_with_a_little_each() {
    for seed in 10..500 {
        let mut rng = Rng::new(seed);
        let weather = Weather {
            lose: rng.below(100) as u64,
            repeat: rng.below(100) as u64,
            corrupt: rng.below(50) as u64,
            delay: Duration::from_micros(rng.below(50_000) as u64),
            ..Weather::default()
        };
        check(weather, seed, 20_000);
    }
}

#[test]
fn a_device_that_is_often_full_loses_nothing() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    world.link.borrow_mut().free = Some(0);
    let text = text(9, 12 << 10);
    assert_eq!(world.write(server, &text), Poll::Ready(Ok(text.len())));
    let mut received = Vec::new();
    for _ in 0..2000 {
        world.link.borrow_mut().free = Some(1);
        world.turn();
        received.extend(world.client_reads(client));
    }
    assert_eq!(received, text);
    assert_eq!(world.stack.stats().retransmits, 0);
}

#[test]
fn a_closed_window_opens_again() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let text = text(5, 30_000);
    let sent = world.client.tcp(client).send_slice(&text).unwrap();
    assert_eq!(sent, text.len());
    world.pass(Duration::from_secs(2));
    let mut received = Vec::new();
    for _ in 0..1000 {
        if let Poll::Ready(bytes) = world.read(server) {
            received.extend(bytes.unwrap());
        }
        world.turn();
        if received.len() == text.len() {
            break;
        }
    }
    assert_eq!(
        received.len(),
        text.len(),
        "without waiting for a probe of the peer's"
    );
    assert_eq!(received, text);
}

#[test]
fn a_peer_with_a_closed_window_still_hears_acknowledgements() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    // The client reads nothing: its ring and ours fill, and we ask for its window again and again.
    while world.write(server, &[7; 4096]).is_ready() {
        world.settle();
    }
    world.pass(Duration::from_secs(20));
    world.client.tcp(client).send_slice(b"hello").unwrap();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"hello".to_vec())));
    assert_eq!(
        world.client.tcp(client).send_queue(),
        0,
        "the client has heard that its bytes have come"
    );
    // And the bytes that were asked with are not lost when the window opens.
    let mut received = 0;
    while world.write(server, &[7; 4096]).is_pending() {
        received += world.client_reads(client).len();
        world.pass(Duration::from_secs(1));
    }
    world.pass(Duration::from_secs(5));
    received += world.client_reads(client).len();
    assert!(received > 32 << 10);
    assert_eq!(world.stack.stats().reset, 0);
}
