//! Stacks of several cores behind one card, which puts each packet of the client on a core at random.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::task::{Poll, Waker};
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use toro_net::{Address, Config, ConnectionId, DropReason, Stack, seats};
use toro_time::Instant;

use crate::dhcp;
use crate::station::{self, Station};
use crate::wire::Rng;
use crate::world::{ADDRESS, World, config};

const PORT: u16 = 7;

/// The cores, each with a world of its own whose client is not used, and the one client.
struct Circle {
    now: Instant,
    cores: Vec<World>,
    client: Station,
    rng: Rng,
}

impl Circle {
    fn new(cores: usize, config: &Config) -> Self {
        let world = |(core, seat)| {
            let mut config = config.clone();
            config.seed[0] += core as u64;
            let mut world = World::with(config, false);
            world.stack.take_seat(seat);
            world
        };
        let cores: Vec<World> = seats(cores).into_iter().enumerate().map(world).collect();
        Self {
            now: cores[0].now,
            cores,
            client: Station::new(),
            rng: Rng::new(5),
        }
    }

    fn stack(&mut self, core: usize) -> &mut Stack {
        &mut self.cores[core].stack
    }

    /// One turn of everyone; returns whether a frame moved.
    fn turn(&mut self) -> bool {
        let at = smoltcp::time::Instant::from_micros((self.now.as_nanos() / 1000) as i64);
        self.client.poll(at);
        let mut moved = false;
        while let Some(frame) = self.client.port.sent.pop_front() {
            let core = self.rng.below(self.cores.len());
            self.cores[core].inject(frame);
            moved = true;
        }
        for core in &mut self.cores {
            core.now = self.now;
            let passed = core.stack.stats().passed_on;
            let frames = core.stack_turn();
            moved |= !frames.is_empty() || core.stack.stats().passed_on != passed;
            self.client.port.received.extend(frames);
        }
        moved
    }

    fn settle(&mut self) {
        let mut still = 0;
        for _ in 0..10_000 {
            still = if self.turn() { 0 } else { still + 1 };
            if still == 2 {
                return;
            }
        }
        panic!("they never come to rest");
    }

    fn accepted(&mut self) -> Vec<(usize, ConnectionId)> {
        let mut accepted = Vec::new();
        for core in 0..self.cores.len() {
            while let Poll::Ready(Ok(id)) = self.stack(core).accept(PORT, &mut None, Waker::noop())
            {
                accepted.push((core, id));
            }
        }
        accepted
    }

    /// Has every connection that the client opened echo `text`, in pieces.
    fn echo(&mut self, clients: &[SocketHandle], text: &[u8]) {
        for piece in text.chunks(100) {
            for client in clients {
                let sent = self.client.tcp(*client).send_slice(piece);
                assert_eq!(sent, Ok(piece.len()));
            }
            self.settle();
        }
    }

    fn stats(&self, of: impl Fn(&Stack) -> u64) -> u64 {
        self.cores.iter().map(|core| of(&core.stack)).sum()
    }
}

fn bind(stack: &mut Stack) {
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
    stack.bind(any).expect("the port is free");
}

/// Opens `count` connections to listeners on the first `listening` of `cores` cores, and sends text both ways.
fn check(cores: usize, listening: usize, count: usize) {
    let mut circle = Circle::new(cores, &config());
    (0..listening).for_each(|core| bind(circle.stack(core)));
    let clients: Vec<_> = (0..count)
        .map(|_| circle.client.connect((ADDRESS, PORT)))
        .collect();
    // The client asks for our station once a second at most, and drops what it wanted to send meanwhile.
    for _ in 0..5 {
        circle.settle();
        circle.now += Duration::from_secs(1);
    }
    circle.settle();
    let accepted = circle.accepted();
    assert_eq!(accepted.len(), count, "each connection is there once");
    let owners = (0..cores).filter(|core| accepted.iter().any(|(owner, _)| owner == core));
    assert_eq!(
        owners.count(),
        listening,
        "every core that listens has some"
    );
    let text: Vec<u8> = (0..=250).cycle().take(3000).collect();
    circle.echo(&clients, &text);
    for (core, id) in accepted {
        let mut read = vec![0; 4096];
        let stack = circle.stack(core);
        let Poll::Ready(Ok(len)) = stack.read(id, &mut read, Waker::noop()) else {
            panic!("core {core} has nothing to read");
        };
        assert_eq!(read[..len], text, "core {core}");
        stack.close(Instant::ZERO, id);
    }
    circle.settle();
    for client in clients {
        let state = circle.client.tcp(client).state();
        assert_eq!(state, tcp::State::CloseWait, "the end of the stream came");
    }
    assert_eq!(circle.stats(|stack| stack.stats().refused), 0);
    assert!(cores == 1 || circle.stats(|stack| stack.stats().passed_on) > 0);
}

#[test]
fn connections_work_wherever_their_packets_land() {
    check(1, 1, 5);
    check(2, 2, 20);
    check(4, 4, 40);
}

#[test]
fn a_listener_of_one_core_is_found_from_all() {
    check(2, 1, 20);
    check(4, 1, 20);
    check(4, 3, 40);
}

#[test]
fn what_nobody_knows_is_refused_once() {
    let mut circle = Circle::new(3, &config());
    let client = circle.client.connect((ADDRESS, PORT));
    circle.settle();
    assert_eq!(circle.client.tcp(client).state(), tcp::State::Closed);
    assert_eq!(circle.stats(|stack| stack.stats().refused), 1);
    assert_eq!(circle.stats(|stack| stack.stats().passed_on), 2);
    let dropped = |stack: &Stack| stack.stats().dropped(DropReason::NoSocket);
    assert_eq!(circle.stats(dropped), 1);
}

#[test]
fn cores_connect_from_ports_of_their_own() {
    let mut circle = Circle::new(3, &config());
    let listeners: Vec<_> = (0..30).map(|_| circle.client.listen(80)).collect();
    let mut opened = Vec::new();
    for _ in 0..10 {
        for core in 0..3 {
            let (now, remote) = (circle.now, SocketAddrV4::new(station::ADDRESS, 80));
            let id = circle.stack(core).connect(now, remote);
            opened.push((core, id.expect("there are ports")));
        }
    }
    // A question for the client's station goes out once a second, and its answer goes round.
    for _ in 0..10 {
        circle.settle();
        circle.now += Duration::from_secs(1);
    }
    let mut ports = Vec::new();
    for (core, id) in opened {
        let state = circle.stack(core).poll_connected(id, Waker::noop());
        assert_eq!(state, Poll::Ready(Ok(())), "core {core}");
        let local = circle.stack(core).local_addr(id).expect("it is open");
        assert_eq!(usize::from(local.port() - 32_768) % 3, core);
        ports.push(local.port());
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), listeners.len(), "no two have the same");
}

#[test]
fn one_core_asks_for_the_address_and_all_have_it() {
    let mut config = config();
    config.address = Address::Dhcp;
    let mut circle = Circle::new(3, &config);
    for _ in 0..20 {
        for core in 0..3 {
            for frame in circle.cores[core].stack_turn() {
                assert_eq!(core, 0, "the others ask nobody");
                let to = circle.rng.below(3);
                let answer = dhcp::answer(&frame, dhcp::SERVER, 600);
                circle.cores[to].inject(answer);
            }
        }
    }
    let ours = circle.stack(0).addresses().cloned();
    assert!(ours.is_some());
    for core in 1..3 {
        assert_eq!(circle.stack(core).addresses().cloned(), ours, "core {core}");
    }
}

/// Puts `count` connection requests of the client on the first core, which does not know their port.
fn flood_first(circle: &mut Circle, count: usize) {
    for _ in 0..count {
        circle.client.connect((ADDRESS, PORT));
    }
    for _ in 0..10 {
        let at = smoltcp::time::Instant::from_micros((circle.now.as_nanos() / 1000) as i64);
        circle.client.poll(at);
        while let Some(frame) = circle.client.port.sent.pop_front() {
            circle.cores[0].inject(frame);
        }
        for _ in 0..8 {
            let frames = circle.cores[0].stack_turn();
            circle.client.port.received.extend(frames);
        }
    }
}

#[test]
fn mail_is_bounded() {
    let mut circle = Circle::new(2, &config());
    flood_first(&mut circle, 200);
    let stats = circle.stack(0).stats();
    assert_eq!(stats.passed_on, 64);
    assert_eq!(stats.dropped(DropReason::CoreBusy), 200 - 64);
    circle.settle();
    assert_eq!(circle.stack(1).stats().refused, 64);
}

#[test]
fn addresses_are_told_again_if_the_mail_was_full() {
    let mut config = config();
    config.address = Address::Dhcp;
    let mut circle = Circle::new(2, &config);
    let mut leased = 0;
    for turn in 0..30 {
        for frame in circle.cores[0].stack_turn() {
            if frame[12..14] == [8, 0] && frame[23] == 17 {
                let answer = dhcp::answer(&frame, dhcp::SERVER, 600);
                circle.cores[0].inject(answer);
            }
        }
        if circle.stack(0).addresses().is_some() {
            leased = turn;
            break;
        }
        // Answers that nobody asked for go to the next core, which does not read.
        for _ in 0..200 {
            circle.cores[0].inject(unasked());
        }
    }
    assert!(leased > 0, "the mail was full before");
    assert_eq!(circle.stack(1).addresses(), None);
    circle.cores[1].stack_turn();
    assert_eq!(circle.stack(1).addresses(), None, "there was no room");
    circle.cores[0].link.borrow_mut().to_stack.clear();
    circle.cores[0].now += Duration::from_secs(1);
    circle.cores[0].stack_turn();
    circle.cores[1].stack_turn();
    let told = circle.stack(0).addresses().cloned();
    assert_eq!(circle.stack(1).addresses().cloned(), told);
}

/// A datagram to a port of DHCP's neighbourhood, which no stack knows.
fn unasked() -> Vec<u8> {
    let mut frame = vec![0; 42];
    frame[..6].copy_from_slice(&crate::wire::MAC);
    frame[6..12].copy_from_slice(&station::MAC);
    frame[12] = 8;
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17]);
    frame[26..34].copy_from_slice(&[10, 0, 2, 2, 10, 0, 2, 15]);
    let sum: u32 = frame[14..34]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[34..40].copy_from_slice(&[0x20, 0, 0x20, 0, 0, 8]);
    frame
}
