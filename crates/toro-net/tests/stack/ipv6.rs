//! IPv6 against a router and a neighbour that are made of bytes.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use toro_net::{Address6, ConnectError, DropReason, Ipv6, SendError, Stack, View};
use toro_time::Instant;

use crate::bytes6::{
    FAR, GLOBAL, OWN, PEER, PEER_MAC, ROUTER, ROUTER_MAC, Sent, advertisement, icmp, ip, neighbour,
    packet, segment, sent, sum,
};
use crate::wire::{FakeNet, Link, MAC, Rng};
use crate::world::config;

struct World {
    now: Instant,
    stack: Stack,
    link: Rc<RefCell<Link>>,
    view: View,
}

impl World {
    fn with(mode: Address6) -> Self {
        let now = Instant::ZERO + Duration::from_millis(10);
        let (device, link) = FakeNet::new(true);
        let (card, ipv6) = Ipv6::before(Box::new(device));
        let view = ipv6.view();
        let mut stack = Stack::new(card, config(), now);
        stack.start_ipv6(now, ipv6, mode);
        Self {
            now,
            stack,
            link,
            view,
        }
    }

    /// With an address on the link, and what was sent until then.
    fn new() -> (Self, Vec<Sent>) {
        let mut world = Self::with(Address6::Auto);
        let mut all = world.turn();
        all.extend(world.pass(1000));
        (world, all)
    }

    /// With an address from a router.
    fn routed() -> Self {
        let (mut world, _) = Self::new();
        world.inject(advertisement(ROUTER, "2001:db8:1:2::", (1800, 86_400)));
        world.turn();
        world.pass(1000);
        world
    }

    fn inject(&mut self, frame: Vec<u8>) {
        self.link.borrow_mut().to_stack.push_back(frame);
    }

    fn turn(&mut self) -> Vec<Sent> {
        self.stack.receive(self.now, 64);
        self.stack.serve(self.now);
        self.stack.advance(self.now);
        self.stack.advance(self.now);
        let frames: Vec<_> = self.link.borrow_mut().from_stack.drain(..).collect();
        frames.iter().filter_map(|frame| sent(frame)).collect()
    }

    fn give(&mut self, frame: Vec<u8>) -> Vec<Sent> {
        self.inject(frame);
        self.turn()
    }

    fn pass(&mut self, millis: u64) -> Vec<Sent> {
        let end = self.now + Duration::from_millis(millis);
        let mut all = self.turn();
        while self.now < end {
            let next = self.stack.next_deadline().unwrap_or(end);
            self.now = next.clamp(self.now + Duration::from_micros(1), end);
            all.extend(self.turn());
        }
        all
    }

    fn own(&self) -> Vec<String> {
        let own = self.view.addresses().own;
        own.iter().map(Ipv6Addr::to_string).collect()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.stack.stats().dropped(reason)
    }

    fn drops(&self) -> u64 {
        self.stack.stats().drops.iter().sum()
    }
}

fn of_kind(sent: &[Sent], kind: u8) -> Vec<&Sent> {
    let is = |sent: &&Sent| sent.protocol == 58 && sent.payload[0] == kind;
    sent.iter().filter(is).collect()
}

#[test]
fn an_address_is_ours_when_nobody_has_objected_for_a_second() {
    let mut world = World::with(Address6::Auto);
    let first = world.turn();
    let probes = of_kind(&first, 135);
    assert_eq!(probes.len(), 1);
    assert_eq!(probes[0].source, Ipv6Addr::UNSPECIFIED);
    assert_eq!(probes[0].target, ip("ff02::1:ff00:1"));
    assert_eq!(probes[0].to_mac, [0x33, 0x33, 0xff, 0, 0, 1]);
    assert_eq!((probes[0].hop, probes[0].payload.len()), (255, 24));
    assert!(
        first.iter().any(|sent| sent.protocol == 0),
        "the group was joined"
    );
    world.pass(999);
    assert!(world.own().is_empty());
    let rest = world.pass(1);
    assert_eq!(world.own(), [OWN]);
    let asked = of_kind(&rest, 133);
    assert_eq!((asked.len(), asked[0].target), (1, ip("ff02::2")));
    // Nobody answers: three times in all, and then there is nothing more to do.
    let later = world.pass(600_000);
    assert_eq!(of_kind(&later, 133).len(), 2);
    assert_eq!(world.own(), [OWN]);
}

#[test]
fn an_address_that_somebody_has_is_not_taken() {
    let taken = neighbour(136, 0x20, OWN, 2, PEER_MAC);
    let wanted = neighbour(135, 0, OWN, 14, PEER_MAC);
    for (payload, from) in [(taken, PEER), (wanted, "::")] {
        let mut world = World::with(Address6::Auto);
        world.turn();
        let to = if from == "::" {
            "ff02::1:ff00:1"
        } else {
            "ff02::1"
        };
        world.give(icmp(255, (from, PEER_MAC), to, &payload));
        world.pass(10_000);
        assert!(world.own().is_empty());
        assert_eq!(world.view.addresses().conflicts, 1);
    }
}

#[test]
fn a_router_gives_an_address_a_way_and_a_name_server() {
    let (mut world, _) = World::new();
    let to = SocketAddr::from((ip(FAR), 7));
    let refused = world.stack.connect(world.now, to);
    assert_eq!(refused, Err(ConnectError::Unreachable));
    let sent = world.give(advertisement(ROUTER, "2001:db8:1:2::", (1800, 86_400)));
    assert_eq!(of_kind(&sent, 135).len(), 1, "others may object");
    world.pass(1000);
    assert_eq!(world.own(), [OWN, GLOBAL]);
    let known = world.view.addresses();
    assert_eq!(known.routers, [ip(ROUTER)]);
    assert_eq!(known.dns, [ip("2001:db8::53")]);
    world.stack.connect(world.now, to).unwrap();
    let sent = world.turn();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].source, sent[0].target), (ip(GLOBAL), ip(FAR)));
    assert_eq!(sent[0].to_mac, ROUTER_MAC, "it has said where it is");
    // 1,400 bytes of a packet, less two headers.
    let options = &sent[0].payload[20..];
    assert_eq!(options[..4], [2, 4, 5, 0x3c]);
    // Everything ends with its time.
    world.pass(86_500_000);
    assert_eq!(world.own(), [OWN]);
    let known = world.view.addresses();
    assert_eq!((known.routers.len(), known.dns.len()), (0, 0));
}

#[test]
fn nobody_ends_an_address_within_two_hours() {
    let mut world = World::routed();
    world.give(advertisement(ROUTER, "2001:db8:1:2::", (0, 1)));
    assert!(world.view.addresses().routers.is_empty());
    world.pass(7_100_000);
    assert_eq!(world.own(), [OWN, GLOBAL]);
    world.pass(101_000);
    assert_eq!(world.own(), [OWN]);
}

#[test]
fn whoever_pretends_to_be_a_router_fills_nothing() {
    let (mut world, _) = World::new();
    let mut rng = Rng::new(4);
    for _ in 0..3000 {
        let router = format!("fe80::{:x}", 1 + rng.below(60_000));
        let prefix = format!("2001:db8:{:x}:{:x}::", rng.below(60_000), rng.below(60_000));
        let frame = advertisement(&router, &prefix, (9000, u32::MAX));
        world.give(frame);
    }
    world.pass(2000);
    let known = world.view.addresses();
    assert!(known.own.len() <= 5 && known.routers.len() <= 4 && known.dns.len() <= 3);
    let before = world.drops();
    let good = advertisement(ROUTER, "2001:db8:1:2::", (1800, 1800));
    let mut far = good.clone();
    far[21] = 254;
    world.give(far);
    world.give(advertisement("2001:db8::1", "2001:db8:1:2::", (1800, 1800)));
    assert_eq!(world.drops(), before + 2);
    // Every single bit, and every length.
    for at in 54 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        world.give(bad);
    }
    assert_eq!(world.drops(), before + 2 + (good.len() as u64 - 54) * 8);
    for len in 0..good.len() {
        world.give(good[..len].to_vec());
    }
    // And whatever the sum says.
    for _ in 0..20_000 {
        let len = 8 + rng.below(120);
        let mut payload: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
        payload[0] = 133 + rng.below(5) as u8;
        payload[1] = 0;
        payload[2..4].fill(0);
        let to = ["ff02::1", OWN][rng.below(2)];
        world.give(icmp(255, (ROUTER, ROUTER_MAC), to, &payload));
    }
    let known = world.view.addresses();
    assert!(known.own.len() <= 5 && known.routers.len() <= 4);
}

#[test]
fn who_asks_for_our_station_is_told() {
    let mut world = World::routed();
    for (target, group) in [(OWN, "ff02::1:ff00:1"), (GLOBAL, GLOBAL)] {
        let asked = neighbour(135, 0, target, 1, PEER_MAC);
        let sent = world.give(icmp(255, (PEER, PEER_MAC), group, &asked));
        assert_eq!(sent.len(), 1);
        let answer = &sent[0];
        assert_eq!((answer.to_mac, answer.target), (PEER_MAC, ip(PEER)));
        assert_eq!(answer.payload[..2], [136, 0]);
        assert_eq!(answer.payload[4], 0x60, "solicited, override");
        assert_eq!(answer.payload[8..24], ip(target).octets());
        assert_eq!(answer.payload[24..], [&[2, 1][..], &MAC].concat());
    }
    let asked = neighbour(135, 0, "fe80::99", 1, PEER_MAC);
    let sent = world.give(icmp(255, (PEER, PEER_MAC), "ff02::1", &asked));
    assert!(sent.is_empty(), "that is not ours");
}

#[test]
fn pings_are_answered_and_asked() {
    let mut world = World::routed();
    let question = [&[128, 0, 0, 0, 1, 2, 3, 4][..], b"are you there"].concat();
    let sent = world.give(icmp(9, (FAR, ROUTER_MAC), GLOBAL, &question));
    assert_eq!((sent.len(), sent[0].to_mac), (1, ROUTER_MAC));
    assert_eq!((sent[0].source, sent[0].target), (ip(GLOBAL), ip(FAR)));
    assert_eq!(sent[0].payload[0], 129);
    assert_eq!(sent[0].payload[4..], question[4..]);
    assert!(
        world
            .give(icmp(9, (FAR, ROUTER_MAC), "ff02::1", &question))
            .is_empty()
    );

    let id = world.stack.ping(world.now, IpAddr::V6(ip(FAR))).unwrap();
    let sent = world.turn();
    assert_eq!((sent[0].payload[0], sent[0].protocol), (128, 58));
    let mut answer = sent[0].payload.clone();
    answer[0] = 129;
    answer[2..4].fill(0);
    assert!(world.stack.poll_ping(&id, Waker::noop()).is_pending());
    world.give(icmp(60, (FAR, ROUTER_MAC), GLOBAL, &answer));
    assert!(world.stack.poll_ping(&id, Waker::noop()).is_ready());
    world.stack.end_ping(&id);
}

/// The same packet with a header of `kind` before what it carries.
fn with_header(kind: u8, body: [u8; 6], mut frame: Vec<u8>) -> Vec<u8> {
    let next = std::mem::replace(&mut frame[20], kind);
    let len = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    frame[18..20].copy_from_slice(&len.to_be_bytes());
    frame.splice(54..54, [&[next, 0], &body[..]].concat());
    frame
}

#[test]
fn headers_for_others_are_walked_past() {
    let mut world = World::routed();
    let padding = [1, 4, 0, 0, 0, 0];
    let question = [&[128, 0, 0, 0, 1, 2, 3, 4][..], b"are you there"].concat();
    let ping = || icmp(9, (FAR, ROUTER_MAC), GLOBAL, &question);
    let plain = world.give(ping());
    for kind in [0, 60] {
        let sent = world.give(with_header(kind, padding, ping()));
        assert_eq!((sent.len(), &sent[0].payload), (1, &plain[0].payload));
    }
    let any = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 80);
    world.stack.bind(any).unwrap();
    let syn = segment(PEER, [4000, 80], [100, 0], 2, &[2, 4, 5, 0xb4]);
    let sent = world.give(with_header(60, padding, syn));
    let answered = sent
        .iter()
        .any(|sent| sent.protocol == 6 && sent.payload[13] == 0x12);
    assert!(answered, "{sent:?}");

    let (none, before) = (world.drops(), world.dropped(DropReason::BadIpHeader));
    assert_eq!(none, before);
    let unknown = with_header(60, [0xc2, 4, 0, 0, 0, 0], ping());
    assert!(world.give(unknown).is_empty());
    // Neighbours have no reason to say more than that.
    let asked = icmp(
        255,
        (PEER, PEER_MAC),
        OWN,
        &neighbour(135, 0, OWN, 1, PEER_MAC),
    );
    assert!(
        world
            .give(with_header(0, padding, asked.clone()))
            .is_empty()
    );
    assert_eq!(world.dropped(DropReason::BadIpHeader), before + 2);
    assert_eq!(world.give(asked).len(), 1);
}

#[test]
fn datagrams_go_both_ways_and_wait_for_the_station() {
    let (mut world, _) = World::new();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let id = world.stack.udp_bind(any).unwrap();
    let to = SocketAddr::from((ip(PEER), 4000));
    world
        .stack
        .udp_send(world.now, id, Some(to), b"hello")
        .unwrap();
    let sent = world.turn();
    let asked = of_kind(&sent, 135);
    assert_eq!((sent.len(), asked.len()), (1, 1));
    assert_eq!(asked[0].target, ip("ff02::1:ff00:77"));
    let answer = neighbour(136, 0x60, PEER, 2, PEER_MAC);
    let sent = world.give(icmp(255, (PEER, PEER_MAC), OWN, &answer));
    assert_eq!((sent.len(), sent[0].to_mac), (1, PEER_MAC));
    assert_eq!(
        (sent[0].protocol, &sent[0].payload[8..]),
        (17, &b"hello"[..])
    );
    let mut reply = sent[0].payload.clone();
    reply.swap(0, 2);
    reply.swap(1, 3);
    reply[6..8].fill(0);
    world.give(packet(17, 64, (PEER, PEER_MAC), OWN, 6, &reply));
    let mut buffer = [0; 100];
    match world.stack.udp_receive(id, &mut buffer, Waker::noop()) {
        Poll::Ready(Ok((len, from))) => assert_eq!((&buffer[..len], from), (&b"hello"[..], to)),
        other => panic!("{other:?}"),
    }
    // Without a checksum it is none (RFC 8200, 8.1).
    let mut bare = packet(17, 64, (PEER, PEER_MAC), OWN, 6, &reply);
    bare[60..62].fill(0);
    let before = world.dropped(DropReason::BadChecksum);
    world.give(bare);
    assert_eq!(world.dropped(DropReason::BadChecksum), before + 1);
    let nowhere = SocketAddr::from((ip(FAR), 9));
    let sent = world.stack.udp_send(world.now, id, Some(nowhere), b"");
    assert_eq!(sent, Err(SendError::Unreachable));
}

#[test]
fn a_neighbour_that_nobody_asked_changes_nothing() {
    let (mut world, _) = World::new();
    let asked = neighbour(135, 0, OWN, 1, PEER_MAC);
    world.give(icmp(255, (PEER, PEER_MAC), OWN, &asked));
    let thief = [6; 6];
    let mut rng = Rng::new(9);
    for _ in 0..5000 {
        let flags = [0, 0x20, 0x40, 0x60, 0xe0][rng.below(5)];
        let of = format!("fe80::{:x}", [0x77, 1 + rng.below(60_000)][rng.below(2)]);
        let kind = [135, 136][rng.below(2)];
        let said = match kind {
            135 => neighbour(135, 0, OWN, 1, thief),
            _ => neighbour(136, flags, &of, 2, thief),
        };
        let to = ["ff02::1", OWN][rng.below(2)];
        world.give(icmp(255, (&of, thief), to, &said));
    }
    assert!(world.dropped(DropReason::UnsolicitedArp) > 1000);
    let to = SocketAddr::from((ip(PEER), 4000));
    let id = world
        .stack
        .udp_bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    world
        .stack
        .udp_send(world.now, id.unwrap(), Some(to), b"x")
        .unwrap();
    let sent = world.turn();
    assert_eq!((sent.len(), sent[0].to_mac), (1, PEER_MAC));
}

#[test]
fn a_listener_takes_connections_and_knows_their_true_ends() {
    let (mut world, _) = World::new();
    let any = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 80);
    world.stack.bind(any).unwrap();
    let syn = segment(PEER, [4000, 80], [100, 0], 2, &[2, 4, 5, 0xb4]);
    let sent = world.give(syn);
    assert_eq!((sent.len(), sent[0].to_mac), (1, PEER_MAC));
    let tcp = &sent[0].payload;
    assert_eq!((sent[0].source, sent[0].target), (ip(OWN), ip(PEER)));
    assert_eq!(
        (tcp[13], &tcp[20..24]),
        (0x12, &[2, 4, 5, 0xa0][..]),
        "1,440 bytes"
    );
    let isn = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
    world.give(segment(PEER, [4000, 80], [101, isn + 1], 0x10, &[]));
    let Poll::Ready(Ok(id)) = world.stack.accept(80, &mut None, Waker::noop()) else {
        panic!("it is not complete");
    };
    let peer = SocketAddr::from((ip(PEER), 4000));
    assert_eq!(world.stack.peer_addr(id), Some(peer));
    assert_eq!(world.stack.local_addr(id), Some((ip(OWN), 80).into()));
    let written = world.stack.write(world.now, id, &[7; 4000], Waker::noop());
    assert_eq!(written, Poll::Ready(Ok(4000)));
    let sent = world.turn();
    let lens: Vec<_> = sent.iter().map(|sent| sent.payload.len() - 20).collect();
    assert_eq!(lens, [1440, 1440, 1120]);
    // A port where nobody listens is refused.
    let sent = world.give(segment(PEER, [4000, 81], [100, 0], 2, &[]));
    assert_eq!((sent.len(), sent[0].payload[13] & 4), (1, 4));
}

#[test]
fn a_narrow_path_is_heard_of() {
    let (mut world, _) = World::new();
    let any = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 80);
    world.stack.bind(any).unwrap();
    let sent = world.give(segment(PEER, [4000, 80], [100, 0], 2, &[2, 4, 5, 0xb4]));
    let isn = u32::from_be_bytes(sent[0].payload[4..8].try_into().unwrap());
    world.give(segment(PEER, [4000, 80], [101, isn + 1], 0x10, &[]));
    let Poll::Ready(Ok(id)) = world.stack.accept(80, &mut None, Waker::noop()) else {
        panic!("it is not complete");
    };
    let written = world.stack.write(world.now, id, &[7; 4000], Waker::noop());
    assert_eq!(written, Poll::Ready(Ok(4000)));
    world.turn();
    let frames = |world: &mut World| -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for _ in 0..4 {
            world.stack.receive(world.now, 64);
            world.stack.advance(world.now);
            frames.extend(world.link.borrow_mut().from_stack.drain(..));
        }
        frames
    };
    // What was sent, as a router quotes it.
    let mut quote = packet(6, 64, (OWN, MAC), PEER, 16, &[0; 1460])[14..70].to_vec();
    quote[40..44].copy_from_slice(&[0, 80, 4000u16.to_be_bytes()[0], 4000u16.to_be_bytes()[1]]);
    let said = |quote: &[u8], longest: u32| {
        let message = [&[2, 0, 0, 0], &longest.to_be_bytes()[..], quote].concat();
        icmp(64, (ROUTER, ROUTER_MAC), OWN, &message)
    };
    // Not on its way, and less than any link takes (RFC 8201, 4).
    quote[44..48].copy_from_slice(&(isn + 4001).to_be_bytes());
    for (number, longest) in [(isn + 4001, 1280), (isn + 1, 1279), (isn + 1, 0)] {
        quote[44..48].copy_from_slice(&number.to_be_bytes());
        world.inject(said(&quote, longest));
        assert_eq!(frames(&mut world).len(), 0);
    }
    assert_eq!(world.dropped(DropReason::ForgedError), 3);
    world.inject(said(&quote, 1280));
    let again = frames(&mut world);
    assert_eq!(again.len(), 1, "said again at once");
    assert_eq!(again[0].len(), 14 + 1280);
    assert_eq!(world.stack.stats().narrowed, 1);
}

#[test]
fn a_flood_from_everywhere_does_not_touch_who_is_there() {
    let (mut world, _) = World::new();
    let any = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 80);
    world.stack.bind(any).unwrap();
    let sent = world.give(segment(PEER, [4000, 80], [100, 0], 2, &[]));
    let isn = u32::from_be_bytes(sent[0].payload[4..8].try_into().unwrap());
    world.give(segment(PEER, [4000, 80], [101, isn + 1], 0x10, &[]));
    for number in 0..30_000u32 {
        let from = format!("fe80::{:x}:{:x}", 1 + (number >> 12), number & 0xfff);
        let sent = world.give(segment(&from, [5000, 80], [number, 0], 2, &[]));
        assert_eq!((sent.len(), sent[0].target), (1, ip(&from)));
    }
    let Poll::Ready(Ok(id)) = world.stack.accept(80, &mut None, Waker::noop()) else {
        panic!("it was there before");
    };
    assert_eq!(world.stack.peer_addr(id), Some((ip(PEER), 4000).into()));
    let _ = world.stack.write(world.now, id, b"hello", Waker::noop());
    let sent = world.turn();
    assert_eq!(
        (sent[0].target, &sent[0].payload[20..]),
        (ip(PEER), &b"hello"[..])
    );
}

#[test]
fn a_stand_in_is_nobody_on_the_wire() {
    let (mut world, _) = World::new();
    let any = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 80);
    world.stack.bind(any).unwrap();
    world.give(segment(PEER, [4000, 80], [100, 0], 2, &[]));
    let before = world.drops();
    // Somebody sends as the first peer, and to our end of it, and says that the hop is there.
    for (source, target) in [
        ([240, 0, 1, 0], [10, 0, 2, 15]),
        ([10, 0, 2, 9], [240, 0, 0, 1]),
    ] {
        let mut frame = [
            &MAC[..],
            &PEER_MAC,
            &[8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0],
        ]
        .concat();
        frame.extend_from_slice(&source);
        frame.extend_from_slice(&target);
        let header = !sum(&[], &frame[14..34]);
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        frame.extend_from_slice(&[0; 20]);
        assert!(world.give(frame).is_empty());
    }
    let mut arp = [&MAC[..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    arp.extend_from_slice(&PEER_MAC);
    arp.extend_from_slice(&[240, 0, 0, 2]);
    arp.extend_from_slice(&[0; 6]);
    arp.extend_from_slice(&[10, 0, 2, 15]);
    world.give(arp);
    assert_eq!(world.drops(), before + 3);
    assert_eq!(world.dropped(DropReason::BadSource), 2);
}

#[test]
fn an_address_can_be_given() {
    let mut world = World::with(Address6::Static {
        ip: ip("fd00::15"),
        prefix: 64,
        gateway: Some(ip("fd00::1")),
    });
    world.turn();
    let sent = world.pass(1000);
    assert_eq!(world.own(), [OWN, "fd00::15"]);
    assert!(of_kind(&sent, 133).is_empty(), "routers are not asked");
    world.give(advertisement(ROUTER, "2001:db8:1:2::", (1800, 86_400)));
    world.pass(1000);
    assert_eq!(world.own(), [OWN, "fd00::15"]);
    let to = SocketAddr::from((ip(FAR), 7));
    world.stack.connect(world.now, to).unwrap();
    let sent = world.turn();
    assert_eq!(
        of_kind(&sent, 135)[0].payload[8..24],
        ip("fd00::1").octets()
    );
}
