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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;

    use super::{Chain, File, Memory, Place, Queue, Ring, RingLie};
    use crate::bytes::{half, word};

    const SIZE: u16 = 4;
    /// Where the rings lie for QEMU, and a buffer for the guest.
    const AVAILABLE: u64 = 0x1_1000;
    const USED: u64 = 0x1_2000;
    const BUFFER: u64 = 0x3000;

    /// Memory of four pages, at 0 for the guest and at 64 KiB for QEMU, with one chain of a buffer of 8 bytes to write.
    fn memory(name: &str) -> (Memory, Ring) {
        let path = std::env::temp_dir().join(format!("toro-liar-{}-{name}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a temporary file");
        file.set_len(0x4000).expect("room");
        fs::remove_file(&path).expect("it is open still");
        let mut payload = 1u64.to_le_bytes().to_vec();
        for number in [0u64, 0x4000, 0x1_0000, 0] {
            payload.extend(number.to_le_bytes());
        }
        let memory = Memory::parse(&payload, vec![OwnedFd::from(file)]);
        let mut entry = BUFFER.to_le_bytes().to_vec();
        entry.extend([8, 0, 0, 0, 2, 0, 0, 0]);
        let write = |place, bytes: &[u8]| memory.write(place, bytes).expect("it is there");
        write(Place::Guest(0x10 * 2), &entry);
        write(Place::Qemu(AVAILABLE), &[0, 0, 1, 0, 2, 0]);
        let ring = Ring {
            size: SIZE,
            descriptors: 0x1_0000,
            available: AVAILABLE,
            used: USED,
            ..Ring::default()
        };
        (memory, ring)
    }

    /// Tells a lie about the chain; the index of the used ring and its first element.
    fn tell(name: &str, lie: Option<RingLie>) -> (u16, u32, u32) {
        let (memory, mut ring) = memory(name);
        let mut queue = Queue {
            ring: &mut ring,
            memory: &memory,
            has_event_index: false,
        };
        let chain: Chain = queue.take().expect("memory").expect("a chain");
        assert_eq!((chain.head, chain.capacity()), (2, 8));
        assert!(queue.take().expect("memory").is_none());
        queue.fill(&chain, 2, b"abcdefghi").expect("memory");
        queue.finish(&chain, 8, lie).expect("memory");
        let mut buffer = [0; 9];
        memory
            .read(Place::Guest(BUFFER), &mut buffer)
            .expect("memory");
        assert_eq!(
            &buffer, b"\0\0abcdef\0",
            "nothing is written behind the end"
        );
        let mut used = [0; 12];
        memory.read(Place::Qemu(USED), &mut used).expect("memory");
        (half(&used, 2), word(&used, 4), word(&used, 8))
    }

    #[test]
    fn every_lie_is_what_it_says() {
        assert_eq!(tell("none", None), (1, 2, 8));
        let check = |name, lie, expected| assert_eq!(tell(name, Some(lie)), expected, "{lie:?}");
        check("range", RingLie::IdOutOfRange, (1, 0x1_0002, 8));
        check("nothing", RingLie::IdOfNothing, (1, 3, 8));
        check("twice", RingLie::Twice, (2, 2, 8));
        check("long", RingLie::TooLong, (1, 2, 9));
        check("empty", RingLie::Empty, (1, 2, 0));
        check("ahead", RingLie::IndexAhead, (1000, 0, 0));
        check("back", RingLie::IndexBack, (65_535, 0, 0));
        check("rewritten", RingLie::Rewritten, (1, 2, 8));
        check("never", RingLie::Never, (0, 0, 0));
        check("silent", RingLie::Silent, (1, 2, 8));
    }

    #[test]
    fn memory_that_the_machine_has_not_is_an_error() {
        let (memory, _) = memory("bounds");
        let mut byte = [0; 2];
        for place in [
            Place::Guest(0x3fff),
            Place::Guest(u64::MAX),
            Place::Qemu(0xffff),
        ] {
            assert!(memory.read(place, &mut byte).is_err(), "{place:?}");
        }
        assert!(memory.read(Place::Qemu(0x1_3ffe), &mut byte).is_ok());
    }
}
