//! An address from a tiny DHCP server, and what else belongs to the machine: pings and ARP.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};
use toro_net::{Address, DropReason};

use crate::bytes::fix;
use crate::station;
use crate::wire;
use crate::world::{ADDRESS, World, config};

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 99);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ethernet(payload_len: usize, kind: EthernetProtocol, from: [u8; 6]) -> Vec<u8> {
    let mut frame = vec![0; 14 + payload_len];
    let repr = EthernetRepr {
        src_addr: EthernetAddress(from),
        dst_addr: EthernetAddress(wire::MAC),
        ethertype: kind,
    };
    repr.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame
}

/// The server's answer to `request`, with `router` for a gateway.
pub(crate) fn answer(request: &[u8], router: Ipv4Addr, lease: u32) -> Vec<u8> {
    let ip = Ipv4Packet::new_checked(&request[14..]).unwrap();
    let udp = UdpPacket::new_checked(ip.payload()).unwrap();
    let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
    let mut repr = DhcpRepr::parse(&packet).unwrap();
    repr.message_type = match repr.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        _ => DhcpMessageType::Ack,
    };
    repr.your_ip = LEASED;
    repr.server_identifier = Some(SERVER);
    repr.subnet_mask = Some(Ipv4Addr::new(255, 255, 255, 0));
    repr.router = Some(router);
    repr.lease_duration = Some(lease);
    (repr.requested_ip, repr.client_identifier) = (None, None);
    (repr.parameter_request_list, repr.max_size) = (None, None);
    let said = [(12, &b"web7"[..]), (15, b"corp.lan")];
    let options = said.map(|(kind, data)| DhcpOption { kind, data });
    repr.additional_options = &options;
    let udp = UdpRepr {
        src_port: 67,
        dst_port: 68,
    };
    let len = udp.header_len() + repr.buffer_len();
    let ip = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: LEASED,
        next_header: IpProtocol::Udp,
        payload_len: len,
        hop_limit: 64,
    };
    let mut frame = ethernet(20 + len, EthernetProtocol::Ipv4, station::MAC);
    let checksums = smoltcp::phy::ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut frame[34..]),
        &SERVER.into(),
        &LEASED.into(),
        repr.buffer_len(),
        |payload| repr.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
        &checksums,
    );
    frame
}

/// Serves what the stack asks for, until it is quiet.
fn serve(world: &mut World, router: Ipv4Addr, lease: u32) {
    for _ in 0..10 {
        for frame in world.stack_turn() {
            if frame[12..14] == [8, 0] && frame[23] == 17 {
                world.inject(answer(&frame, router, lease));
            }
        }
    }
}

fn dynamic_world() -> World {
    let mut config = config();
    config.address = Address::Dhcp;
    config.hostname = "toro".into();
    World::with(config, false)
}

#[test]
fn the_server_is_told_our_name() {
    let mut world = dynamic_world();
    let frames = world.stack_turn();
    let discover = frames.iter().find(|frame| frame[12..14] == [8, 0]).unwrap();
    // RFC 2132, 3.14: option 12, its length, the name.
    let option = [&[12, 4][..], b"toro"].concat();
    assert!(discover.windows(6).any(|bytes| bytes == option));
}

#[test]
fn the_server_gives_an_address_and_waiters_are_woken() {
    let mut world = dynamic_world();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    world
        .stack
        .wait_for_address(&Waker::from(Arc::clone(&flag)));
    assert_eq!(world.stack.addresses(), None);
    serve(&mut world, SERVER, 600);
    let known = world.stack.addresses().expect("it was given");
    assert_eq!((known.ip, known.prefix), (LEASED, 24));
    assert_eq!((known.gateway, known.dns.len()), (Some(SERVER), 0));
    // And a name, and where names are looked for.
    assert_eq!(known.lease.hostname().as_deref(), Some("web7"));
    assert_eq!(known.lease.search(), ["corp.lan"]);
    assert!(flag.0.load(Ordering::Relaxed));
}

#[test]
fn the_name_of_the_machine_is_told_to_the_server() {
    let mut world = dynamic_world();
    let discover = world.stack_turn().pop().unwrap();
    assert!(discover.windows(6).any(|bytes| bytes == b"\x0c\x04toro"));
}

#[test]
fn a_lost_discover_is_repeated() {
    let mut world = dynamic_world();
    assert_eq!(world.stack_turn().len(), 1);
    assert_eq!(world.stack_turn().len(), 0);
    world.now = world.stack.next_deadline().unwrap();
    assert_eq!(world.stack_turn().len(), 1);
}

#[test]
fn a_lease_that_is_not_renewed_runs_out() {
    let mut world = dynamic_world();
    serve(&mut world, SERVER, 600);
    let end = world.now + Duration::from_secs(605);
    while world.now < end {
        let late = world.now + Duration::from_secs(6) > end;
        assert!(late || world.stack.addresses().is_some(), "{:?}", world.now);
        world.stack_turn();
        let next = world.stack.next_deadline().unwrap();
        world.now = next.clamp(world.now + Duration::from_millis(1), end);
    }
    assert_eq!(world.stack.addresses(), None);
}

/// Lets `time` pass with a server that answers by `answer` what it is asked, and the client beside it.
fn pass(world: &mut World, time: Duration, answer: &dyn Fn(&[u8]) -> Vec<u8>) {
    let end = world.now + time;
    while world.now < end {
        for _ in 0..4 {
            let now = smoltcp::time::Instant::from_micros((world.now.as_nanos() / 1000) as i64);
            world.client.poll(now);
            while let Some(frame) = world.client.port.sent.pop_front() {
                world.inject(frame);
            }
            for frame in world.stack_turn() {
                if frame[12..14] == [8, 0] && frame[23] == 17 {
                    world.inject(answer(&frame));
                } else {
                    world.client.port.received.push_back(frame);
                }
            }
        }
        world.now = world.next_event().min(end);
    }
}

#[test]
fn connections_live_on_while_the_lease_is_renewed() {
    let mut world = dynamic_world();
    serve(&mut world, SERVER, 600);
    world.bind(80);
    let client = world.client.connect((LEASED, 80));
    world.settle();
    let server = world.accept(80).unwrap();
    let asked = Cell::new(0);
    pass(&mut world, Duration::from_secs(3000), &|request| {
        asked.set(asked.get() + 1);
        answer(request, SERVER, 600)
    });
    assert!(asked.get() >= 5, "renewed {} times", asked.get());
    assert_eq!(world.stack.addresses().unwrap().ip, LEASED);
    world.client.tcp(client).send_slice(b"hello").unwrap();
    world.settle();
    assert_eq!(world.read(server), Poll::Ready(Ok(b"hello".to_vec())));
    assert!(world.write(server, b"world").is_ready());
    world.settle();
    assert_eq!(world.client_reads(client), b"world");
}

#[test]
fn a_lease_that_is_taken_back_is_asked_for_anew() {
    let mut world = dynamic_world();
    serve(&mut world, SERVER, 600);
    let refused = Cell::new(0);
    // RFC 2131, 4.3.2: the server does not know the lease that is to be renewed, once.
    pass(&mut world, Duration::from_secs(400), &|request| {
        let mut reply = answer(request, SERVER, 600);
        let is = |kind: u8| move |bytes: &[u8]| bytes == [53, 1, kind];
        let renews = request[26..30] == LEASED.octets();
        let kind = reply.windows(3).position(is(5));
        if let Some(kind) = kind.filter(|_| renews && refused.get() == 0) {
            refused.set(1);
            reply[kind + 2] = 6;
            fix(&mut reply);
        }
        reply
    });
    assert_eq!(refused.get(), 1, "it was renewed");
    assert_eq!(world.stack.addresses().map(|known| known.ip), Some(LEASED));
}

#[test]
fn a_server_with_an_impossible_router_does_no_harm() {
    for router in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(240, 0, 0, 2),
        Ipv4Addr::LOCALHOST,
    ] {
        let mut world = dynamic_world();
        serve(&mut world, router, 600);
        assert_eq!(world.stack.addresses().unwrap().gateway, None);
        let far = std::net::SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 80);
        world.stack.connect(world.now, far).unwrap();
        world.stack_turn();
    }
}

fn arp(operation: ArpOperation, mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(28, EthernetProtocol::Arp, mac);
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress(wire::MAC),
        target_protocol_addr: to,
    };
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
    frame
}

#[test]
fn a_request_for_our_address_is_answered() {
    let mut world = World::new();
    world.inject(arp(
        ArpOperation::Request,
        station::MAC,
        station::ADDRESS,
        ADDRESS,
    ));
    let answers = world.stack_turn();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][20..22], [0, 2]);
    assert_eq!(answers[0][22..28], wire::MAC);
    let others = Ipv4Addr::new(10, 0, 2, 16);
    world.inject(arp(
        ArpOperation::Request,
        station::MAC,
        station::ADDRESS,
        others,
    ));
    assert_eq!(world.stack_turn().len(), 0);
}

#[test]
fn nobody_can_take_over_the_address_of_a_peer() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let thief = [0x66; 6];
    for operation in [ArpOperation::Reply, ArpOperation::Request] {
        // The first byte of a unicast address is even.
        world.inject(arp(operation, thief, station::ADDRESS, ADDRESS));
    }
    world.stack_turn();
    assert_eq!(world.stack.stats().dropped(DropReason::UnsolicitedArp), 1);
    assert!(world.write(server, b"for the client alone").is_ready());
    world.settle();
    assert_eq!(world.client_reads(client), b"for the client alone");
}

#[test]
fn a_peer_behind_a_flood_of_arp_is_still_reached() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    for host in 20..=254 {
        for operation in [ArpOperation::Request, ArpOperation::Reply] {
            let mac = [0x52, 0x54, 0, 0, 1, host];
            world.inject(arp(operation, mac, Ipv4Addr::new(10, 0, 2, host), ADDRESS));
        }
        world.stack_turn();
    }
    assert!(world.write(server, b"still here").is_ready());
    world.settle();
    assert_eq!(world.client_reads(client), b"still here");
}

fn ping(payload: &[u8]) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    icmp.extend_from_slice(payload);
    let sum = !smoltcp::wire::checksum::data(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let ip = Ipv4Repr {
        src_addr: station::ADDRESS,
        dst_addr: ADDRESS,
        next_header: IpProtocol::Icmp,
        payload_len: icmp.len(),
        hop_limit: 64,
    };
    let mut frame = ethernet(20, EthernetProtocol::Ipv4, station::MAC);
    let checksums = smoltcp::phy::ChecksumCapabilities::default();
    frame.extend_from_slice(&icmp);
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &checksums);
    frame
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut world = World::new();
    world.inject(ping(b"abcdefg"));
    let answers = world.stack_turn();
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!(answer[..6], station::MAC);
    let ip = Ipv4Packet::new_checked(&answer[14..]).unwrap();
    assert!(ip.verify_checksum());
    assert_eq!((ip.src_addr(), ip.dst_addr()), (ADDRESS, station::ADDRESS));
    assert_eq!(smoltcp::wire::checksum::data(ip.payload()), 0xffff);
    assert_eq!(ip.payload()[0], 0);
    assert_eq!(&ip.payload()[4..], b"\x12\x34\x00\x01abcdefg");
}

#[test]
fn a_broken_ping_is_not_answered() {
    let mut world = World::new();
    let mut frame = ping(b"abc");
    frame[40] ^= 1;
    world.inject(frame);
    assert_eq!(world.stack_turn().len(), 0);
    assert_eq!(world.stack.stats().dropped(DropReason::BadChecksum), 1);
}
