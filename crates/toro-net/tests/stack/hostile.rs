//! Frames that no honest peer sends.

use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use smoltcp::socket::tcp::State;
use toro_net::{DropReason, ReadError};

use crate::wire::{MAC, Rng};
use crate::world::{ADDRESS, World, config};

/// Fills in the checksums of an IPv4 frame, as far as its lengths make sense.
fn fix_checksums(frame: &mut [u8]) {
    if frame.len() < 34 {
        return;
    }
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let header = usize::from(frame[14] & 0xf) * 4;
    if header < 20 || total < header || 14 + total > frame.len() {
        return;
    }
    frame[24..26].fill(0);
    let sum = !smoltcp::wire::checksum::data(&frame[14..14 + header]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let (protocol, len) = (frame[23], total - header);
    if protocol != 6 || len < 20 {
        return;
    }
    let at = 14 + header;
    frame[at + 16..at + 18].fill(0);
    let mut pseudo = frame[26..34].to_vec();
    pseudo.extend_from_slice(&[0, protocol]);
    pseudo.extend_from_slice(&(len as u16).to_be_bytes());
    pseudo.extend_from_slice(&frame[at..at + len]);
    let sum = !smoltcp::wire::checksum::data(&pseudo);
    frame[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
}

/// Frames of an honest exchange, to mutate.
fn corpus() -> Vec<Vec<u8>> {
    let mut world = World::new();
    world.bind(80);
    let client = world.client.connect((ADDRESS, 80));
    let mut frames = Vec::new();
    for turn in 0..30 {
        world
            .client
            .poll(smoltcp::time::Instant::from_millis(10 + turn));
        while let Some(frame) = world.client.port.sent.pop_front() {
            frames.push(frame.clone());
            world.inject(frame);
        }
        for frame in world.stack_turn() {
            world.client.port.received.push_back(frame);
        }
        let socket = world.client.tcp(client);
        match turn {
            10 => drop(socket.send_slice(b"GET / HTTP/1.1\r\n\r\n").unwrap()),
            20 => socket.close(),
            _ => {}
        }
    }
    assert!(frames.len() >= 4, "ARP, SYN, ACK, data, FIN");
    frames
}

fn mutate(rng: &mut Rng, frame: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        match rng.below(6) {
            0 => frame.truncate(rng.below(frame.len() + 1)),
            1 => frame.extend((0..rng.below(64)).map(|i| i as u8)),
            // The headers are where the decisions are.
            2..4 if frame.len() > 54 => {
                let at = 14 + rng.below(40);
                frame[at] = rng.next() as u8;
            }
            _ if !frame.is_empty() => {
                let at = rng.below(frame.len());
                frame[at] ^= 1 << rng.below(8);
            }
            _ => {}
        }
    }
    if rng.chance(900) {
        fix_checksums(frame);
    }
}

#[test]
fn a_storm_of_mutated_frames_does_no_harm() {
    let corpus = corpus();
    let mut config = config();
    (config.limits.half_open, config.limits.connections) = (64, 64);
    let mut world = World::with(config, false);
    world.bind(80);
    let mut rng = Rng::new(7);
    for round in 0..100_000 {
        let mut frame = corpus[rng.below(corpus.len())].clone();
        // Follow the sequence numbers of the stack's own answers now and then.
        mutate(&mut rng, &mut frame);
        world.inject(frame);
        if round % 16 == 0 {
            world.stack_turn();
            world.now += Duration::from_millis(rng.below(50) as u64);
            if let Some(id) = world.accept(80) {
                let _ = world.read(id);
                let _ = world.write(id, b"answer");
                world.stack.close(world.now, id);
            }
        }
    }
    let stats = world.stack.stats();
    assert!(stats.frames_in > 99_000);
    assert!(
        stats.drops.iter().sum::<u64>() > 10_000,
        "drops are counted"
    );
    assert!(stats.half_open <= 64 && stats.open <= 64);
    world.now += Duration::from_secs(400);
    for _ in 0..100 {
        world.stack_turn();
        world.now += Duration::from_secs(10);
    }
    // And it still serves.
    let mut client = crate::station::Station::new();
    std::mem::swap(&mut client, &mut world.client);
    world.client.connect((ADDRESS, 80));
    world.settle();
    assert!(world.accept(80).is_some());
}

#[test]
fn mutated_frames_within_a_live_connection_do_no_harm() {
    let mut rng = Rng::new(3);
    for _ in 0..200 {
        let mut world = World::new();
        world.bind(80);
        let (client, server) = world.connected(80);
        for turn in 0..20 {
            let _ = world
                .client
                .tcp(client)
                .send_slice(b"some bytes of a request");
            let _ = world.write(server, b"some bytes of an answer");
            world
                .client
                .poll(smoltcp::time::Instant::from_millis(10 + turn));
            while let Some(mut frame) = world.client.port.sent.pop_front() {
                mutate(&mut rng, &mut frame);
                world.inject(frame);
            }
            for frame in world.stack_turn() {
                world.client.port.received.push_back(frame);
            }
            let _ = world.read(server);
        }
    }
}

/// So many packets of ARP, of which most are malformed and none was asked for, change nothing that a live connection needs.
fn storm_of_arp(frames: u32) {
    let mut world = World::new();
    world.bind(80);
    let (_, server) = world.connected(80);
    assert!(world.write(server, b"before").is_ready());
    let before = world.stack_turn();
    let station = before[0][..6].to_vec();
    let thief = [2, 0, 0, 0, 9, 9];
    let mut rng = Rng::new(5);
    for number in 0..frames {
        let mut address = [10, 0, 2, 100 + rng.below(150) as u8];
        if rng.chance(300) {
            address = [10, 0, 2, 2];
        }
        let to = if rng.chance(500) { MAC } else { [0xff; 6] };
        let mut frame = [&to[..], &thief, &[8, 6, 0, 1, 8, 0, 6, 4, 0]].concat();
        frame.push(1 + rng.below(2) as u8);
        frame.extend_from_slice(&thief);
        frame.extend_from_slice(&address);
        frame.extend_from_slice(&MAC);
        frame.extend_from_slice(&ADDRESS.octets());
        if rng.chance(600) {
            mutate(&mut rng, &mut frame);
        }
        world.inject(frame);
        if number % 16 == 0 {
            world.stack_turn();
        }
    }
    world.stack_turn();
    let stats = world.stack.stats();
    assert!(stats.dropped(DropReason::UnsolicitedArp) > u64::from(frames) / 10);
    assert!(stats.drops.iter().sum::<u64>() > u64::from(frames) / 4);
    assert!(world.write(server, b"after").is_ready());
    let after = world.stack_turn();
    assert_eq!(after[0][..6], station, "the peer is where it was");
    assert_eq!(after[0][12..14], [8, 0]);
    // Of those that have asked, few are known.
    let socket = (Ipv4Addr::UNSPECIFIED, 9).into();
    let socket = world.stack.udp_bind(socket).unwrap();
    let known = (100..250).filter(|number| {
        let to = SocketAddr::from(([10, 0, 2, *number], 9));
        let _ = world.stack.udp_send(world.now, socket, Some(to), b"x");
        world.stack_turn().iter().any(|sent| sent[12..14] == [8, 0])
    });
    assert!(known.count() <= 48);
}

#[test]
fn a_storm_of_arp_changes_no_live_entry_and_fills_nothing() {
    storm_of_arp(8000);
}

#[test]
#[ignore = "long: 860,000 frames"]
fn a_long_storm_of_arp_changes_no_live_entry_and_fills_nothing() {
    storm_of_arp(860_000);
}

/// A SYN from an address and port of its own.
fn syn(number: u32) -> Vec<u8> {
    let mut frame = corpus_syn();
    frame[26..30].copy_from_slice(&(0x0b00_0000 + number).to_be_bytes());
    fix_checksums(&mut frame);
    frame
}

fn corpus_syn() -> Vec<u8> {
    let mut world = World::new();
    world.client.connect((ADDRESS, 80));
    for _ in 0..4 {
        world.client.poll(smoltcp::time::Instant::from_millis(10));
        while let Some(frame) = world.client.port.sent.pop_front() {
            if frame[12..14] == [8, 0] {
                return frame;
            }
            world.inject(frame);
        }
        for frame in world.stack_turn() {
            world.client.port.received.push_back(frame);
        }
    }
    panic!("the client sends a SYN");
}

#[test]
fn a_flood_of_requests_is_bounded_and_passes() {
    let mut config = config();
    (config.limits.half_open, config.limits.backlog) = (100, 1000);
    let mut world = World::with(config, false);
    world.bind(80);
    let template = syn(0);
    for number in 0..5000u32 {
        let mut frame = template.clone();
        frame[26..30].copy_from_slice(&(0x0b00_0000 + number).to_be_bytes());
        fix_checksums(&mut frame);
        world.inject(frame);
        if number % 64 == 0 {
            world.stack_turn();
        }
    }
    world.stack_turn();
    let stats = world.stack.stats();
    assert_eq!(stats.half_open, 100);
    assert_eq!(stats.dropped(DropReason::HalfOpenFull), 4900);
    assert_eq!(stats.open, 0, "no socket was made for any of them");
    let (_, server) = world.connected(80);
    assert!(world.read(server).is_pending(), "who answers gets in");
    for _ in 0..20 {
        world.now += Duration::from_secs(1);
        world.stack_turn();
    }
    assert_eq!(world.stack.stats().half_open, 0);
}

/// The client's next data segment, as a template for forged ones.
fn data_segment(world: &mut World, client: smoltcp::iface::SocketHandle) -> Vec<u8> {
    world.client.tcp(client).send_slice(b"x").unwrap();
    world.client.poll(smoltcp::time::Instant::from_millis(10));
    world.client.port.sent.pop_front().unwrap()
}

#[test]
fn a_blind_reset_is_doubted_and_an_exact_one_believed() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let mut reset = data_segment(&mut world, client);
    reset.truncate(54);
    reset[16..18].copy_from_slice(&40u16.to_be_bytes());
    reset[46] = 5 << 4;
    reset[47] = 0x14;
    let exact = u32::from_be_bytes(reset[38..42].try_into().unwrap());
    for (offset, answers) in [(1000u32, 1), (0x4000_0000, 0)] {
        reset[38..42].copy_from_slice(&exact.wrapping_add(offset).to_be_bytes());
        fix_checksums(&mut reset);
        world.inject(reset.clone());
        assert_eq!(world.stack_turn().len(), answers, "offset {offset}");
        assert!(world.read(server).is_pending());
    }
    reset[38..42].copy_from_slice(&exact.to_be_bytes());
    fix_checksums(&mut reset);
    world.inject(reset);
    world.stack_turn();
    assert_eq!(
        world.read(server),
        Poll::Ready(Err(ReadError::ConnectionReset))
    );
}

#[test]
fn a_checksum_is_verified_unless_the_device_vouches_for_it() {
    for trusted in [false, true] {
        let mut world = World::new();
        world.bind(80);
        let (client, server) = world.connected(80);
        let mut frame = data_segment(&mut world, client);
        let last = frame.len() - 1;
        frame[last] ^= 0xff;
        world.link.borrow_mut().trusted = trusted;
        world.inject(frame);
        world.stack_turn();
        assert_eq!(world.read(server).is_ready(), trusted);
    }
}

#[test]
fn connections_beyond_the_cap_are_not_answered() {
    let mut config = config();
    config.limits.connections = 3;
    let mut world = World::with(config, false);
    world.bind(80);
    let clients: Vec<_> = (0..5)
        .map(|_| world.client.connect((ADDRESS, 80)))
        .collect();
    world.settle();
    let states: Vec<_> = clients
        .iter()
        .map(|client| world.client_state(*client))
        .collect();
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == State::Closed)
            .count(),
        0,
        "{states:?}"
    );
    assert_eq!(world.stack.stats().open, 3);
}
