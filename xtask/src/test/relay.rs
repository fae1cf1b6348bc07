//! [`Relay`]: a wire between two virtual machines that loses, repeats, delays, reorders and corrupts frames.
//!
//! Each end of the wire is a UDP port of this host, connected to a UDP port of the relay's that QEMU inherits as its
//! `-netdev dgram`. What happens to a frame follows from a seed and from the number of the frame.
//!
//! ```text
//! QEMU ── port ═══ port ─► listen ─► the frames on their way, by their time ─► send ─► port ═══ port ── QEMU
//! ```
//!
//! Only what a checksum protects is corrupted: a real wire has one for whole frames, ARP has none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::test::narrow;

/// Frames that are on their way in one direction at most; the rest is lost, as in any queue.
const MOST: usize = 4096;
/// The longest frame.
const FRAME_LEN: usize = 65_536;
/// How often a quiet end looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// What happens to frames, in thousandths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) lose: u64,
    pub(super) repeat: u64,
    pub(super) corrupt: u64,
    /// Frames that come later than those behind them.
    pub(super) hold: u64,
    /// How long each frame takes.
    pub(super) delay: Duration,
    /// The longest packet that passes, if there is such a limit; who sends a longer one is told.
    pub(super) longest: Option<u16>,
}

/// What has happened to frames, in both directions.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) passed: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) corrupted: AtomicU64,
    pub(super) held: AtomicU64,
    /// Packets that were too long.
    pub(super) refused: AtomicU64,
}

/// The wire. It ends with this value.
#[derive(Debug)]
pub(super) struct Relay {
    /// What QEMU inherits.
    ends: [UdpSocket; 2],
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Frames by their arrival, then by their number.
type Frames = BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>;

/// Frames on their way in one direction.
#[derive(Debug, Default)]
struct Flight {
    frames: Mutex<Frames>,
    changed: Condvar,
}

impl Relay {
    /// Starts it.
    pub(super) fn start(weather: Weather, seed: u64) -> Result<Self> {
        let (first_end, first) = pair()?;
        let (second_end, second) = pair()?;
        let mut relay = Self {
            ends: [first_end, second_end],
            counts: Arc::default(),
            over: Arc::default(),
            threads: Vec::new(),
        };
        relay.carry(first.try_clone()?, second.try_clone()?, weather, seed);
        relay.carry(second, first, weather, !seed);
        Ok(relay)
    }

    /// The end of that index, for QEMU to inherit.
    pub(super) fn end(&self, index: usize) -> RawFd {
        self.ends[index].as_raw_fd()
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Carries frames from `from` to `to`, with a thread that receives and one that sends.
    fn carry(&mut self, from: UdpSocket, to: UdpSocket, weather: Weather, seed: u64) {
        let flight = Arc::new(Flight::default());
        let (landing, counts, over) = (flight.clone(), self.counts.clone(), self.over.clone());
        self.threads.push(thread::spawn(move || {
            listen(&from, &flight, &over, &counts, weather, seed);
        }));
        let over = self.over.clone();
        self.threads.push(thread::spawn(move || {
            while let Some(frame) = landing.next(&over) {
                // QEMU may not be there yet, or not any more.
                let _ = to.send(&frame);
            }
        }));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Two UDP ports that are connected to each other: the first survives `exec`.
fn pair() -> Result<(UdpSocket, UdpSocket)> {
    let outer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let inner = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    outer.connect(inner.local_addr()?)?;
    inner.connect(outer.local_addr()?)?;
    inner.set_read_timeout(Some(LOOK))?;
    fcntl(&outer, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot hand a socket on")?;
    Ok((outer, inner))
}

fn listen(
    from: &UdpSocket,
    flight: &Flight,
    over: &AtomicBool,
    counts: &Counts,
    weather: Weather,
    seed: u64,
) {
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let mut frame = vec![0; FRAME_LEN];
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        let Ok(len) = from.recv(&mut frame) else {
            continue;
        };
        let now = Instant::now();
        number += 1;
        let longest = weather.longest;
        if let Some(answer) = longest.and_then(|longest| narrow::answer(&frame[..len], longest)) {
            count(&counts.refused);
            // QEMU may not be there any more.
            let _ = from.send(&answer);
            continue;
        }
        let mut dice = Dice(seed ^ number << 20);
        if dice.chance(weather.lose) {
            count(&counts.lost);
            continue;
        }
        let mut bytes = frame[..len].to_vec();
        if dice.chance(weather.corrupt) && corrupt(&mut bytes, &mut dice) {
            count(&counts.corrupted);
        }
        let mut arrival = now + weather.delay;
        if dice.chance(weather.hold) {
            count(&counts.held);
            arrival += Duration::from_micros(dice.next() % 20_000);
        }
        if dice.chance(weather.repeat) {
            count(&counts.repeated);
            let again = arrival + Duration::from_micros(dice.next() % 5000);
            flight.push(again, 2 * number, bytes.clone());
        }
        count(&counts.passed);
        flight.push(arrival, 2 * number + 1, bytes);
    }
    flight.changed.notify_all();
}

/// Flips a bit of a packet; `false` if the frame holds none.
fn corrupt(frame: &mut [u8], dice: &mut Dice) -> bool {
    let is_packet = matches!(frame.get(12..14), Some([8, 0] | [0x86, 0xdd])) && frame.len() > 34;
    if is_packet {
        let range = u64::try_from(frame.len() - 14).unwrap_or(1);
        let at = 14 + usize::try_from(dice.next() % range).unwrap_or(0);
        frame[at] ^= 1 << (dice.next() % 8);
    }
    is_packet
}

impl Flight {
    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, arrival: Instant, number: u64, frame: Vec<u8>) {
        let mut frames = self.frames();
        if frames.len() < MOST {
            frames.push(Reverse((arrival, number, frame)));
            self.changed.notify_one();
        }
    }

    /// Waits for the next frame to arrive; `None` when it is over.
    fn next(&self, over: &AtomicBool) -> Option<Vec<u8>> {
        let mut frames = self.frames();
        while !over.load(Ordering::SeqCst) {
            let wait = match frames.peek() {
                Some(Reverse((arrival, ..))) => arrival.saturating_duration_since(Instant::now()),
                None => LOOK,
            };
            if wait.is_zero() {
                return frames.pop().map(|Reverse((_, _, frame))| frame);
            }
            let waited = self.changed.wait_timeout(frames, wait.min(LOOK));
            frames = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}

/// A seeded generator (SplitMix64): the fate of a frame depends on its number alone.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Weather = Weather {
        lose: 0,
        repeat: 0,
        corrupt: 0,
        hold: 0,
        delay: Duration::ZERO,
        longest: None,
    };

    /// Sends `count` frames through `weather` and returns what arrives before a quiet moment; `least` must come.
    fn check(weather: Weather, count: u8, least: usize) -> (Relay, Vec<Vec<u8>>) {
        let relay = Relay::start(weather, 1).unwrap();
        let receiver = relay.ends[1].try_clone().unwrap();
        let mut arrived = Vec::new();
        let mut frame = [0; 100];
        receiver
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        for number in 0..count {
            relay.ends[0].send(&[number; 60]).unwrap();
        }
        while arrived.len() < least {
            let len = receiver.recv(&mut frame).expect("a frame arrives");
            arrived.push(frame[..len].to_vec());
        }
        (relay, arrived)
    }

    #[test]
    fn frames_arrive_in_order_in_calm_weather() {
        let (_relay, arrived) = check(CALM, 50, 50);
        let expected: Vec<_> = (0..50u8).map(|number| vec![number; 60]).collect();
        assert_eq!(arrived, expected);
    }

    #[test]
    fn every_frame_may_come_twice_or_late() {
        let (relay, mut arrived) = check(
            Weather {
                repeat: 1000,
                hold: 500,
                ..CALM
            },
            50,
            100,
        );
        assert!(!arrived.is_sorted());
        arrived.sort();
        let expected: Vec<_> = (0..100u8).map(|number| vec![number / 2; 60]).collect();
        assert_eq!(arrived, expected);
        assert_eq!(relay.counts().repeated.load(Ordering::SeqCst), 50);
    }

    #[test]
    fn the_fate_of_a_frame_follows_from_the_seed() {
        let fates = |seed: u64| -> Vec<bool> {
            (0..1000)
                .map(|number| Dice(seed ^ number << 20).chance(50))
                .collect()
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        let lost = fates(1).iter().filter(|lost| **lost).count();
        assert!(
            (20..100).contains(&lost),
            "{lost} of 1000 where 50 are meant"
        );
    }

    #[test]
    fn a_corrupted_packet_differs_in_a_bit() {
        let mut frame = [0; 60];
        (frame[12], frame[14]) = (8, 0x45);
        let before = frame;
        assert!(corrupt(&mut frame, &mut Dice(3)));
        let bits: u32 = frame
            .iter()
            .zip(before)
            .map(|(now, before)| (now ^ before).count_ones())
            .sum();
        assert_eq!((bits, &frame[..14]), (1, &before[..14]));
        frame[13] = 6;
        assert!(!corrupt(&mut frame, &mut Dice(3)), "ARP has no checksum");
    }
}
