//! Timestamps (RFC 7323): what is said, what is echoed, and what is known by them to be old.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use toro_net::{Config, ConnectionId, DropReason};

use crate::station;
use crate::world::{ADDRESS, World, config};

/// Where the options of TCP lie in a frame.
const OPTIONS: usize = 54;

fn stamping() -> Config {
    let mut config = config();
    config.offer_timestamps();
    config
}

/// The time and the echo in a frame, looked for byte by byte.
fn times(frame: &[u8]) -> Option<(u32, u32)> {
    let end = 34 + usize::from(frame[46] >> 4) * 4;
    let mut at = OPTIONS;
    while at < end {
        match frame[at] {
            0 => return None,
            1 => at += 1,
            8 => {
                let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                assert_eq!(frame[at + 1], 10);
                return Some((word(at + 2), word(at + 6)));
            }
            _ => at += usize::from(frame[at + 1]),
        }
    }
    None
}

/// Adds to the number at `at`.
fn add(frame: &mut [u8], at: usize, by: u32) {
    let value = u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    frame[at..at + 4].copy_from_slice(&value.wrapping_add(by).to_be_bytes());
}

fn is_tcp(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 6
}

/// Puts another time into a frame of the client's.
fn retime(frame: &mut [u8], tsval: u32) {
    let at = (OPTIONS..)
        .find(|at| frame[*at..*at + 2] == [8, 10])
        .expect("it has one");
    frame[at + 2..at + 6].copy_from_slice(&tsval.to_be_bytes());
}

/// A connection whose both ends have timestamps; the checksums of what is changed on the way are not looked at.
fn connected(config: Config) -> (World, SocketHandle, ConnectionId) {
    let mut world = World::with(config, false);
    world.link.borrow_mut().trusted = true;
    world.client.has_timestamps = true;
    station::set_clock(1000);
    world.bind(80);
    let (client, server) = world.connected(80);
    (world, client, server)
}

/// What the client says next, before it arrives.
fn said(world: &mut World, client: SocketHandle, bytes: &[u8]) -> Vec<u8> {
    world.client.tcp(client).send_slice(bytes).unwrap();
    let now = smoltcp::time::Instant::from_micros((world.now.as_nanos() / 1000) as i64);
    world.client.poll(now);
    let frame = world.client.port.sent.pop_back().expect("it has spoken");
    assert!(world.client.port.sent.is_empty());
    frame
}

fn old(world: &World) -> u64 {
    world.stack.stats().dropped(DropReason::OldTimestamp)
}

/// Frames of the stack since the beginning of `f`.
fn watched(world: &mut World, f: impl FnOnce(&mut World)) -> Vec<Vec<u8>> {
    f(world);
    world.stack_turn()
}

#[test]
fn every_segment_says_our_time_and_echoes_theirs() {
    for tx_checksum in [false, true] {
        let mut world = World::with(stamping(), tx_checksum);
        world.client.has_timestamps = true;
        station::set_clock(77);
        world.bind(80);
        let client = world.client.connect((ADDRESS, 80));
        world.client.poll(smoltcp::time::Instant::from_millis(10));
        let mut asked = world.client.port.sent.pop_front().unwrap();
        let answer = loop {
            world.inject(asked);
            let mut frames = world.stack_turn();
            let frame = frames.pop().expect("an answer");
            assert!(frames.is_empty());
            if is_tcp(&frame) {
                break frame;
            }
            // The client asks for our station first.
            world.client.port.received.push_back(frame);
            world.client.poll(smoltcp::time::Instant::from_millis(10));
            asked = world.client.port.sent.pop_front().unwrap();
        };
        let (start, echo) = times(&answer).expect("the SYN|ACK has timestamps");
        assert_eq!((answer[47] & 0x12, echo), (0x12, 77));
        world.client.port.received.push_back(answer);
        world.settle();
        let server = world.accept(80).unwrap();
        station::set_clock(80);
        world.client.tcp(client).send_slice(b"hello").unwrap();
        world.now += Duration::from_millis(5);
        let frames = watched(&mut world, |world| {
            world.client.poll(smoltcp::time::Instant::from_millis(15));
            let frame = world.client.port.sent.pop_front().unwrap();
            assert_eq!(times(&frame), Some((80, start)));
            world.inject(frame);
            world.stack_turn();
            assert_eq!(world.write(server, b"hello yourself"), Poll::Ready(Ok(14)));
        });
        let frame = frames.last().expect("the bytes");
        assert_eq!(times(frame), Some((start.wrapping_add(5), 80)));
        assert_eq!(
            frame[OPTIONS..OPTIONS + 4],
            [1, 1, 8, 10],
            "as in RFC 7323, appendix A"
        );
        world.client.port.received.extend(frames);
        world.settle();
        // The client has looked at the sum.
        assert_eq!(world.client_reads(client), b"hello yourself");
    }
}

#[test]
fn a_peer_without_timestamps_gets_none() {
    let mut world = World::with(stamping(), false);
    world.bind(80);
    let (client, server) = world.connected(80);
    assert_eq!(world.write(server, b"plain"), Poll::Ready(Ok(5)));
    let frames = world.stack_turn();
    assert!(frames.iter().all(|frame| times(frame).is_none()));
    world.client.port.received.extend(frames);
    world.settle();
    assert_eq!(world.client_reads(client), b"plain");
}

#[test]
fn nothing_is_offered_unless_it_is_wanted() {
    let mut world = World::with(config(), false);
    world.client.has_timestamps = true;
    world.bind(80);
    let (client, server) = world.connected(80);
    assert!(!world.client.tcp(client).timestamp_enabled());
    assert_eq!(world.write(server, b"plain"), Poll::Ready(Ok(5)));
    assert!(
        world
            .stack_turn()
            .iter()
            .all(|frame| times(frame).is_none())
    );
}

/// Connects to the client's port 90 and sends it three bytes; returns the stack's segments.
fn call(client_has_timestamps: bool) -> Vec<Vec<u8>> {
    let mut world = World::with(stamping(), false);
    world.client.has_timestamps = client_has_timestamps;
    station::set_clock(5);
    let there = world.client.listen(90);
    let to = SocketAddr::from((station::ADDRESS, 90));
    let id = world.stack.connect(world.now, to).unwrap();
    let mut frames = Vec::new();
    for round in 0..20 {
        if round == 10 {
            assert_eq!(world.client_state(there), State::Established);
            assert_eq!(world.write(id, b"abc"), Poll::Ready(Ok(3)));
        }
        let sent = world.stack_turn();
        frames.extend(sent.iter().filter(|frame| is_tcp(frame)).cloned());
        world.client.port.received.extend(sent);
        world.client.poll(smoltcp::time::Instant::from_millis(10));
        while let Some(frame) = world.client.port.sent.pop_front() {
            world.inject(frame);
        }
    }
    assert_eq!(world.client_reads(there), b"abc");
    assert_eq!(old(&world), 0);
    frames
}

#[test]
fn connections_of_ours_offer_them_and_go_on_without() {
    let frames = call(true);
    assert!(frames.len() >= 3);
    assert_eq!(times(&frames[0]).map(|(_, echo)| echo), Some(0), "the SYN");
    assert!(frames[1..].iter().all(|frame| times(frame).unwrap().1 == 5));
    let frames = call(false);
    assert!(times(&frames[0]).is_some());
    assert!(frames[1..].iter().all(|frame| times(frame).is_none()));
}

#[test]
fn a_segment_from_before_the_numbers_came_round_is_dropped_and_answered() {
    let (mut world, client, server) = connected(stamping());
    station::set_clock(2000);
    world.client.tcp(client).send_slice(b"first").unwrap();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"first".to_vec())));
    station::set_clock(3000);
    let fresh = said(&mut world, client, b"now");
    // Number, acknowledgement and window fit: 4 GiB ago they stood in a segment that comes late.
    let mut late = fresh.clone();
    retime(&mut late, 1999);
    late.truncate(late.len() - 3);
    late.extend_from_slice(b"old");
    let answers = watched(&mut world, |world| world.inject(late));
    assert_eq!((old(&world), answers.len()), (1, 1));
    assert_eq!(times(&answers[0]).map(|(_, echo)| echo), Some(2000));
    assert_eq!(answers[0].len(), 34 + 32, "it only acknowledges");
    assert_eq!(world.read(server), Poll::Pending);
    world.inject(fresh);
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"now".to_vec())));
    assert_eq!(old(&world), 1);
}

#[test]
fn the_clock_may_come_round() {
    let (mut world, client, server) = connected(stamping());
    for clock in [0x4000_0000, 0x8000_0000, 0xffff_fff0, 3] {
        station::set_clock(clock);
        world.client.tcp(client).send_slice(b"tick").unwrap();
        world.settle();
        assert_eq!(world.read(server), Poll::Ready(Ok(b"tick".to_vec())));
    }
    assert_eq!(old(&world), 0);
}

#[test]
fn an_old_acknowledgement_alone_is_not_answered() {
    let (mut world, client, _) = connected(stamping());
    let mut bare = said(&mut world, client, b"x");
    let len = bare.len() - 1;
    bare.truncate(len);
    bare[17] -= 1;
    // The header's sum makes up for the byte.
    let sum = u16::from_be_bytes([bare[24], bare[25]]) + 1;
    bare[24..26].copy_from_slice(&sum.to_be_bytes());
    retime(&mut bare, 1);
    assert_eq!(watched(&mut world, |world| world.inject(bare)).len(), 0);
    assert_eq!(old(&world), 1);
}

#[test]
fn answers_to_old_segments_are_bounded() {
    let (mut world, client, _) = connected(stamping());
    let mut late = said(&mut world, client, b"x");
    retime(&mut late, 1);
    let answers: usize = (0..300)
        .map(|_| watched(&mut world, |world| world.inject(late.clone())).len())
        .sum();
    assert_eq!((old(&world), answers), (300, 100));
}

#[test]
fn a_segment_without_a_timestamp_is_dropped_but_a_reset_counts() {
    let (mut world, client, server) = connected(stamping());
    let mut bare = said(&mut world, client, b"bytes");
    let whole = bare.clone();
    // NOPs where the option was.
    bare[OPTIONS..OPTIONS + 12].fill(1);
    assert_eq!(
        watched(&mut world, |world| world.inject(bare.clone())).len(),
        0
    );
    assert_eq!((old(&world), world.read(server)), (1, Poll::Pending));
    world.inject(whole);
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"bytes".to_vec())));
    add(&mut bare, 38, 5);
    bare[47] = 0x14;
    watched(&mut world, |world| world.inject(bare));
    assert_eq!((old(&world), world.stack.stats().reset), (1, 1));
}

#[test]
fn who_does_not_know_where_we_are_cannot_set_the_clock() {
    let (mut world, client, server) = connected(stamping());
    let whole = said(&mut world, client, b"bytes");
    for (seq, ack) in [
        (1 << 20, 0),
        (0u32.wrapping_sub(1 << 20), 0),
        (0, 1 << 20),
        (0, 0u32.wrapping_sub(1 << 20)),
    ] {
        let mut forged = whole.clone();
        for (at, by) in [(38, seq), (42, ack)] {
            add(&mut forged, at, by);
        }
        retime(&mut forged, 0x7000_0000);
        watched(&mut world, |world| world.inject(forged));
    }
    world.inject(whole);
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"bytes".to_vec())));
    assert_eq!(old(&world), 0);
}

/// Ends a connection with us in TIME-WAIT, whose last segment was heard at 5000, and lets the client ask for it again at `clock`,
/// with numbers `on` further.
fn asks_again(clock: u32, on: u32) -> (bool, u64) {
    let mut world = World::with(stamping(), false);
    world.link.borrow_mut().trusted = true;
    world.client.has_timestamps = true;
    world.bind(80);
    station::set_clock(4000);
    let client = world.client.connect_from(50_000, (ADDRESS, 80));
    world.settle();
    let server = world.accept(80).unwrap();
    world.stack.close(world.now, server);
    world.settle();
    station::set_clock(5000);
    world.client.tcp(client).close();
    let now = smoltcp::time::Instant::from_millis(10);
    world.client.poll(now);
    let fin = world.client.port.sent.pop_front().unwrap();
    let seq = u32::from_be_bytes(fin[38..42].try_into().unwrap());
    world.inject(fin);
    world.stack_turn();
    assert_eq!(world.stack.stats().time_wait, 1);
    world.client.sockets.remove(client);
    station::set_clock(clock);
    world.client.connect_from(50_000, (ADDRESS, 80));
    world.client.poll(now);
    let mut syn = world.client.port.sent.pop_front().unwrap();
    assert_eq!(syn[47], 2);
    syn[38..42].copy_from_slice(&seq.wrapping_add(on).to_be_bytes());
    let answers = watched(&mut world, |world| world.inject(syn));
    let is_let_in = answers.iter().any(|frame| frame[47] == 0x12);
    assert_eq!(is_let_in, !answers.is_empty());
    (is_let_in, old(&world))
}

#[test]
fn time_wait_ends_for_a_newer_request_only() {
    let back = 0u32.wrapping_sub(1000);
    assert_eq!(asks_again(5001, back), (true, 0));
    assert_eq!(asks_again(5001, 1000), (true, 0));
    assert_eq!(asks_again(5000, 1000), (true, 0));
    assert_eq!(asks_again(5000, back), (false, 1));
    assert_eq!(asks_again(4999, 1000), (false, 1));
}

#[test]
fn long_frames_are_cut_into_full_ones() {
    let mut world = World::cutting(stamping());
    world.client.has_timestamps = true;
    station::set_clock(1);
    world.bind(80);
    let client = world.client.connect_with(256 << 10, 40_001, (ADDRESS, 80));
    world.settle();
    let server = world.accept(80).unwrap();
    let text: Vec<u8> = (0..1u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (mut sent, mut read, mut lens) = (0, Vec::new(), Vec::new());
    while read.len() < text.len() {
        while sent < text.len()
            && let Poll::Ready(written) = world.write(server, &text[sent..])
        {
            sent += written.unwrap();
        }
        let frames = world.stack_turn();
        lens.extend(frames.iter().filter(|frame| is_tcp(frame)).map(Vec::len));
        assert!(
            frames
                .iter()
                .all(|frame| !is_tcp(frame) || times(frame).is_some())
        );
        world.client.port.received.extend(frames);
        if !world.turn() {
            world.now = world.next_event();
        }
        read.extend(world.client_reads(client));
    }
    assert!(read == text);
    assert!(world.link.borrow().cut.unwrap() > 10, "the device cuts");
    assert_eq!(lens.iter().max(), Some(&1514));
    let full = lens.iter().filter(|len| **len == 1514).count();
    assert!(
        full * 10 > lens.len() * 8,
        "{full} of {} are full",
        lens.len()
    );
    assert_eq!(world.stack.stats().retransmits, 0);
}

#[test]
fn a_sleeper_wakes_with_its_clock() {
    let mut config = stamping();
    config.buffers.receive = 8 << 10;
    config.limits.memory = 4 * (24 << 10);
    let (mut world, client, server) = connected(config);
    let others: Vec<_> = (0..6).map(|_| world.connected(80)).collect();
    assert!(world.stack.stats().asleep > 0);
    station::set_clock(1500);
    for (client, server) in [(client, server)].into_iter().chain(others) {
        let whole = said(&mut world, client, b"awake");
        let mut late = whole.clone();
        retime(&mut late, 999);
        watched(&mut world, |world| world.inject(late));
        world.inject(whole);
        world.settle();
        assert_eq!(world.read(server), Poll::Ready(Ok(b"awake".to_vec())));
    }
    assert_eq!(old(&world), 7);
}
