//! UDP and pings, against a peer that is made of bytes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Poll, Waker};
use std::time::Duration;

use toro_net::{Address, BindError, DropReason, PingError, ReceiveError, SendError, Stack};

use crate::bytes::{self, PEER, PEER_MAC};
use crate::world::{ADDRESS, World, config};

const TO: SocketAddr = SocketAddr::new(IpAddr::V4(PEER), 4000);

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

fn receive(stack: &mut Stack, id: toro_net::UdpId) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2000];
    match stack.udp_receive(id, &mut buffer, Waker::noop()) {
        Poll::Ready(received) => {
            let (len, from) = received.unwrap();
            Some((buffer[..len].to_vec(), from))
        }
        Poll::Pending => None,
    }
}

/// Answers the question for the peer's station, and returns what else the stack sends.
fn answer_arp(world: &mut World) -> Vec<Vec<u8>> {
    let (questions, mut rest): (Vec<_>, Vec<_>) = world
        .stack_turn()
        .into_iter()
        .partition(|f| bytes::is_arp(f));
    assert!(!questions.is_empty(), "the hop is asked for");
    for question in questions {
        world.inject(bytes::arp_reply(&question));
    }
    rest.extend(world.stack_turn());
    rest
}

#[test]
fn a_datagram_waits_for_the_station_and_is_well_formed() {
    for tx_checksum in [false, true] {
        let mut world = World::with(config(), tx_checksum);
        let id = world.stack.udp_bind(any(0)).unwrap();
        let sent = world.stack.udp_send(world.now, id, Some(TO), b"hello");
        assert_eq!(sent, Ok(()));
        let frames = answer_arp(&mut world);
        assert_eq!(frames.len(), 1);
        let datagram = bytes::udp_of(&frames[0]).expect("its sums are right");
        let (local, _, _) = world.stack.udp_state(id).unwrap();
        assert_eq!(
            (datagram.from, datagram.to),
            (SocketAddr::from((ADDRESS, local.port())), TO)
        );
        assert_eq!(datagram.payload, b"hello");
        assert_eq!(frames[0][..6], PEER_MAC);
        // The next one needs no question.
        world
            .stack
            .udp_send(world.now, id, Some(TO), b"again")
            .unwrap();
        assert_eq!(world.stack_turn().len(), 1);
    }
}

#[test]
fn a_hop_that_never_answers_is_given_up_and_holds_little() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(9)).unwrap();
    for number in 0..100u8 {
        let to = SocketAddr::from(([10, 0, 2, number.max(100)], 7));
        let _ = world.stack.udp_send(world.now, id, Some(to), &[number]);
    }
    let mut questions = 0;
    for _ in 0..100 {
        questions += world
            .stack_turn()
            .iter()
            .filter(|f| bytes::is_arp(f))
            .count();
        world.now += Duration::from_millis(100);
    }
    assert_eq!(questions, 4, "one a second, and then no more");
    world.inject(bytes::arp_from(Ipv4Addr::new(10, 0, 2, 100)));
    assert!(world.stack_turn().is_empty(), "what waited is gone");
}

#[test]
fn an_answer_comes_from_where_it_is_expected() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(53)).unwrap();
    let own = SocketAddr::from((ADDRESS, 53));
    world.inject(bytes::udp(TO, own, b"one"));
    let other = SocketAddr::from((PEER, 4001));
    world.inject(bytes::udp(other, own, b"two"));
    world.stack_turn();
    assert_eq!(receive(&mut world.stack, id), Some((b"one".to_vec(), TO)));
    assert_eq!(
        receive(&mut world.stack, id),
        Some((b"two".to_vec(), other))
    );
    assert_eq!(receive(&mut world.stack, id), None);

    world.stack.udp_connect(id, Some(TO));
    world.inject(bytes::udp(other, own, b"not wanted"));
    world.inject(bytes::udp(TO, own, b"wanted"));
    world.stack_turn();
    assert_eq!(
        receive(&mut world.stack, id),
        Some((b"wanted".to_vec(), TO))
    );
    assert_eq!(receive(&mut world.stack, id), None);
}

#[test]
fn what_is_malformed_or_for_nobody_is_dropped_and_counted() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(53)).unwrap();
    let own = SocketAddr::from((ADDRESS, 53));
    let good = bytes::udp(TO, own, b"text");
    let mut check = |change: &dyn Fn(&mut Vec<u8>), reason: DropReason| {
        let before = world.stack.stats().dropped(reason);
        let mut frame = good.clone();
        change(&mut frame);
        world.inject(frame);
        world.stack_turn();
        assert_eq!(
            world.stack.stats().dropped(reason),
            before + 1,
            "{reason:?}"
        );
        assert_eq!(receive(&mut world.stack, id), None, "{reason:?}");
    };
    check(&|f| f[42] ^= 1, DropReason::BadChecksum);
    let other_port = |frame: &mut Vec<u8>| {
        frame[37] = 200;
        bytes::fix(frame);
    };
    check(&other_port, DropReason::NoSocket);
    check(&|f| f[39] = 200, DropReason::Truncated);
    check(&|f| f[39] = 7, DropReason::Truncated);
    check(&|f| f[0] = 1, DropReason::NoSocket);
    // Without a checksum.
    let mut frame = good.clone();
    frame[40..42].fill(0);
    world.inject(frame);
    world.stack_turn();
    assert_eq!(receive(&mut world.stack, id), Some((b"text".to_vec(), TO)));
}

#[test]
fn a_queue_holds_what_it_may_and_no_more() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(53)).unwrap();
    world.stack.udp_set_room(id, 10 * (100 + 64));
    for _ in 0..12 {
        world.inject(bytes::udp(TO, (ADDRESS, 53).into(), &[1; 100]));
    }
    world.stack_turn();
    assert_eq!(world.stack.udp_state(id).unwrap().2, 2);
    assert_eq!(world.stack.stats().dropped(DropReason::QueueFull), 2);
    for _ in 0..10 {
        assert!(receive(&mut world.stack, id).is_some());
    }
    world.inject(bytes::udp(TO, (ADDRESS, 53).into(), &[1; 100]));
    world.stack_turn();
    assert!(
        receive(&mut world.stack, id).is_some(),
        "there is room again"
    );
}

#[test]
fn ports_are_bound_once_and_drawn_at_random() {
    let mut world = World::new();
    let first = world.stack.udp_bind(any(53)).unwrap();
    assert_eq!(world.stack.udp_bind(any(53)), Err(BindError::PortInUse));
    world.stack.udp_close(first);
    world.stack.udp_bind(any(53)).unwrap();
    let elsewhere = SocketAddr::from((PEER, 54));
    assert_eq!(
        world.stack.udp_bind(elsewhere),
        Err(BindError::NotOurAddress)
    );
    let mut ports: Vec<u16> = (0..50)
        .map(|_| {
            let id = world.stack.udp_bind(any(0)).unwrap();
            world.stack.udp_state(id).unwrap().0.port()
        })
        .collect();
    let steps = ports.windows(2).filter(|p| p[1] == p[0] + 1).count();
    assert!(steps < 3, "nobody can foresee the next one: {ports:?}");
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
    assert!(ports[0] >= 32_768);
}

#[test]
fn what_cannot_leave_is_refused() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(0)).unwrap();
    let mut check = |to: Option<SocketAddr>, len: usize, expected: SendError| {
        let sent = world.stack.udp_send(world.now, id, to, &vec![0; len]);
        assert_eq!(sent, Err(expected), "{to:?}");
    };
    check(None, 1, SendError::NotConnected);
    check(Some(TO), 1473, SendError::TooLong);
    check(Some(TO), 70_000, SendError::TooLong);
    for host in [
        [10, 0, 2, 15],
        [255; 4],
        [224, 0, 0, 1],
        [127, 0, 0, 1],
        [8, 8, 8, 8],
    ] {
        check(Some((host, 7).into()), 1, SendError::Unreachable);
    }
    check(Some((PEER, 0).into()), 1, SendError::Unreachable);
    let mut config = config();
    config.address = Address::Dhcp;
    let mut world = World::with(config, false);
    let id = world.stack.udp_bind(any(0)).unwrap();
    let sent = world.stack.udp_send(world.now, id, Some(TO), b"x");
    assert_eq!(sent, Err(SendError::Unreachable), "no address yet");
}

#[test]
fn a_peer_without_the_port_is_told_once() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(0)).unwrap();
    world.stack.udp_connect(id, Some(TO));
    world
        .stack
        .udp_send(world.now, id, None, b"anybody there?")
        .unwrap();
    let sent = answer_arp(&mut world).remove(0);
    world.inject(bytes::port_unreachable(&sent));
    world.stack_turn();
    let mut buffer = [0; 8];
    let mut receive = || world.stack.udp_receive(id, &mut buffer, Waker::noop());
    assert_eq!(receive(), Poll::Ready(Err(ReceiveError::Refused)));
    assert!(receive().is_pending());
}

#[test]
fn a_ping_is_answered_by_who_was_asked() {
    let mut world = World::new();
    let ping = world.stack.ping(world.now, PEER.into()).unwrap();
    let asked = answer_arp(&mut world).remove(0);
    assert!(world.stack.poll_ping(&ping, Waker::noop()).is_pending());

    let mut forged = bytes::echo_reply(&asked);
    bytes::change_source(&mut forged, Ipv4Addr::new(10, 0, 2, 3));
    world.inject(forged);
    let mut guessed = bytes::echo_reply(&asked);
    guessed[50] ^= 1;
    bytes::fix_icmp(&mut guessed);
    world.inject(guessed);
    world.stack_turn();
    assert!(world.stack.poll_ping(&ping, Waker::noop()).is_pending());

    world.now += Duration::from_millis(7);
    world.inject(bytes::echo_reply(&asked));
    world.stack_turn();
    assert_eq!(
        world.stack.poll_ping(&ping, Waker::noop()),
        Poll::Ready(Duration::from_millis(7))
    );
    world.stack.end_ping(&ping);
    assert!(world.stack.poll_ping(&ping, Waker::noop()).is_pending());
}

#[test]
fn there_are_only_so_many_open_pings() {
    let mut world = World::new();
    let pings: Vec<_> = (0..64)
        .map(|_| world.stack.ping(world.now, PEER.into()).unwrap())
        .collect();
    let one_more = world.stack.ping(world.now, PEER.into());
    assert_eq!(one_more, Err(PingError::TooMany));
    world.stack.end_ping(&pings[0]);
    assert!(world.stack.ping(world.now, PEER.into()).is_ok());
}

#[test]
fn a_storm_of_mutated_datagrams_does_no_harm() {
    let mut world = World::new();
    let id = world.stack.udp_bind(any(53)).unwrap();
    let ping = world.stack.ping(world.now, PEER.into()).unwrap();
    let asked = answer_arp(&mut world).remove(0);
    let corpus = [
        bytes::udp(TO, (ADDRESS, 53).into(), b"some text"),
        bytes::echo_reply(&asked),
        bytes::port_unreachable(&asked),
    ];
    let mut rng = crate::wire::Rng::new(77);
    for _ in 0..100_000 {
        let mut frame = corpus[rng.below(3)].clone();
        for _ in 0..=rng.below(3) {
            if rng.chance(200) {
                frame.truncate(rng.below(frame.len() + 1).max(1));
            }
            let at = rng.below(frame.len());
            frame[at] = rng.next() as u8;
        }
        if rng.chance(700) {
            bytes::fix(&mut frame);
        }
        world.inject(frame);
        world.stack_turn();
    }
    while receive(&mut world.stack, id).is_some() {}
    world.stack.end_ping(&ping);
    world.inject(bytes::udp(TO, (ADDRESS, 53).into(), b"still here"));
    world.stack_turn();
    assert_eq!(
        receive(&mut world.stack, id),
        Some((b"still here".to_vec(), TO))
    );
}
