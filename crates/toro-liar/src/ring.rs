//! [`Queue`]: a split queue (VIRTIO 1.3, 2.7) from the device's side, and the lies that can be told with it.

use std::fs::File;
use std::io::{self, Write as _};

use crate::bytes::{half, long, word};
use crate::memory::{Memory, Place};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// How a device breaks the rules when it gives a chain back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingLie {
    /// Under an id that no queue has, and that is the chain's own in its lower 16 bits.
    IdOutOfRange,
    /// Under the id of a descriptor that is no chain's.
    IdOfNothing,
    /// Twice.
    Twice,
    /// With a byte more than fits.
    TooLong,
    /// With nothing written.
    Empty,
    /// With a used index that is a thousand ahead.
    IndexAhead,
    /// With a used index that goes back by one.
    IndexBack,
    /// As it should, but its descriptor now says something else.
    Rewritten,
    /// Not at all.
    Never,
    /// Without an interrupt.
    Silent,
}

/// What is known of a queue.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) size: u16,
    /// Addresses of QEMU.
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    /// Chains seen ever, and used ever.
    pub(crate) seen: u16,
    pub(crate) done: u16,
    pub(crate) is_enabled: bool,
    pub(crate) kick: Option<File>,
    pub(crate) call: Option<File>,
}

impl Ring {
    pub(crate) fn is_running(&self) -> bool {
        self.is_enabled && self.kick.is_some() && self.size > 0 && self.descriptors != 0
    }
}

/// What the driver has offered in one go.
#[derive(Debug)]
pub struct Chain {
    /// Its name in the used ring.
    pub head: u16,
    /// What the driver gave to read.
    pub readable: Vec<u8>,
    /// Where the device may write, and how much.
    writable: Vec<(u64, u32)>,
}

impl Chain {
    /// How many bytes the device may write.
    pub fn capacity(&self) -> usize {
        self.writable.iter().map(|(_, len)| *len as usize).sum()
    }
}

/// A queue that runs.
#[derive(Debug)]
pub struct Queue<'a> {
    pub(crate) ring: &'a mut Ring,
    pub(crate) memory: &'a Memory,
    pub(crate) has_event_index: bool,
}

impl Queue<'_> {
    /// Takes the next chain that the driver has published.
    ///
    /// # Errors
    /// Fails if the driver names memory that the machine does not have.
    pub fn take(&mut self) -> io::Result<Option<Chain>> {
        if self.published()? == self.ring.seen {
            if self.has_event_index {
                // 2.7.10: the driver rings for the next one. It may have come meanwhile.
                let event = 4 + 8 * u64::from(self.ring.size);
                self.set_used_half(event, self.ring.seen)?;
            }
            if self.published()? == self.ring.seen {
                return Ok(None);
            }
        }
        let slot = u64::from(self.ring.seen % self.ring.size);
        let head = self
            .memory
            .half(Place::Qemu(self.ring.available).plus(4 + 2 * slot))?;
        self.ring.seen = self.ring.seen.wrapping_add(1);
        let mut chain = Chain {
            head,
            readable: Vec::new(),
            writable: Vec::new(),
        };
        self.collect(Place::Qemu(self.ring.descriptors), head, &mut chain)?;
        Ok(Some(chain))
    }

    fn published(&self) -> io::Result<u16> {
        self.memory.half(Place::Qemu(self.ring.available).plus(2))
    }

    fn collect(&self, table: Place, first: u16, chain: &mut Chain) -> io::Result<()> {
        let mut index = first;
        for _ in 0..=self.ring.size {
            let mut entry = [0; 16];
            self.memory
                .read(table.plus(16 * u64::from(index)), &mut entry)?;
            let (address, len, flags) = (long(&entry, 0), word(&entry, 8), half(&entry, 12));
            if flags & INDIRECT != 0 {
                return self.collect(Place::Guest(address), 0, chain);
            }
            if flags & WRITE != 0 {
                chain.writable.push((address, len));
            } else {
                let from = chain.readable.len();
                chain.readable.resize(from + len as usize, 0);
                self.memory
                    .read(Place::Guest(address), &mut chain.readable[from..])?;
            }
            if flags & NEXT == 0 {
                break;
            }
            index = half(&entry, 14);
        }
        Ok(())
    }

    /// Writes `bytes` into the buffers of a chain from byte `from` on, as many as fit.
    ///
    /// # Errors
    /// Fails if the driver has named memory that the machine does not have.
    pub fn fill(&self, chain: &Chain, from: usize, bytes: &[u8]) -> io::Result<()> {
        let (mut skip, mut rest) = (from, bytes);
        for &(address, len) in &chain.writable {
            let room = (len as usize).saturating_sub(skip);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.memory
                .write(Place::Guest(address).plus(skip as u64), now)?;
            skip = skip.saturating_sub(len as usize);
            rest = later;
        }
        Ok(())
    }

    /// Gives a chain back, of which so many bytes were written, and interrupts; or tells a lie.
    ///
    /// # Errors
    /// Fails if the machine has gone.
    pub fn finish(
        &mut self,
        chain: &Chain,
        written: usize,
        lie: Option<RingLie>,
    ) -> io::Result<()> {
        let id = u32::from(chain.head);
        let len = u32::try_from(written).unwrap_or(u32::MAX);
        match lie {
            None => self.put_used(id, len)?,
            Some(RingLie::IdOutOfRange) => self.put_used(1 << 16 | id, len)?,
            Some(RingLie::IdOfNothing) => {
                self.put_used((id + 1) % u32::from(self.ring.size), len)?;
            }
            Some(RingLie::Twice) => {
                self.put_used(id, len)?;
                self.put_used(id, len)?;
            }
            Some(RingLie::TooLong) => {
                let capacity = u32::try_from(chain.capacity()).unwrap_or(u32::MAX - 1);
                self.put_used(id, capacity + 1)?;
            }
            Some(RingLie::Empty) => self.put_used(id, 0)?,
            Some(RingLie::IndexAhead) => self.set_index(self.ring.done.wrapping_add(1000))?,
            Some(RingLie::IndexBack) => self.set_index(self.ring.done.wrapping_sub(1))?,
            Some(RingLie::Rewritten) => {
                self.rewrite(chain.head)?;
                self.put_used(id, len)?;
            }
            Some(RingLie::Never) => return Ok(()),
            Some(RingLie::Silent) => return self.put_used(id, len),
        }
        self.interrupt()
    }

    /// Puts an element into the used ring, without an interrupt.
    fn put_used(&mut self, id: u32, len: u32) -> io::Result<()> {
        let slot = u64::from(self.ring.done % self.ring.size);
        let element = [id.to_le_bytes(), len.to_le_bytes()].concat();
        self.memory
            .write(Place::Qemu(self.ring.used).plus(4 + 8 * slot), &element)?;
        self.set_index(self.ring.done.wrapping_add(1))
    }

    fn set_index(&mut self, index: u16) -> io::Result<()> {
        self.ring.done = index;
        self.set_used_half(2, index)
    }

    fn set_used_half(&self, offset: u64, number: u16) -> io::Result<()> {
        self.memory.write(
            Place::Qemu(self.ring.used).plus(offset),
            &number.to_le_bytes(),
        )
    }

    /// Makes a descriptor one that leads to itself, of 4 GiB at address 0.
    fn rewrite(&self, head: u16) -> io::Result<()> {
        let mut entry = [0; 16];
        entry[8..12].fill(0xff);
        entry[12] = 7;
        entry[14..].copy_from_slice(&head.to_le_bytes());
        let place = Place::Qemu(self.ring.descriptors).plus(16 * u64::from(head));
        self.memory.write(place, &entry)
    }

    /// Interrupts the driver, whether it wants that or not.
    ///
    /// # Errors
    /// Fails if the machine has gone.
    pub fn interrupt(&mut self) -> io::Result<()> {
        match &mut self.ring.call {
            Some(call) => call.write_all(&1u64.to_ne_bytes()),
            None => Ok(()),
        }
    }
}
