//! [`Rings`]: the memory of a split queue, which both sides share (VIRTIO 1.3, 2.7).
//!
//! ```text
//! descriptors  16 bytes each: address, length, flags, next          we write, the device reads
//! available    flags, index, a slot per descriptor, used_event      we write, the device reads
//! used         flags, index, {id, length} per descriptor, avail_event   the device writes, we read
//! ```
//! The device changes its part at any time, so nothing here is ever behind a Rust reference: each access is
//! one atomic or volatile one through a pointer. Slots are taken modulo the size, so none lies outside.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

use toro_mem::{DmaBuf, OutOfMemory};

/// Descriptor flag: the chain goes on at `next`.
pub const NEXT: u16 = 1;
/// Descriptor flag: the device writes the buffer.
pub const WRITE: u16 = 2;
/// Descriptor flag: the buffer is a table of descriptors.
pub const INDIRECT: u16 = 4;
/// Available flag: no interrupts, please. Used flag: no notifications, please.
const SILENT: u16 = 1;

/// One descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Descriptor {
    /// Where the device finds the buffer.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
    /// [`NEXT`], [`WRITE`], [`INDIRECT`].
    pub flags: u16,
    /// The descriptor that follows.
    pub next: u16,
}

impl Descriptor {
    /// The descriptor as it lies in memory.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }
}

/// Where the device finds the three parts, and for how many descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of descriptors, a power of two.
    pub size: u16,
    /// Address of the descriptors.
    pub descriptors: u64,
    /// Address of the available ring.
    pub available: u64,
    /// Address of the used ring.
    pub used: u64,
}

/// The rings of one queue.
#[derive(Debug)]
pub struct Rings {
    memory: DmaBuf,
    base: NonNull<u8>,
    size: u16,
    available: usize,
    used: usize,
}

// SAFETY: `base` points into `memory`, which is ours alone on this side and may move between cores.
unsafe impl Send for Rings {}

impl Rings {
    /// Allocates zeroed rings for `size` descriptors.
    ///
    /// # Errors
    /// Fails if there is no memory.
    ///
    /// # Panics
    /// Panics if `size` is not a power of two.
    pub fn try_new(size: u16) -> Result<Self, OutOfMemory> {
        assert!(
            size.is_power_of_two(),
            "a split queue has a power of two of descriptors"
        );
        let n = usize::from(size);
        let available = 16 * n;
        // On a cache line of its own: each side writes one ring and reads the other.
        let used = (available + 6 + 2 * n).next_multiple_of(64);
        let mut memory = DmaBuf::try_new(used + 6 + 8 * n)?;
        let base = NonNull::from(&mut *memory).cast();
        Ok(Self {
            memory,
            base,
            size,
            available,
            used,
        })
    }

    /// What the device has to know.
    pub fn layout(&self) -> Layout {
        let descriptors = self.memory.bus_addr();
        Layout {
            size: self.size,
            descriptors,
            available: descriptors + self.available as u64,
            used: descriptors + self.used as u64,
        }
    }

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Writes a descriptor: one that the device does not own.
    #[inline]
    pub fn set_descriptor(&mut self, index: u16, descriptor: Descriptor) {
        let (len, flags, next) = (descriptor.len, descriptor.flags, descriptor.next);
        let rest = u64::from(len) | u64::from(flags) << 32 | u64::from(next) << 48;
        let place = self.at::<[u64; 2]>(16 * self.slot(index));
        // SAFETY: `slot` is below the size, and 16 bytes per descriptor start at offset 0, aligned to 16.
        unsafe { place.write_volatile([descriptor.address.to_le(), rest.to_le()]) };
    }

    /// Offers the chain that starts at `head` as the `index`th ever.
    pub fn set_available(&mut self, index: u16, head: u16) {
        self.half(self.available + 4 + 2 * self.slot(index))
            .store(head, Ordering::Relaxed);
    }

    /// Shows the device everything offered before `index`.
    pub fn publish(&mut self, index: u16) {
        // Release: pairs with the device's read of the index (2.7.13.3.1: the ring before its index);
        // publishes descriptors and slots.
        self.half(self.available + 2)
            .store(index, Ordering::Release);
    }

    /// How many chains the device has used ever, modulo 65,536.
    pub fn used_index(&self) -> u16 {
        // Acquire: pairs with the device's write of the index; what it wrote before (elements, buffers) is
        // then visible (2.7.14).
        self.half(self.used + 2).load(Ordering::Acquire)
    }

    /// The `index`th element ever that the device has used: id and length, each read once.
    pub fn used(&self, index: u16) -> (u32, u32) {
        let at = self.used + 4 + 8 * self.slot(index);
        let read = |offset| self.word(offset).load(Ordering::Relaxed);
        (read(at), read(at + 4))
    }

    /// With the event index: asks for an interrupt when the `index`th element ever is used.
    pub fn set_used_event(&mut self, index: u16) {
        let offset = self.available + 4 + 2 * usize::from(self.size);
        self.half(offset).store(index, Ordering::Relaxed);
    }

    /// With the event index: the device asks for a notification when the `index`th chain ever is available.
    pub fn avail_event(&self) -> u16 {
        self.half(self.used + 4 + 8 * usize::from(self.size))
            .load(Ordering::Relaxed)
    }

    /// Without the event index: asks for interrupts, or for none.
    pub fn set_interrupts(&mut self, on: bool) {
        self.half(self.available)
            .store(if on { 0 } else { SILENT }, Ordering::Relaxed);
    }

    /// Without the event index: whether the device asks for notifications.
    pub fn wants_notifications(&self) -> bool {
        self.half(self.used).load(Ordering::Relaxed) & SILENT == 0
    }

    /// Orders what we have written before against what we read afterwards: the device does the converse, so
    /// at least one side sees the other's news (2.7.13.4.1, 2.7.7.1).
    pub fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.size - 1))
    }

    fn half(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: offsets come from this file, lie inside the allocation and are even; the memory lives as
        // long as `self` and is only accessed atomically (rings) or as a descriptor (elsewhere).
        unsafe { AtomicU16::from_ptr(self.at(offset).as_ptr()) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as in `half`; used elements start at a multiple of 4.
        unsafe { AtomicU32::from_ptr(self.at(offset).as_ptr()) }
    }

    fn at<T>(&self, offset: usize) -> NonNull<T> {
        // SAFETY: every offset that this file computes lies inside the allocation of `try_new`.
        unsafe { self.base.add(offset) }.cast()
    }
}

/// Whether the other side, which asked to be told at `event`, is to be told after the index went from `old` to
/// `new` (VIRTIO 1.3, 2.7.10: `vring_need_event`; all numbers wrap).
pub fn needs_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_due_when_the_index_passes_it() {
        let check = |event, new, old, due| assert_eq!(needs_event(event, new, old), due);
        check(0, 1, 0, true);
        check(1, 1, 0, false);
        check(5, 9, 5, true);
        check(8, 9, 5, true);
        check(4, 9, 5, false);
        check(9, 9, 5, false);
        check(65_535, 1, 65_534, true);
        check(65_535, 0, 65_535, true);
        check(0, 0, 65_535, false);
        check(7, 7, 7, false);
    }

    #[test]
    fn parts_lie_as_the_standard_wants_them() {
        for size in [1, 2, 4, 256, 1024] {
            let layout = Rings::try_new(size).expect("memory").layout();
            assert_eq!(layout.descriptors % 16, 0);
            assert_eq!(layout.available, layout.descriptors + 16 * u64::from(size));
            assert_eq!(layout.used % 64, 0);
            assert!(layout.used >= layout.available + 6 + 2 * u64::from(size));
        }
    }
}
