//! Paths that take only shorter packets than the wire.

use std::task::Poll;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use toro_net::{ConnectionId, DropReason};

use crate::bytes::{fix, too_long};
use crate::world::{Hop, World, config};

const LEN: usize = 60_000;

/// A connection on whose way there is a router that takes packets of up to `longest` bytes.
fn behind(world: &mut World, longest: u16, speaks: bool) -> (SocketHandle, ConnectionId) {
    world.bind(80);
    let (client, server) = world.connected(80);
    world.hop = Some(Hop { longest, speaks });
    (client, server)
}

/// Sends bytes to the client until it has [`LEN`] of them, in at most `time`.
fn send(world: &mut World, client: SocketHandle, server: ConnectionId, time: Duration) {
    let text: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    let (mut sent, mut read) = (0, Vec::new());
    let end = world.now + time;
    while read.len() < LEN {
        if sent < LEN
            && let Poll::Ready(written) = world.write(server, &text[sent..])
        {
            sent += written.unwrap();
        }
        let moved = world.turn();
        let more = world.client_reads(client);
        read.extend_from_slice(&more);
        if !moved && more.is_empty() {
            world.now = world.next_event();
        }
        assert!(world.now <= end, "{} bytes in time", read.len());
    }
    assert!(read == text, "other bytes");
}

/// The longest packet that the stack sends from now on, in bytes of IP, while it sends `len` bytes.
fn longest(world: &mut World, client: SocketHandle, server: ConnectionId, len: usize) -> usize {
    let mut longest = 0;
    assert_eq!(world.write(server, &vec![7; len]), Poll::Ready(Ok(len)));
    let mut read = 0;
    while read < len {
        for frame in world.stack_turn() {
            longest = longest.max(frame.len() - 14);
            world.flight.launch(world.now, false, frame);
        }
        world.settle();
        read += world.client_reads(client).len();
    }
    longest
}

#[test]
fn a_router_that_speaks_is_heard_at_once() {
    for (said, becomes) in [
        (1499, 1480),
        (1400, 1400),
        (1399, 1260),
        (1280, 1260),
        (576, 552),
    ] {
        for mut world in [World::new(), World::cutting(config())] {
            let (client, server) = behind(&mut world, said, true);
            // A good wire takes no time, and a time-out a second.
            send(&mut world, client, server, Duration::from_millis(500));
            assert_eq!(world.stack.stats().narrowed, 1, "{said}");
            assert_eq!(world.stack.stats().dropped(DropReason::ForgedError), 0);
            world.hop = None;
            let longest = longest(&mut world, client, server, 6000);
            assert_eq!(longest, becomes, "{said}");
        }
    }
}

#[test]
fn other_connections_go_on_as_they_were() {
    let mut world = World::new();
    let (client, server) = behind(&mut world, 1300, true);
    let (other_client, other) = world.connected(80);
    send(&mut world, client, server, Duration::from_millis(500));
    world.hop = None;
    assert_eq!(longest(&mut world, other_client, other, 6000), 1500);
}

#[test]
fn a_second_router_is_heard_too() {
    let mut world = World::new();
    let (client, server) = behind(&mut world, 1400, true);
    send(&mut world, client, server, Duration::from_millis(500));
    world.hop = Some(Hop {
        longest: 1006,
        speaks: true,
    });
    send(&mut world, client, server, Duration::from_millis(500));
    assert_eq!(world.stack.stats().narrowed, 2);
    // One that takes more again changes nothing.
    world.hop = Some(Hop {
        longest: 1480,
        speaks: true,
    });
    send(&mut world, client, server, Duration::from_millis(500));
    assert_eq!(world.stack.stats().narrowed, 2);
}

#[test]
fn a_router_without_a_word_is_found_by_time() {
    for (takes, becomes) in [(1300, 1260), (600, 552)] {
        for mut world in [World::new(), World::cutting(config())] {
            let (client, server) = behind(&mut world, takes, false);
            send(&mut world, client, server, Duration::from_secs(120));
            world.hop = None;
            assert_eq!(longest(&mut world, client, server, 6000), becomes);
            assert_eq!(world.stack.stats().timed_out, 0);
        }
    }
}

/// A connection with one segment of 1,500 bytes on its way, which nobody takes.
fn waiting() -> (World, SocketHandle, ConnectionId, Vec<u8>) {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    assert!(world.write(server, &[7; 1460]).is_ready());
    let sent = world.stack_turn().pop().unwrap();
    assert_eq!(sent.len(), 1514);
    (world, client, server, sent)
}

#[test]
fn forged_messages_are_counted_and_ignored() {
    let frame = waiting().3;
    let seq = u32::from_be_bytes(frame[38..42].try_into().unwrap());
    let change = |at: usize, bytes: &[u8]| {
        let mut sent = frame.clone();
        sent[at..at + bytes.len()].copy_from_slice(bytes);
        sent
    };
    let forged = [
        // What comes next, and what has arrived.
        too_long(&change(38, &seq.wrapping_add(1460).to_be_bytes()), 1400),
        too_long(&change(38, &seq.wrapping_sub(1).to_be_bytes()), 1400),
        too_long(&change(38, &seq.wrapping_add(1 << 31).to_be_bytes()), 1400),
        // It would have passed.
        too_long(&frame, 1500),
        too_long(&change(16, &1400u16.to_be_bytes()), 1400),
        too_long(&change(16, &[0, 0]), 0),
        // No wire takes it.
        too_long(&change(16, &9000u16.to_be_bytes()), 1400),
    ];
    for (number, message) in forged.into_iter().enumerate() {
        let (mut world, _, _, again) = waiting();
        assert_eq!(again, frame, "the same numbers");
        world.inject(message);
        assert_eq!(world.stack_turn(), Vec::<Vec<u8>>::new(), "{number}");
        let stats = world.stack.stats();
        assert_eq!(stats.dropped(DropReason::ForgedError), 1, "{number}");
        assert_eq!(stats.narrowed, 0, "{number}");
    }
}

#[test]
fn messages_about_others_are_dropped() {
    let (mut world, _, _, frame) = waiting();
    let mut expected = world.stack.stats();
    let mut check = |message: Vec<u8>, reason: DropReason| {
        world.inject(message);
        assert_eq!(world.stack_turn(), Vec::<Vec<u8>>::new());
        expected.drops[reason as usize] += 1;
        assert_eq!(world.stack.stats().drops, expected.drops);
        assert_eq!(world.stack.stats().narrowed, 0);
    };
    for (at, byte) in [(14, 0x46), (23, 17), (29, 99), (33, 99), (35, 81), (37, 1)] {
        let mut sent = frame.clone();
        sent[at] = byte;
        check(too_long(&sent, 1400), DropReason::NoSocket);
    }
    let mut short = too_long(&frame, 1400);
    short.pop();
    short[17] -= 1;
    fix(&mut short);
    check(short, DropReason::Truncated);
    let mut wrong = too_long(&frame, 1400);
    wrong[60] ^= 1;
    check(wrong, DropReason::BadChecksum);
}

#[test]
fn an_old_router_that_names_no_length_is_heard() {
    let (mut world, client, _, frame) = waiting();
    world.inject(too_long(&frame, 0));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.client_reads(client).len(), 1460, "said again");
    assert_eq!(world.stack.stats().narrowed, 1);
}

#[test]
fn no_path_is_believed_to_take_next_to_nothing() {
    let (mut world, client, server, frame) = waiting();
    world.inject(too_long(&frame, 68));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.client_reads(client).len(), 1460, "said again");
    assert_eq!(longest(&mut world, client, server, 6000), 552);
}
