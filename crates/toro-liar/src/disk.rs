//! [`Disk`]: a disk that works until it lies (VIRTIO 1.3, 5.2).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::back::{Back, Device, Next, RING_FEATURES};
use crate::bytes::{long, word};
use crate::ring::{Chain, Queue, RingLie};

const SECTOR: usize = 512;
/// Its features: size of a segment, block size, flush, discard, zeroes.
const FEATURES: u64 = 1 << 1 | 1 << 6 | 1 << 9 | 1 << 13 | 1 << 14;
const CONFIG: usize = 60;
/// How many interrupts a storm has each time.
const GUST: usize = 4;
const CALM: Duration = Duration::from_micros(200);

/// What a disk lies about.
#[derive(Clone, Debug)]
pub enum Lie {
    /// About a request.
    Ring(RingLie),
    /// A request's status is this, and its data are right.
    Status(u8),
    /// It interrupts without work, all the time.
    Storm,
    /// It says again and again that its configuration has changed, and it has.
    Restless,
    /// It shrinks to 8 sectors.
    Shrinks,
    /// It answers after this time.
    Late(Duration),
    /// It disconnects.
    Disconnect,
    /// None.
    None,
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    bytes: Arc<Vec<u8>>,
    config: [u8; CONFIG],
    features: u64,
    lie: Lie,
    /// How many requests are carried out before.
    honest: usize,
    done: usize,
    late: Vec<Chain>,
}

impl Disk {
    /// A disk that holds `bytes`, carries `honest` requests out and then lies.
    pub fn new(bytes: Arc<Vec<u8>>, honest: usize, lie: Lie) -> Self {
        let mut config = [0; CONFIG];
        let sectors = (bytes.len() / SECTOR) as u64;
        config[..8].copy_from_slice(&sectors.to_le_bytes());
        // Segments of a MiB, blocks of a sector, and as many sectors to discard or to make zero.
        config[8..12].copy_from_slice(&(1u32 << 20).to_le_bytes());
        config[20..24].copy_from_slice(&512u32.to_le_bytes());
        config[36..40].copy_from_slice(&2048u32.to_le_bytes());
        config[48..52].copy_from_slice(&2048u32.to_le_bytes());
        Self {
            bytes,
            config,
            features: FEATURES | RING_FEATURES,
            lie,
            honest,
            done: 0,
            late: Vec::new(),
        }
    }

    /// Has the configuration say something else from byte `at` on.
    #[must_use]
    pub fn configured(mut self, at: usize, bytes: &[u8]) -> Self {
        self.config[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Withdraws some features, and offers others.
    #[must_use]
    pub fn featured(mut self, without: u64, with: u64) -> Self {
        self.features = self.features & !without | with;
        self
    }

    /// Carries a request out; says how many bytes it has written.
    fn carry_out(&mut self, queue: &Queue<'_>, chain: &Chain, status: u8) -> io::Result<usize> {
        let (kind, sector) = (word(&chain.readable, 0), long(&chain.readable, 8));
        let start = usize::try_from(sector)
            .unwrap_or(usize::MAX)
            .saturating_mul(SECTOR);
        let Some(room) = chain.capacity().checked_sub(1) else {
            return Ok(0);
        };
        let status = match kind {
            0 => match self.bytes.get(start..start.saturating_add(room)) {
                Some(bytes) => {
                    queue.fill(chain, 0, bytes)?;
                    status
                }
                None => 1,
            },
            1 => {
                let data = chain.readable.get(16..).unwrap_or(&[]);
                let end = start.saturating_add(data.len());
                match Arc::make_mut(&mut self.bytes).get_mut(start..end) {
                    Some(place) => {
                        place.copy_from_slice(data);
                        status
                    }
                    None => 1,
                }
            }
            4 | 11 | 13 => status,
            _ => 2,
        };
        queue.fill(chain, room, &[status])?;
        Ok(room + 1)
    }

    /// Carries a request out that comes once the honest ones are over; `true` if the disk is to disconnect.
    fn lie(&mut self, device: &mut Device<'_>, chain: Chain) -> io::Result<bool> {
        let told = match self.lie {
            Lie::None => false,
            // There is news to tell once.
            Lie::Shrinks => self.done == self.honest + 1,
            _ => true,
        };
        if told {
            device.count_lie();
        }
        match &self.lie {
            Lie::Late(_) => {
                self.late.push(chain);
                return Ok(false);
            }
            Lie::Disconnect => return Ok(true),
            Lie::Shrinks if told => {
                self.config[..8].copy_from_slice(&8u64.to_le_bytes());
                device.announce_config()?;
            }
            _ => {}
        }
        let (ring, status) = match self.lie {
            Lie::Ring(lie) => (Some(lie), 0),
            Lie::Status(status) => (None, status),
            _ => (None, 0),
        };
        let Some(mut queue) = device.queue(0) else {
            return Ok(false);
        };
        // What was not written must not pass for it.
        let written = match ring {
            Some(RingLie::Empty | RingLie::IdOfNothing) => 0,
            _ => self.carry_out(&queue, &chain, status)?,
        };
        queue.finish(&chain, written, ring)?;
        Ok(false)
    }

    /// Answers what has waited long enough.
    fn answer_late(&mut self, device: &mut Device<'_>) -> io::Result<()> {
        for chain in std::mem::take(&mut self.late) {
            if let Some(mut queue) = device.queue(0) {
                let written = self.carry_out(&queue, &chain, 0)?;
                queue.finish(&chain, written, None)?;
                device.count_answer();
            }
        }
        Ok(())
    }

    /// What the disk does though nobody asks.
    fn bother(&mut self, device: &mut Device<'_>) -> io::Result<Next> {
        match self.lie {
            Lie::Storm => {
                if let Some(mut queue) = device.queue(0) {
                    for _ in 0..GUST {
                        queue.interrupt()?;
                    }
                    device.count_lie();
                }
            }
            Lie::Restless => {
                let last = self.config[0];
                self.config[0] = last.wrapping_add(1);
                device.announce_config()?;
                device.count_lie();
            }
            Lie::Late(time) if !self.late.is_empty() => return Ok(Next::After(time)),
            _ => return Ok(Next::Ring),
        }
        Ok(Next::After(CALM))
    }
}

impl Back for Disk {
    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        self.config.to_vec()
    }

    fn work(&mut self, device: &mut Device<'_>) -> io::Result<Next> {
        let was_late = !self.late.is_empty();
        let mut came = false;
        while let Some(mut queue) = device.queue(0) {
            let Some(chain) = queue.take()? else { break };
            came = true;
            self.done += 1;
            if self.done > self.honest {
                if self.lie(device, chain)? {
                    return Ok(Next::Disconnect);
                }
            } else {
                let written = self.carry_out(&queue, &chain, 0)?;
                queue.finish(&chain, written, None)?;
            }
        }
        if was_late && !came {
            self.answer_late(device)?;
        }
        if self.done < self.honest {
            return Ok(Next::Ring);
        }
        self.bother(device)
    }
}
