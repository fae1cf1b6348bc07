//! [`Card`]: a network card that takes steps, honest ones and others (VIRTIO 1.3, 5.1).

use std::io;
use std::time::{Duration, Instant};

use crate::back::{Back, Device, Next, RING_FEATURES};
use crate::ring::RingLie;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Bytes of the header in front of each frame.
const HEADER: usize = 12;
/// Its features: checksums, large segments both ways, several buffers for a packet.
const FEATURES: u64 = 1 << 0 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 15;
/// Who asks, in the network and on the wire.
const ADDRESS: [u8; 4] = [10, 0, 2, 77];
const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x77];
/// A question is asked again after this time: frames may be lost.
const AGAIN: Duration = Duration::from_millis(500);
const SOON: Duration = Duration::from_millis(5);
/// How many interrupts a storm has.
const STORM: usize = 20_000;

/// What a card does, one thing after the other.
#[derive(Clone, Debug)]
pub enum Step {
    /// It asks who has the machine's address, until there is an answer.
    Ask,
    /// The machine receives a frame: header and all.
    Frame(Vec<u8>),
    /// The machine receives a frame, and a lie about it.
    Receive(RingLie),
    /// It asks until there is an answer, and lies when it gives that buffer back.
    Send(RingLie),
    /// It interrupts without work, many times.
    Storm,
    /// It disconnects.
    Disconnect,
}

/// A card.
#[derive(Debug)]
pub struct Card {
    /// The machine's address.
    target: [u8; 4],
    features: u64,
    steps: Vec<Step>,
    at: usize,
    asked: Option<Instant>,
}

impl Card {
    /// A card that takes these steps, in the network of a machine with that address.
    pub fn new(target: [u8; 4], steps: Vec<Step>) -> Self {
        Self {
            target,
            features: FEATURES | RING_FEATURES,
            steps,
            at: 0,
            asked: None,
        }
    }

    /// Withdraws some features, and offers others.
    #[must_use]
    pub fn featured(mut self, without: u64, with: u64) -> Self {
        self.features = self.features & !without | with;
        self
    }

    /// ARP: who has the target? (RFC 826)
    fn question(&self) -> Vec<u8> {
        let mut frame = vec![0; HEADER];
        // One buffer.
        frame[10] = 1;
        frame.extend([0xff; 6]);
        frame.extend(MAC);
        frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
        frame.extend(MAC);
        frame.extend(ADDRESS);
        frame.extend([0; 6]);
        frame.extend(self.target);
        frame
    }

    /// Whether a frame of the machine is its answer.
    fn is_answer(&self, frame: &[u8]) -> bool {
        let frame = frame.get(HEADER..).unwrap_or(&[]);
        frame.get(12..14) == Some(&[0x08, 0x06])
            && frame.get(20..22) == Some(&[0, 2])
            && frame.get(28..32) == Some(&self.target)
    }

    /// Takes what the machine has sent; says whether the answer was among it.
    fn hear(&mut self, device: &mut Device<'_>) -> io::Result<bool> {
        let mut is_answered = false;
        while let Some(mut queue) = device.queue(TRANSMIT) {
            let Some(chain) = queue.take()? else { break };
            let is_it = !is_answered && self.is_answer(&chain.readable);
            let lie = match self.steps.get(self.at) {
                Some(&Step::Send(lie)) if is_it => Some(lie),
                _ => None,
            };
            queue.finish(&chain, 0, lie)?;
            is_answered |= is_it;
        }
        Ok(is_answered)
    }

    /// Gives the machine a frame; `false` if it has no buffer for it.
    fn give(device: &mut Device<'_>, frame: &[u8], lie: Option<RingLie>) -> io::Result<bool> {
        let Some(mut queue) = device.queue(RECEIVE) else {
            return Ok(false);
        };
        let Some(chain) = queue.take()? else {
            return Ok(false);
        };
        queue.fill(&chain, 0, frame)?;
        queue.finish(&chain, frame.len(), lie)?;
        Ok(true)
    }

    /// Takes the next step, if it can be taken now.
    fn step(&mut self, device: &mut Device<'_>, is_answered: bool) -> io::Result<bool> {
        let Some(step) = self.steps.get(self.at).cloned() else {
            return Ok(false);
        };
        let is_taken = match &step {
            Step::Ask | Step::Send(_) if is_answered => {
                device.count_answer();
                true
            }
            Step::Ask | Step::Send(_) => {
                if self.asked.is_none_or(|at| at.elapsed() > AGAIN)
                    && Self::give(device, &self.question(), None)?
                {
                    self.asked = Some(Instant::now());
                }
                false
            }
            Step::Frame(frame) => Self::give(device, frame, None)?,
            Step::Receive(lie) => Self::give(device, &self.question(), Some(*lie))?,
            Step::Storm => match device.queue(RECEIVE) {
                Some(mut queue) => {
                    for _ in 0..STORM {
                        queue.interrupt()?;
                    }
                    true
                }
                None => false,
            },
            Step::Disconnect => true,
        };
        if is_taken {
            if !matches!(step, Step::Ask) {
                device.count_lie();
            }
            self.at += 1;
            self.asked = None;
        }
        Ok(is_taken)
    }
}

impl Back for Card {
    fn features(&self) -> u64 {
        self.features
    }

    fn work(&mut self, device: &mut Device<'_>) -> io::Result<Next> {
        let mut is_answered = self.hear(device)?;
        while self.step(device, is_answered)? {
            if matches!(self.steps[self.at - 1], Step::Disconnect) {
                return Ok(Next::Disconnect);
            }
            is_answered = false;
        }
        Ok(match self.at < self.steps.len() {
            true => Next::After(SOON),
            false => Next::Ring,
        })
    }
}
