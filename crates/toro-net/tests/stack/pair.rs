//! Two stacks of ours and the wire between them.

use std::cell::RefCell;
use std::iter::Sum;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use toro_net::{Address, Address6, Config, ConnectionId, Ipv6, Shutdown, Stack, Stats, View};
use toro_time::Instant;

use crate::flight::{Flight, Weather};
use crate::wire::{FakeNet, Link, Rng};

const PORT: u16 = 7;
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 3, 1), Ipv4Addr::new(10, 0, 3, 2)];
/// A connection whose frames arrive for the most part makes progress within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of a stream.
const LEN: usize = 200_000;

/// One of the two, with the stream it sends and what it has read of the other's.
struct End {
    stack: Stack,
    /// Its addresses of IPv6, if the connection is over that.
    six: Option<View>,
    link: Rc<RefCell<Link>>,
    id: Option<ConnectionId>,
    text: Vec<u8>,
    written: usize,
    read: Vec<u8>,
    has_shut: bool,
    has_ended: bool,
    /// It does not read before this moment.
    pause: Instant,
}

struct Pair {
    now: Instant,
    ends: [End; 2],
    flight: Flight,
    /// In thousandths of its reads, an end stops reading for up to this long.
    pauses: (u64, Duration),
    /// The second end sends back what it reads.
    echoes: bool,
    moved: Instant,
    longest: Duration,
}

/// Which of the two offer timestamps: both, the first, the second or neither.
fn offers_timestamps(index: usize, seed: u64) -> bool {
    seed >> (2 + index) & 1 == 0
}

fn end(index: usize, seed: u64, now: Instant, offloads: u64, is_six: bool) -> End {
    let mac = [0x52, 0x54, 0, 0, 1, index as u8];
    let (device, link) = FakeNet::at(mac, offloads > 0);
    if offloads == 2 {
        link.borrow_mut().cut = Some(0);
    }
    let mut config = Config::new([seed, index as u64]);
    config.address = Address::Static {
        ip: ADDRESSES[index],
        prefix: 24,
        gateway: None,
    };
    if offers_timestamps(index, seed) {
        config.offer_timestamps();
    }
    if seed >> (4 + index) & 1 == 0 {
        config.offer_large_windows();
    }
    let (stack, six) = if is_six {
        let (card, ipv6) = Ipv6::before(Box::new(device));
        let view = ipv6.view();
        let mut stack = Stack::new(card, config, now);
        stack.start_ipv6(now, ipv6, Address6::Auto);
        (stack, Some(view))
    } else {
        (Stack::new(Box::new(device), config, now), None)
    };
    End {
        stack,
        six,
        link,
        id: None,
        text: Vec::new(),
        written: 0,
        read: Vec::new(),
        has_shut: false,
        has_ended: false,
        pause: Instant::ZERO,
    }
}

impl Pair {
    fn new(seed: u64, lens: [usize; 2]) -> Self {
        Self::over(seed, lens, false)
    }

    /// Over IPv6, or not.
    fn over(seed: u64, lens: [usize; 2], is_six: bool) -> Self {
        let now = Instant::ZERO + Duration::from_millis(10);
        let mut rng = Rng::new(seed);
        let mut ends = [0, 1].map(|index| end(index, seed, now, (seed >> index) % 3, is_six));
        for (end, len) in ends.iter_mut().zip(lens) {
            end.text = (0..len).map(|_| rng.next() as u8).collect();
        }
        Self {
            now,
            ends,
            flight: Flight::new(seed ^ 1 << 40),
            pauses: (0, Duration::ZERO),
            echoes: false,
            moved: now,
            longest: Duration::ZERO,
        }
    }

    /// One turn of everyone at one moment. Returns whether anything moved.
    fn turn(&mut self) -> bool {
        let before = self.flight.launched;
        let mut landed = false;
        while let Some((second, frame)) = self.flight.land(self.now) {
            landed = true;
            let end = &mut self.ends[usize::from(second)];
            end.link.borrow_mut().to_stack.push_back(frame);
        }
        let mut moved = 0;
        for index in 0..2 {
            moved += self.serve(index);
            let end = &mut self.ends[index];
            end.stack.receive(self.now, 64);
            end.stack.serve(self.now);
            end.stack.advance(self.now);
            let frames: Vec<_> = end.link.borrow_mut().from_stack.drain(..).collect();
            for frame in frames {
                self.flight.launch(self.now, index == 0, frame);
            }
            moved += self.serve(index);
        }
        if moved > 0 {
            self.longest = self.longest.max(self.now.duration_since(self.moved));
            self.moved = self.now;
        }
        landed || moved > 0 || self.flight.launched != before
    }

    /// Lets an end read and write. Returns how many bytes went through its hands.
    fn serve(&mut self, index: usize) -> usize {
        let (often, long) = self.pauses;
        let end = &mut self.ends[index];
        let Some(id) = end.id else { return 0 };
        let mut moved = 0;
        while !end.has_ended && end.pause <= self.now {
            let mut bytes = [0; 3000];
            match end.stack.read(id, &mut bytes, Waker::noop()) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => end.has_ended = true,
                Poll::Ready(Ok(len)) => {
                    moved += len;
                    end.read.extend_from_slice(&bytes[..len]);
                    if self.echoes && index == 1 {
                        end.text.extend_from_slice(&bytes[..len]);
                    }
                    if self.flight.rng.chance(often) {
                        let pause = self.flight.rng.below(1 + long.as_micros() as usize);
                        end.pause = self.now + Duration::from_micros(pause as u64);
                    }
                }
                Poll::Ready(Err(error)) => panic!("{index} reads: {error}"),
            }
            if self.echoes && index == 1 && end.text.len() - end.written > 4096 {
                break;
            }
        }
        while end.written < end.text.len() {
            match end
                .stack
                .write(self.now, id, &end.text[end.written..], Waker::noop())
            {
                Poll::Pending => break,
                Poll::Ready(written) => {
                    let written = written.expect("the connection lives");
                    end.written += written;
                    moved += written;
                }
            }
        }
        let is_last = !self.echoes || index == 0 || end.has_ended;
        if is_last && end.written == end.text.len() && !end.has_shut {
            end.has_shut = true;
            end.stack.shutdown(self.now, id, Shutdown::Write);
        }
        moved
    }

    fn next_event(&self) -> Instant {
        let pauses = self.ends.iter().map(|end| end.pause);
        let pauses = pauses.filter(|pause| *pause > self.now);
        let events = self.ends.iter().filter_map(|end| end.stack.next_deadline());
        let events = events.chain(self.flight.next()).chain(pauses);
        let next = events.min().unwrap_or(Instant::FAR_FUTURE);
        next.max(self.now + Duration::from_micros(1))
    }

    /// Takes turns until `is_over`.
    fn run(&mut self, seed: u64, mut is_over: impl FnMut(&mut Self) -> bool) {
        while !is_over(self) {
            if !self.turn() {
                self.now = self.next_event();
            }
            let still = self.now.duration_since(self.moved);
            let read = || {
                self.ends
                    .each_ref()
                    .map(|end| (end.written, end.read.len()))
            };
            assert!(still < PATIENCE, "seed {seed} stands still: {:?}", read());
        }
    }

    fn sum<T: Sum>(&self, count: impl Fn(Stats) -> T) -> T {
        self.ends.iter().map(|end| count(end.stack.stats())).sum()
    }

    /// Lets go of the connection; when its time in TIME-WAIT is over, nothing is left of it.
    fn part(&mut self, seed: u64) {
        for end in &mut self.ends {
            end.stack.close(self.now, end.id.take().unwrap());
        }
        let until = self.now + Duration::from_secs(400);
        while self.now < until {
            if !self.turn() {
                self.now = self.next_event();
            }
        }
        let left = self.sum(|stats| stats.open + stats.half_open + stats.time_wait);
        assert_eq!(left, 0, "connections of seed {seed} are left");
    }

    /// Over IPv6 both ends have one when nobody has objected for a second.
    fn address_of_the_second(&mut self, seed: u64) -> SocketAddr {
        let Some(view) = self.ends[1].six.clone() else {
            return (ADDRESSES[1], PORT).into();
        };
        let has_address = |end: &End| {
            let view = end.six.as_ref();
            view.is_none_or(|view| !view.addresses().own.is_empty())
        };
        self.run(seed, |pair| pair.ends.iter().all(has_address));
        (view.addresses().own[0], PORT).into()
    }

    fn connect(&mut self, seed: u64) {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        self.ends[1].stack.bind(any).unwrap();
        let to = self.address_of_the_second(seed);
        let id = self.ends[0].stack.connect(self.now, to).unwrap();
        self.run(seed, |pair| {
            pair.ends[0]
                .stack
                .poll_connected(id, Waker::noop())
                .is_ready()
        });
        self.ends[0].id = Some(id);
        self.run(seed, |pair| {
            let accepted = pair.ends[1].stack.accept(PORT, &mut None, Waker::noop());
            let Poll::Ready(accepted) = accepted else {
                return false;
            };
            pair.ends[1].id = Some(accepted.unwrap());
            true
        });
    }
}

/// What a scenario was like.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    /// The longest time in which no byte moved.
    still: Duration,
    took: Duration,
    retransmits: u64,
}

/// A connection in the weather of `seed`: every byte arrives, both ways, nobody stands still, and nothing is left.
fn scenario(seed: u64, is_six: bool) -> Outcome {
    let mut rng = Rng::new(seed);
    let lens = [1 + rng.below(LEN), 1 + rng.below(LEN)];
    let mut pair = Pair::over(seed, lens, is_six);
    pair.echoes = rng.chance(300);
    if pair.echoes {
        pair.ends[1].text.clear();
    }
    pair.connect(seed);
    let micros = |rng: &mut Rng, of: [u64; 4]| Duration::from_micros(of[rng.below(4)]);
    pair.flight.weather = Weather {
        lose: [0, 10, 50, 100][rng.below(4)],
        repeat: [0, 5, 50, 100][rng.below(4)],
        corrupt: [0, 5, 10, 50][rng.below(4)],
        delay: micros(&mut rng, [0, 100, 5000, 50_000]),
        way: micros(&mut rng, [0, 1000, 20_000, 50_000]),
    };
    if rng.chance(500) {
        pair.pauses = (rng.below(100) as u64, Duration::from_millis(300));
    }
    let start = pair.now;
    pair.moved = start;
    pair.run(seed, |pair| pair.ends.iter().all(|end| end.has_ended));
    let took = pair.now.duration_since(start);
    let [first, second] = &pair.ends;
    assert!(second.read == first.text, "upwards, seed {seed}");
    assert!(first.read == second.text, "downwards, seed {seed}");
    let retransmits = pair.sum(|stats| stats.retransmits);
    pair.part(seed);
    Outcome {
        still: pair.longest,
        took,
        retransmits,
    }
}

/// Runs the scenarios of `seeds`, and says what they were like.
fn scenarios(seeds: Range<u64>, is_six: bool) {
    let all: Vec<_> = seeds.map(|seed| (scenario(seed, is_six), seed)).collect();
    let total: Duration = all.iter().map(|(outcome, _)| outcome.took).sum();
    let retransmits: u64 = all.iter().map(|(outcome, _)| outcome.retransmits).sum();
    let mean = total / all.len() as u32;
    println!(
        "{} scenarios of {mean:?} in the mean, {retransmits} retransmissions",
        all.len()
    );
    println!("the longest standstill: {:?}", all.iter().max());
}

#[test]
fn two_stacks_in_the_weather_of_many_seeds() {
    scenarios(0..150, false);
}

#[test]
#[ignore = "long: 10,000 scenarios"]
fn two_stacks_in_the_weather_of_ten_thousand_seeds() {
    scenarios(150..10_150, false);
}

#[test]
fn two_stacks_over_ipv6_in_the_weather_of_many_seeds() {
    scenarios(0..60, true);
}

#[test]
#[ignore = "long: 2,000 scenarios"]
fn two_stacks_over_ipv6_in_the_weather_of_two_thousand_seeds() {
    scenarios(60..2060, true);
}

#[test]
fn a_full_receive_ring_survives_a_larger_send_ring() {
    let mut pair = Pair::new(1, [400_000, 0]);
    let text: Vec<u8> = pair.ends[0].text[..200_000]
        .iter()
        .map(|byte| !byte)
        .collect();
    pair.ends[1].has_shut = true;
    pair.connect(1);
    // Its receive ring has grown when it stops reading, and fills.
    pair.run(1, |pair| pair.ends[1].read.len() >= 150_000);
    pair.ends[1].pause = Instant::FAR_FUTURE;
    while pair.turn() {}
    // It writes so much that its send ring grows.
    pair.ends[1].text.clone_from(&text);
    pair.ends[1].has_shut = false;
    pair.run(1, |pair| pair.ends[0].has_ended);
    pair.ends[1].pause = Instant::ZERO;
    pair.run(1, |pair| pair.ends[1].has_ended);
    assert!(pair.ends[0].read == text);
    assert!(pair.ends[1].read == pair.ends[0].text);
}
