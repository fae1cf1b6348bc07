//! Windows of more than 64 KiB (RFC 7323, 2).

use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::CongestionControl;
use toro_net::{Config, ConnectionId};

use crate::station;
use crate::wire::Rng;
use crate::world::{ADDRESS, World, config};

const MIB: usize = 1 << 20;
/// What 1 MiB takes: see [`Config::offer_large_windows`].
const SHIFT: u8 = 5;

fn wide() -> Config {
    let mut config = config();
    config.offer_large_windows();
    config
}

/// The window scale in a SYN.
fn scale(frame: &[u8]) -> Option<u8> {
    let end = 34 + usize::from(frame[46] >> 4) * 4;
    let mut at = 54;
    while at < end {
        match frame[at] {
            0 => return None,
            1 => at += 1,
            3 => return Some(frame[at + 2]),
            _ => at += usize::from(frame[at + 1]),
        }
    }
    None
}

fn is_tcp(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 6
}

fn connected(world: &mut World) -> (SocketHandle, ConnectionId) {
    world.bind(80);
    let client = world.client.connect_with(4 * MIB, 40_001, (ADDRESS, 80));
    world.settle();
    (client, world.accept(80).expect("it is connected"))
}

/// What an upload was like.
#[derive(Debug)]
struct Upload {
    took: Duration,
    /// The most that was on its way.
    most: usize,
}

/// Sends 8 MiB up over a way of 50 ms, and checks what comes out.
fn upload(mut world: World) -> Upload {
    let (client, server) = connected(&mut world);
    // Nothing but the window bounds what is on its way.
    let socket = world.client.tcp(client);
    socket.set_congestion_control(CongestionControl::None);
    let mut rng = Rng::new(3);
    let text: Vec<u8> = (0..8 * MIB).map(|_| rng.next() as u8).collect();
    world.flight.weather.way = Duration::from_millis(50);
    let (start, mut sent, mut read, mut most) = (world.now, 0, Vec::new(), 0);
    let mut bytes = vec![0; MIB];
    while read.len() < text.len() {
        sent += world.client.tcp(client).send_slice(&text[sent..]).unwrap();
        let delivered = sent - world.client.tcp(client).send_queue();
        if !world.turn() {
            world.now = world.next_event();
        }
        // All at once: a window is told anew when it has doubled.
        if let Poll::Ready(len) = world.stack.read(server, &mut bytes, Waker::noop()) {
            read.extend_from_slice(&bytes[..len.unwrap()]);
        }
        // The acknowledgements that are on their way back count too.
        most = most.max(read.len() - delivered.min(read.len()));
        let took = world.now.duration_since(start);
        assert!(
            took < Duration::from_secs(600),
            "stuck after {}",
            read.len()
        );
    }
    assert!(read == text, "the bytes differ");
    Upload {
        took: world.now.duration_since(start),
        most,
    }
}

#[test]
fn a_long_way_is_filled() {
    for tx_checksum in [false, true] {
        let usual = upload(World::with(config(), tx_checksum));
        let large = upload(World::with(wide(), tx_checksum));
        assert!(usual.most <= 64 << 10, "{usual:?}");
        assert!(large.most > 512 << 10, "{large:?}");
        assert!(large.took * 5 < usual.took, "{large:?} {usual:?}");
    }
}

#[test]
fn rings_of_other_sizes_tell_their_window_in_the_same_scale() {
    let mut world = World::with(wide(), false);
    world.bind(80);
    let client = world.client.connect_with(4 * MIB, 40_001, (ADDRESS, 80));
    let mut shown = Vec::new();
    for _ in 0..10 {
        world.client.poll(smoltcp::time::Instant::from_millis(10));
        while let Some(frame) = world.client.port.sent.pop_front() {
            world.inject(frame);
        }
        let frames = world.stack_turn();
        shown.extend(frames.iter().filter(|frame| is_tcp(frame)).cloned());
        world.client.port.received.extend(frames);
    }
    assert_eq!(scale(&shown[0]), Some(SHIFT));
    assert_eq!(
        shown[0][48..50],
        8192u16.to_be_bytes(),
        "not scaled in a SYN|ACK"
    );
    let server = world.accept(80).unwrap();
    let count = shown.len();
    assert_eq!(world.write(server, b"hello"), Poll::Ready(Ok(5)));
    shown.extend(world.stack_turn());
    assert_eq!(shown[count][48..50], (8192u16 >> SHIFT).to_be_bytes());
    world.client.port.received.push_back(shown[count].clone());
    world.settle();
    assert_eq!(world.client_reads(client), b"hello", "the sum is right");
}

#[test]
fn a_peer_that_does_not_scale_is_told_what_fits() {
    let mut world = World::with(wide(), false);
    world.link.borrow_mut().trusted = true;
    world.bind(80);
    let client = world.client.connect_with(4 * MIB, 40_001, (ADDRESS, 80));
    let now = smoltcp::time::Instant::from_millis(10);
    let mut sent = 0;
    let mut windows = Vec::new();
    let mut server = None;
    let mut read = 0;
    for _ in 0..3000 {
        world.client.poll(now);
        while let Some(mut frame) = world.client.port.sent.pop_front() {
            let is_syn = is_tcp(&frame) && frame[47] & 2 != 0;
            if let Some(at) =
                (54..frame.len()).find(|at| is_syn && frame[*at..].starts_with(&[3, 3]))
            {
                frame[at..at + 3].fill(1);
            }
            world.inject(frame);
        }
        let frames = world.stack_turn();
        for frame in frames.iter().filter(|frame| is_tcp(frame)) {
            assert!(frame[47] & 2 == 0 || scale(frame).is_none());
            windows.push(u16::from_be_bytes([frame[48], frame[49]]));
        }
        world.client.port.received.extend(frames);
        server = server.or_else(|| world.accept(80));
        let socket = world.client.tcp(client);
        if sent < MIB && socket.can_send() {
            sent += socket.send_slice(&[7; 50_000]).unwrap();
        }
        while let Some(Poll::Ready(bytes)) = server.map(|server| world.read(server)) {
            read += bytes.unwrap().len();
        }
    }
    assert!(sent >= MIB && read == sent, "{read} of {sent}");
    assert_eq!(windows[0], 8192);
    assert!(
        windows.iter().any(|window| *window > 40_000),
        "a grown ring"
    );
}

#[test]
fn connections_of_ours_offer_the_scale() {
    for (config, expected) in [(wide(), SHIFT), (config(), 0)] {
        for tx_checksum in [false, true] {
            let mut world = World::with(config.clone(), tx_checksum);
            let there = world.client.listen(90);
            let to = SocketAddr::from((station::ADDRESS, 90));
            let id = world.stack.connect(world.now, to).unwrap();
            let mut shown = Vec::new();
            for round in 0..20 {
                if round == 10 {
                    assert_eq!(world.write(id, b"abc"), Poll::Ready(Ok(3)));
                }
                let frames = world.stack_turn();
                shown.extend(frames.iter().filter(|frame| is_tcp(frame)).cloned());
                world.client.port.received.extend(frames);
                world.client.poll(smoltcp::time::Instant::from_millis(10));
                while let Some(frame) = world.client.port.sent.pop_front() {
                    world.inject(frame);
                }
            }
            assert_eq!(world.client_reads(there), b"abc");
            assert_eq!((shown[0][47], scale(&shown[0])), (2, Some(expected)));
            for frame in &shown[1..] {
                assert_eq!(frame[48..50], (8192u16 >> expected).to_be_bytes());
            }
        }
    }
}
