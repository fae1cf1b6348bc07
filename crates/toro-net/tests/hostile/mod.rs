//! A network that sends what it likes, read from bytes: for the fuzzer, and for a slice of what it would do.

mod card;
mod frames;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use toro_net::{
    Address, Address6, Config, ConnectionId, DropReason, Ipv6, PingId, Shutdown, Stack, UdpId,
};
use toro_time::Instant;

use self::card::{Card, Link};

const PORT: u16 = 80;
const CONNECTIONS: usize = 6;
const HALF_OPEN: usize = 8;

/// Plays what `data` says: first what the machine is like, then steps, each with what it takes.
///
/// # Panics
/// Panics if the stack sends what is no packet, counts a frame twice, or holds more than it may.
pub(crate) fn play(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut net = Net::new(bytes.next().unwrap_or(0));
    while let Some(step) = bytes.next() {
        net.step(step, &mut bytes);
        net.turn();
    }
    net.end();
}

struct Net {
    link: Rc<RefCell<Link>>,
    stack: Stack,
    now: Instant,
    ids: Vec<ConnectionId>,
    udp: UdpId,
    pings: Vec<PingId>,
}

type Bytes<'a> = dyn Iterator<Item = u8> + 'a;

fn some(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let len = bytes.next().unwrap_or(0);
    bytes.take(len.into()).collect()
}

impl Net {
    fn new(kind: u8) -> Self {
        let link = Rc::new(RefCell::new(Link::new(kind & 1 != 0, kind & 2 != 0)));
        let mut config = Config::new([1, 2]);
        if kind & 4 == 0 {
            config.address = Address::Static {
                ip: frames::OWN,
                prefix: 24,
                gateway: Some(frames::PEER),
            };
        }
        if kind & 16 != 0 {
            config.offer_timestamps();
        }
        (config.buffers.receive, config.buffers.send) = (2048, 2048);
        (config.growth.ring, config.growth.receive) = (4096, 4096);
        if kind & 32 != 0 {
            config.growth.receive = 128 << 10;
        }
        let limits = &mut config.limits;
        (limits.connections, limits.half_open, limits.time_wait) = (CONNECTIONS, HALF_OPEN, 4);
        let now = Instant::ZERO + Duration::from_secs(1);
        let card = Box::new(Card(Rc::clone(&link)));
        let mut stack = if kind & 8 == 0 {
            Stack::new(card, config, now)
        } else {
            let (card, ipv6) = Ipv6::before(card);
            let mut stack = Stack::new(card, config, now);
            stack.start_ipv6(now, ipv6, Address6::Auto);
            stack
        };
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        stack.bind(any).expect("the port is free");
        let udp = stack.udp_bind((Ipv4Addr::UNSPECIFIED, PORT).into());
        let udp = udp.expect("the port is free");
        let mut net = Self {
            link,
            stack,
            now,
            ids: Vec::new(),
            udp,
            pings: Vec::new(),
        };
        net.turn();
        net.pass(Duration::from_secs(2));
        net
    }

    fn step(&mut self, step: u8, bytes: &mut Bytes<'_>) {
        let choice = step >> 4;
        let is_six = choice & 1 != 0;
        let mut byte = || bytes.next().unwrap_or(0);
        match step & 15 {
            0 => self.give(some(bytes)),
            1 => self.give(frames::repaired(some(bytes))),
            2 => {
                let packet = frames::packet(is_six, byte(), choice & 2 != 0, &some(bytes));
                self.give(frames::repaired(packet));
            }
            3 | 4 => {
                let (flags, place) = (byte(), byte());
                let last = self.link.borrow().last_segment(is_six);
                let stamped = step & 15 == 4;
                let segment = frames::segment(is_six, last, flags, place, stamped, &some(bytes));
                self.give(frames::repaired(segment));
            }
            5 => self.give(frames::arp(choice, &some(bytes))),
            6 => {
                let kind = 133 + choice % 5;
                self.give(frames::repaired(frames::discovery(kind, &some(bytes))));
            }
            7 => {
                let (at, flip) = (byte(), byte());
                let last = self.link.borrow().sent.back().cloned();
                if choice & 8 != 0 {
                    let longest = u16::from(at) << 3 | u16::from(flip & 7);
                    if let Some(said) = last.and_then(|last| frames::too_long(&last, longest)) {
                        self.give(frames::repaired(said));
                    }
                } else if let Some(turned) = last.and_then(frames::turned) {
                    let mut frame = turned;
                    let len = frame.len();
                    frame[usize::from(at) % len] ^= flip;
                    self.give(frames::repaired(frame));
                }
            }
            8 => {
                let last = self.link.borrow().last_dhcp();
                if let Some(reply) = last.map(|last| frames::dhcp(&last, choice, &some(bytes))) {
                    self.give(frames::repaired(reply));
                }
            }
            9 => self.pass(Duration::from_millis(1 << choice)),
            10 => {
                if let Poll::Ready(Ok(id)) = self.stack.accept(PORT, &mut None, Waker::noop()) {
                    self.ids.push(id);
                }
            }
            11 => {
                let mut buffer = [0; 700];
                for id in &self.ids {
                    let _ = self.stack.read(*id, &mut buffer, Waker::noop());
                }
                let _ = self.stack.udp_receive(self.udp, &mut buffer, Waker::noop());
            }
            12 => {
                let len = usize::from(byte()) * 8;
                if let Some(id) = self.ids.get(usize::from(choice)) {
                    let _ = self
                        .stack
                        .write(self.now, *id, &vec![7; len], Waker::noop());
                }
            }
            13 => {
                let how = byte();
                if usize::from(choice) < self.ids.len() {
                    let id = self.ids[usize::from(choice)];
                    match how % 4 {
                        0 => self.stack.shutdown(self.now, id, Shutdown::Write),
                        1 => self.stack.shutdown(self.now, id, Shutdown::Read),
                        2 => self.stack.close(self.now, self.ids.remove(choice.into())),
                        _ => self.stack.abort(self.now, self.ids.remove(choice.into())),
                    }
                }
            }
            14 => {
                let to = SocketAddr::new(frames::peer(is_six), PORT);
                if let Ok(id) = self.stack.connect(self.now, to) {
                    self.ids.push(id);
                }
            }
            _ => {
                let to = frames::peer(is_six);
                let to = match (choice & 2, to) {
                    (0, to) => to,
                    (_, IpAddr::V4(_)) => Ipv4Addr::new(192, 0, 2, byte()).into(),
                    (_, IpAddr::V6(_)) => {
                        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, byte().into()).into()
                    }
                };
                if let Ok(id) = self.stack.ping(self.now, to) {
                    self.pings.push(id);
                }
                let to = SocketAddr::new(to, 9);
                let _ = self.stack.udp_send(self.now, self.udp, Some(to), b"hello");
            }
        }
    }

    /// A frame comes in; it is taken, or one counter says why not.
    fn give(&mut self, frame: Vec<u8>) {
        let count = |stack: &Stack| -> u64 {
            let stats = stack.stats();
            let others = [DropReason::TransmitFull, DropReason::HalfOpenFull];
            let others = others.map(|reason| stats.dropped(reason));
            stats.drops.iter().sum::<u64>() - others.iter().sum::<u64>()
        };
        let before = (count(&self.stack), self.stack.stats().frames_in);
        self.link.borrow_mut().to_stack.push_back(frame);
        self.stack.receive(self.now, 1);
        assert_eq!(self.stack.stats().frames_in, before.1 + 1);
        assert!(count(&self.stack) <= before.0 + 1, "counted twice");
    }

    fn turn(&mut self) {
        self.stack.receive(self.now, 8);
        self.stack.serve(self.now);
        self.stack.advance(self.now);
        let stats = self.stack.stats();
        assert!(stats.open <= CONNECTIONS && stats.half_open <= HALF_OPEN);
        assert!(stats.time_wait <= 4);
    }

    /// Lets time pass, stopping where something is due: not often, whoever says so.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200 {
            let next = self.stack.next_deadline().unwrap_or(end);
            self.now = next.max(self.now + Duration::from_micros(10)).min(end);
            self.turn();
            if self.now >= end {
                return;
            }
        }
        self.now = end;
        self.turn();
    }

    /// Everybody goes, and nothing is left.
    fn end(mut self) {
        for id in self.ids.drain(..) {
            self.stack.abort(self.now, id);
        }
        for id in self.pings.drain(..) {
            self.stack.end_ping(&id);
        }
        self.stack.unbind(self.now, PORT);
        self.stack.udp_close(self.udp);
        for _ in 0..8 {
            self.pass(Duration::from_secs(100));
        }
        let stats = self.stack.stats();
        assert_eq!((stats.open, stats.half_open, stats.time_wait), (0, 0, 0));
    }
}
