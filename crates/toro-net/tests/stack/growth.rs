//! Send rings that grow, and long frames that the device cuts.

use std::task::Poll;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use toro_net::{Buffers, Config, ConnectionId};

use crate::flight::Weather;
use crate::wire::Rng;
use crate::world::{ADDRESS, World, config};

const MIB: usize = 1 << 20;
/// A frame with 1460 bytes of payload.
const FULL: usize = 1514;

fn text(len: usize) -> Vec<u8> {
    let mut rng = Rng::new(7);
    (0..len).map(|_| rng.next() as u8).collect()
}

fn connected(world: &mut World, from: u16) -> (SocketHandle, ConnectionId) {
    let client = world.client.connect_with(256 << 10, from, (ADDRESS, 80));
    world.settle();
    let server = world.accept(80).expect("it is connected");
    (client, server)
}

/// Sends `bytes` down and checks what comes out. Returns the longest flight.
fn download(world: &mut World, client: SocketHandle, server: ConnectionId, bytes: &[u8]) -> usize {
    let (mut sent, mut flight) = (0, 0);
    let mut read = Vec::new();
    let end = world.now + Duration::from_secs(600);
    while read.len() < bytes.len() {
        while sent < bytes.len()
            && let Poll::Ready(written) = world.write(server, &bytes[sent..])
        {
            sent += written.unwrap();
        }
        flight = flight.max(sent - read.len());
        if !world.turn() {
            world.now = world.next_event();
        }
        read.extend(world.client_reads(client));
        assert!(world.now < end, "stuck after {} bytes", read.len());
    }
    assert!(read == bytes, "the bytes differ");
    flight
}

fn cut(world: &World) -> usize {
    world.link.borrow().cut.unwrap_or(0)
}

#[test]
fn a_large_download_leaves_in_long_frames_and_arrives_whole() {
    let mut world = World::cutting(config());
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    let flight = download(&mut world, client, server, &text(4 * MIB));
    assert!(flight > 100 << 10, "the ring has grown: {flight}");
    let stats = world.stack.stats();
    assert!(
        cut(&world) > 4 * MIB / 65_536,
        "some are longer than the wire takes"
    );
    assert!(stats.frames_out < 400, "{} frames", stats.frames_out);
    assert_eq!(stats.retransmits, 0);
}

#[test]
fn a_ring_grows_without_a_device_that_cuts() {
    let mut world = World::with(config(), false);
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    let flight = download(&mut world, client, server, &text(MIB));
    assert!(flight > 100 << 10, "the ring has grown: {flight}");
    assert_eq!(world.stack.stats().retransmits, 0);
}

#[test]
fn the_first_flight_is_bounded() {
    let mut world = World::cutting(config());
    world.bind(80);
    let (_, server) = connected(&mut world, 40_001);
    let bytes = text(MIB);
    let Poll::Ready(written) = world.write(server, &bytes) else {
        panic!("an empty ring has room");
    };
    assert_eq!(written.unwrap(), Buffers::default().send);
    assert!(world.write(server, &bytes).is_pending());
    assert_eq!(cut(&world), 0);
}

#[test]
fn a_small_answer_grows_nothing() {
    let mut world = World::cutting(config());
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    for _ in 0..100 {
        download(&mut world, client, server, &text(2000));
    }
    assert_eq!(cut(&world), 0);
}

fn with_growth(total: usize) -> Config {
    let mut config = config();
    config.growth.total = total;
    config
}

#[test]
fn growth_is_bounded_over_all_connections_and_comes_back() {
    let mut world = World::cutting(with_growth(112 << 10));
    world.bind(80);
    let bytes = text(MIB);
    let (first, one) = connected(&mut world, 40_001);
    let (second, two) = connected(&mut world, 40_002);
    assert!(download(&mut world, first, one, &bytes) > 100 << 10);
    assert!(
        download(&mut world, second, two, &bytes) <= 16 << 10,
        "all is taken"
    );
    world.stack.close(world.now, one);
    world.client.tcp(first).close();
    world.pass(Duration::from_secs(30));
    assert!(download(&mut world, second, two, &bytes) > 100 << 10);
}

#[test]
fn what_is_sent_again_fits_the_wire() {
    let mut world = World::cutting(config());
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    download(&mut world, client, server, &text(MIB));
    let before = cut(&world);
    assert!(before > 0);
    let delay = Duration::from_millis(1);
    world.flight.weather = Weather {
        lose: 20,
        delay,
        ..Weather::default()
    };
    download(&mut world, client, server, &text(MIB));
    assert!(world.stack.stats().retransmits > 0);
    let long = cut(&world) - before;
    assert!(long < 8, "long frames until the first loss is seen: {long}");
    let longest = world.link.borrow().from_stack.iter().map(Vec::len).max();
    assert!(longest.unwrap_or(0) <= FULL);
}

#[test]
fn a_request_in_between_is_not_lost() {
    let mut world = World::cutting(config());
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    let bytes = text(256 << 10);
    for round in 0..8u8 {
        let request = vec![round; 100 + usize::from(round)];
        world.client.tcp(client).send_slice(&request).unwrap();
        world.settle();
        assert_eq!(world.read(server), Poll::Ready(Ok(request)));
        download(&mut world, client, server, &bytes);
    }
    world.stack.close(world.now, server);
    world.client.tcp(client).close();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.stack.stats().open, 0);
}

#[test]
fn a_peer_with_small_segments_gets_no_long_frames() {
    let mut world = World::cutting(config());
    world.client = crate::station::Station::with_mtu(600);
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    download(&mut world, client, server, &text(MIB));
    assert_eq!(cut(&world), 0);
}

/// The client sends `bytes`, and the server reads them as they come; returns the most that was on its way at once.
fn upload(world: &mut World, client: SocketHandle, server: ConnectionId, bytes: &[u8]) -> usize {
    let (mut sent, mut read) = (0, Vec::new());
    let mut most = 0;
    while read.len() < bytes.len() {
        let socket = world.client.tcp(client);
        if socket.can_send() {
            sent += socket.send_slice(&bytes[sent..]).unwrap();
        }
        world.client.poll(smoltcp::time::Instant::from_micros(
            (world.now.as_nanos() / 1000) as i64,
        ));
        most = most.max(
            world
                .client
                .port
                .sent
                .iter()
                .map(|frame| frame.len() - 54)
                .sum(),
        );
        world.turn();
        while let Poll::Ready(Ok(some)) = world.read(server) {
            read.extend(some);
        }
        world.now += Duration::from_micros(100);
    }
    assert!(read == bytes, "they came in order");
    most
}

#[test]
fn the_receive_ring_grows_with_what_is_read() {
    let mut world = World::with(config(), false);
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    let most = upload(&mut world, client, server, &text(MIB));
    assert!(most > 20_000, "the client sends large flights: {most}");
    let (client, server) = connected(&mut world, 40_002);
    let most = upload(&mut world, client, server, &text(8_000));
    assert!(
        most <= Buffers::default().receive,
        "a new one begins small: {most}"
    );
}

#[test]
fn receive_rings_share_what_all_may_grow_by() {
    let mut world = World::with(with_growth(30 << 10), false);
    world.bind(80);
    for port in 40_001..40_004 {
        let (client, server) = connected(&mut world, port);
        let most = upload(&mut world, client, server, &text(MIB));
        assert_eq!(
            most > Buffers::default().receive,
            port == 40_001,
            "{port}: {most}"
        );
    }
}

#[test]
fn a_connection_that_uploads_may_download_with_a_large_ring() {
    let mut world = World::cutting(config());
    world.bind(80);
    let (client, server) = connected(&mut world, 40_001);
    upload(&mut world, client, server, &text(MIB));
    let flight = download(&mut world, client, server, &text(MIB));
    assert!(flight > 100 << 10, "{flight}");
    let most = upload(&mut world, client, server, &text(MIB));
    assert!(most > 20_000, "{most}");
    assert_eq!(world.stack.stats().retransmits, 0);
}
