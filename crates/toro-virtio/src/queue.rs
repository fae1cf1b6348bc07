//! [`Queue`]: owned buffers in, owned buffers out.
//!
//! A slot per descriptor remembers what the device was given; nothing that the device can write to is ever
//! asked for it again. What the device does write (how many chains it has used, which, how many bytes) is
//! read once and must agree with the slots:
//!
//! ```text
//! used index   may not run ahead of what was published
//! id           below the size, and the head of a chain that is outstanding
//! length       at most the writable bytes of that chain
//! ```
//! The first violation poisons the queue: no chain goes in or comes out any more, and the buffers that the
//! device may still write to stay allocated until its reset is proved by a [`Reset`].

use alloc::boxed::Box;
use core::mem::ManuallyDrop;

use toro_mem::DmaBuf;

use crate::chain::{Buffer, Chain};
use crate::device::Reset;
use crate::error::DeviceError;
use crate::feature::{EVENT_IDX, INDIRECT_DESC};
use crate::interrupt::Message;
use crate::ring::{self, Descriptor, Rings, needs_event};
use crate::transport::{Doorbell, SetQueueError, Transport};

/// The queue has no room for this chain, or has failed.
#[derive(Debug)]
pub struct Full(pub Chain);

/// Names a chain from [`Queue::add`] until it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u16);

impl Token {
    /// A number below the size of the queue, for tables of a driver's own.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A chain that the device has used.
#[derive(Debug)]
pub struct Used {
    /// As [`Queue::add`] named it.
    pub token: Token,
    /// The buffers.
    pub chain: Chain,
    /// How many bytes the device says it has written, at most as many as it could.
    pub written: u32,
}

/// What is known of a descriptor.
#[derive(Debug, Default)]
struct Slot {
    /// The chain of which this is the head, while the device has it.
    chain: Option<Chain>,
    /// A table for chains of several buffers, kept for the next one.
    table: Option<DmaBuf>,
    /// How many descriptors the chain takes.
    taken: u16,
    /// The descriptor behind this one: of its chain, or of the free list.
    next: u16,
}

/// A split virtqueue (VIRTIO 1.3, 2.7).
#[derive(Debug)]
pub struct Queue {
    rings: ManuallyDrop<Rings>,
    slots: ManuallyDrop<Box<[Slot]>>,
    doorbell: Doorbell,
    has_event_index: bool,
    has_indirect: bool,
    first_free: u16,
    free: u16,
    /// Chains added ever, and of these, those that the device was shown. All four counters wrap.
    added: u16,
    published: u16,
    /// Chains popped ever, and the device's index as it was last read.
    popped: u16,
    used: u16,
    error: Option<DeviceError>,
    is_retired: bool,
}

impl Queue {
    /// Sets up queue `index` of a device whose `features` are agreed on, with `size` descriptors or as many as
    /// the device takes, whichever is less; always a power of two.
    ///
    /// # Errors
    /// Fails if the device has no such queue, cannot attach it, or there is no memory.
    pub fn new(
        transport: &mut dyn Transport,
        index: u16,
        size: u16,
        features: u64,
    ) -> Result<Self, SetQueueError> {
        let rings = Self::rings(transport, index, size)?;
        let doorbell = transport.set_queue(index, &rings.layout())?;
        Ok(Self::over(rings, doorbell, features))
    }

    /// As [`new`](Self::new), for another core, to which its interrupts go as `message`: send it there before it is used.
    ///
    /// # Errors
    /// As [`new`](Self::new), or if the device has no message left.
    pub fn new_for(
        transport: &mut dyn Transport,
        index: u16,
        size: u16,
        features: u64,
        message: Message,
    ) -> Result<Self, SetQueueError> {
        let rings = Self::rings(transport, index, size)?;
        let doorbell = transport.set_queue_for(index, &rings.layout(), message)?;
        Ok(Self::over(rings, doorbell, features))
    }

    fn rings(transport: &mut dyn Transport, index: u16, size: u16) -> Result<Rings, SetQueueError> {
        let most = transport.max_size(index).min(u32::from(size)).min(1 << 15);
        let Some(bits) = most.checked_ilog2() else {
            return Err(SetQueueError::NoSuchQueue(index));
        };
        Rings::try_new(1 << bits).map_err(SetQueueError::OutOfMemory)
    }

    fn over(rings: Rings, doorbell: Doorbell, features: u64) -> Self {
        let size = rings.size();
        let slots = (1..=size)
            .map(|next| Slot {
                next,
                ..Slot::default()
            })
            .collect();
        Self {
            rings: ManuallyDrop::new(rings),
            slots: ManuallyDrop::new(slots),
            doorbell,
            has_event_index: features & EVENT_IDX != 0,
            has_indirect: features & INDIRECT_DESC != 0,
            first_free: 0,
            free: size,
            added: 0,
            published: 0,
            popped: 0,
            used: 0,
            error: None,
            is_retired: false,
        }
    }

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.rings.size()
    }

    /// Number of descriptors that are free.
    pub fn free(&self) -> u16 {
        if self.error.is_some() { 0 } else { self.free }
    }

    /// Number of chains that were added and have not come back.
    pub fn outstanding(&self) -> u16 {
        self.added.wrapping_sub(self.popped)
    }

    /// Adds a chain, and names it.
    ///
    /// The device owns its buffers until [`pop`](Self::pop) gives them back. It learns of them at the next
    /// [`notify_if_needed`](Self::notify_if_needed).
    ///
    /// # Errors
    /// Hands the chain back if there are too few descriptors for it, or if the queue has failed.
    #[inline]
    pub fn add(&mut self, chain: Chain) -> Result<Token, Full> {
        if self.free() == 0 {
            return Err(Full(chain));
        }
        let [buffer] = chain.buffers() else {
            return self.add_many(chain);
        };
        self.rings.set_descriptor(self.first_free, describe(buffer));
        Ok(self.offer_one(chain))
    }

    /// Adds one buffer, as [`add`](Self::add) does: an image whose drivers never add more has nothing of longer chains.
    ///
    /// # Errors
    /// Hands the buffer back if no descriptor is free, or if the queue has failed.
    #[inline]
    pub fn add_one(&mut self, buffer: Buffer) -> Result<Token, Full> {
        if self.free() == 0 {
            return Err(Full(buffer.into()));
        }
        self.rings
            .set_descriptor(self.first_free, describe(&buffer));
        Ok(self.offer_one(buffer.into()))
    }

    /// Offers the chain that the first free descriptor describes.
    #[inline]
    fn offer_one(&mut self, chain: Chain) -> Token {
        let head = self.first_free;
        self.offer(head, head, 1, chain)
    }

    #[inline(never)]
    fn add_many(&mut self, chain: Chain) -> Result<Token, Full> {
        let head = self.first_free;
        let Some(taken) = self.describe_many(&chain) else {
            return Err(Full(chain));
        };
        let last = self.last_of(head, taken);
        Ok(self.offer(head, last, taken, chain))
    }

    /// Takes the described descriptors from `head` to `last` off the free list, and offers them.
    fn offer(&mut self, head: u16, last: u16, taken: u16, chain: Chain) -> Token {
        self.first_free = self.slot(last).next;
        self.free -= taken;
        let slot = self.slot(head);
        // Nothing is dropped: the slot was free. To say so keeps the code for dropping off the path of every packet.
        debug_assert!(slot.chain.is_none(), "a free descriptor has no chain");
        core::mem::forget(slot.chain.replace(chain));
        slot.taken = taken;
        self.rings.set_available(self.added, head);
        self.added = self.added.wrapping_add(1);
        Token(head)
    }

    /// Shows the device what was added, and rings its doorbell if it asked for that: once per batch.
    pub fn notify_if_needed(&mut self) {
        let (old, new) = (self.published, self.added);
        if old == new || self.error.is_some() {
            return;
        }
        self.rings.publish(new);
        self.published = new;
        // Pairs with the device's fence between enabling notifications and looking at the index.
        self.rings.full_fence();
        let is_needed = if self.has_event_index {
            needs_event(self.rings.avail_event(), new, old)
        } else {
            self.rings.wants_notifications()
        };
        if is_needed {
            self.doorbell.ring();
        }
    }

    /// Takes the next chain that the device has used.
    ///
    /// # Errors
    /// Fails, and goes on failing, once the device has broken a rule.
    #[inline(always)]
    pub fn pop(&mut self) -> Result<Option<Used>, DeviceError> {
        if self.popped == self.used && !self.has_more()? {
            return Ok(None);
        }
        let (id, written) = self.rings.used(self.popped);
        match self.take(id, written) {
            Ok(used) => {
                self.popped = self.popped.wrapping_add(1);
                Ok(Some(used))
            }
            Err(error) => Err(self.poison(error)),
        }
    }

    /// Asks the device not to interrupt.
    ///
    /// With the event index the device interrupts once per request, so there is nothing to take back: the
    /// index asked for is set behind us, where it comes by only once in 65,536 chains.
    pub fn disable_interrupts(&mut self) {
        if self.has_event_index {
            self.rings.set_used_event(self.popped.wrapping_sub(1));
        } else {
            self.rings.set_interrupts(false);
        }
    }

    /// Asks the device to interrupt when it has used another chain, and says whether it has already.
    pub fn enable_interrupts(&mut self) -> bool {
        self.enable_interrupts_after(1)
    }

    /// Asks the device to interrupt when it has used `count` more chains, and says whether it has already.
    ///
    /// A device without the event index interrupts at the first one. A queue that has failed always has
    /// news.
    pub fn enable_interrupts_after(&mut self, count: u16) -> bool {
        let count = count.max(1);
        if self.has_event_index {
            self.rings
                .set_used_event(self.popped.wrapping_add(count - 1));
        } else {
            self.rings.set_interrupts(true);
        }
        // Pairs with the device's fence between writing its index and reading what we ask for: either the
        // device sees our request, or we see its index (2.7.7.1).
        self.rings.full_fence();
        let news = self.rings.used_index().wrapping_sub(self.popped);
        self.error.is_some() || news >= count
    }

    /// The rule that the device has broken, if it has.
    pub fn error(&self) -> Option<DeviceError> {
        self.error
    }

    /// Ends the queue: the device was reset and touches memory no more, so that dropping the queue frees the
    /// rings and the buffers that are still in it.
    ///
    /// A queue that is dropped without this proof leaks them instead.
    pub fn retire(&mut self, _proof: &Reset) {
        self.is_retired = true;
        self.poison(DeviceError::Reset);
    }

    /// Reads how far the device is, once all that was known is popped.
    fn has_more(&mut self) -> Result<bool, DeviceError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let used = self.rings.used_index();
        let claimed = used.wrapping_sub(self.popped);
        let outstanding = self.published.wrapping_sub(self.popped);
        if claimed > outstanding {
            return Err(self.poison(DeviceError::UsedTooMany {
                claimed,
                outstanding,
            }));
        }
        self.used = used;
        Ok(claimed != 0)
    }

    /// Checks a used element against its slot, and frees the slot.
    #[inline(always)]
    fn take(&mut self, id: u32, written: u32) -> Result<Used, DeviceError> {
        let unknown = DeviceError::NotOutstanding(id);
        let slot = self.slots.get_mut(id as usize).ok_or(unknown)?;
        let capacity = slot.chain.as_ref().ok_or(unknown)?.writable_len();
        if u64::from(written) > capacity {
            return Err(DeviceError::WrittenTooMuch {
                claimed: written,
                capacity,
            });
        }
        let (chain, taken) = (slot.chain.take().ok_or(unknown)?, slot.taken);
        let head = u16::try_from(id).map_err(|_| unknown)?;
        let last = if taken == 1 {
            head
        } else {
            self.last_of(head, taken)
        };
        self.slot(last).next = self.first_free;
        self.first_free = head;
        self.free += taken;
        Ok(Used {
            token: Token(head),
            chain,
            written,
        })
    }

    #[cold]
    fn poison(&mut self, error: DeviceError) -> DeviceError {
        // So that the next `pop` comes by `has_more`, which finds the error.
        self.used = self.popped;
        self.error = Some(error);
        error
    }

    /// Describes a chain of several buffers, and says how many descriptors it takes; `None` if too many.
    fn describe_many(&mut self, chain: &Chain) -> Option<u16> {
        if self.has_indirect && self.describe_indirect(chain.buffers()) {
            return Some(1);
        }
        let buffers = chain.buffers();
        let taken = u16::try_from(buffers.len())
            .ok()
            .filter(|taken| *taken <= self.free)?;
        let mut index = self.first_free;
        for (number, buffer) in (1..).zip(buffers) {
            let next = self.slot(index).next;
            let mut descriptor = describe(buffer);
            if number < taken {
                descriptor.flags |= ring::NEXT;
                descriptor.next = next;
            }
            self.rings.set_descriptor(index, descriptor);
            index = next;
        }
        Some(taken)
    }

    /// Describes a chain in a table of its own (2.7.5.3), if it is not too long and there is memory.
    fn describe_indirect(&mut self, buffers: &[Buffer]) -> bool {
        let head = self.first_free;
        // The standard allows no chain longer than the queue, in a table or not.
        if buffers.len() > usize::from(self.size()) {
            return false;
        }
        let len = 16 * buffers.len();
        let slot = self.slot(head);
        if slot.table.as_ref().is_none_or(|table| table.len() < len) {
            slot.table = DmaBuf::try_new(len.next_power_of_two()).ok();
        }
        let Some(table) = &mut slot.table else {
            return false;
        };
        for ((number, buffer), entry) in (1..).zip(buffers).zip(table.chunks_exact_mut(16)) {
            let mut descriptor = describe(buffer);
            if usize::from(number) < buffers.len() {
                descriptor.flags |= ring::NEXT;
                descriptor.next = number;
            }
            entry.copy_from_slice(&descriptor.to_bytes());
        }
        let (address, flags) = (table.bus_addr(), ring::INDIRECT);
        #[expect(clippy::cast_possible_truncation, reason = "at most 16 times the size")]
        let len = len as u32;
        self.rings.set_descriptor(
            head,
            Descriptor {
                address,
                len,
                flags,
                next: 0,
            },
        );
        true
    }

    /// The last of the `taken` descriptors that start at `head`.
    fn last_of(&mut self, head: u16, taken: u16) -> u16 {
        (1..taken).fold(head, |index, _| self.slot(index).next)
    }

    /// The slot of a descriptor that this side has numbered.
    fn slot(&mut self, index: u16) -> &mut Slot {
        &mut self.slots[usize::from(index)]
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if !self.is_retired {
            return;
        }
        // SAFETY: `is_retired` says that the device was reset, so it no longer writes to the rings; they are
        // not used again, as `self` ends here.
        unsafe { ManuallyDrop::drop(&mut self.rings) };
        // SAFETY: as above, for the buffers in the slots.
        unsafe { ManuallyDrop::drop(&mut self.slots) };
    }
}

fn describe(buffer: &Buffer) -> Descriptor {
    let flags = if buffer.is_writable() { ring::WRITE } else { 0 };
    Descriptor {
        address: buffer.address(),
        len: buffer.len(),
        flags,
        next: 0,
    }
}
