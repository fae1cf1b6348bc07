//! The device's side of a split queue: what a hypervisor does, through raw pointers as it would.

use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering, fence};

use toro_virtio::ring::{self, Descriptor, Layout, needs_event};

/// A chain that the driver has offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name in the used ring.
    pub head: u16,
    /// What the driver gave to read.
    pub readable: Vec<u8>,
    /// Where the device may write, and how much.
    pub writable: Vec<(u64, u32)>,
}

impl Request {
    /// How many bytes the device may write.
    pub fn capacity(&self) -> usize {
        self.writable.iter().map(|(_, len)| *len as usize).sum()
    }
}

/// One queue as the device knows it.
#[derive(Debug)]
pub(crate) struct DeviceRings {
    layout: Layout,
    /// Chains seen ever, and used ever.
    seen: u16,
    pub(crate) used: u16,
    /// The device has lied about a chain, so it can no longer tell which buffers are its own: it touches none.
    pub(crate) has_lied: bool,
}

impl DeviceRings {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            seen: 0,
            used: 0,
            has_lied: false,
        }
    }

    /// The next chain that the driver has published.
    pub(crate) fn take(&mut self) -> Option<Request> {
        // Acquire: pairs with the driver's Release of its index.
        if self.half(self.layout.available + 2).load(Ordering::Acquire) == self.seen {
            return None;
        }
        let slot = u64::from(self.seen & (self.layout.size - 1));
        let head = self
            .half(self.layout.available + 4 + 2 * slot)
            .load(Ordering::Relaxed);
        self.seen = self.seen.wrapping_add(1);
        let mut request = Request {
            head,
            readable: Vec::new(),
            writable: Vec::new(),
        };
        self.collect(self.layout.descriptors, head, &mut request);
        Some(request)
    }

    /// How many chains the driver has published that were not taken.
    pub(crate) fn waiting(&self) -> u16 {
        let published = self.half(self.layout.available + 2).load(Ordering::Acquire);
        published.wrapping_sub(self.seen)
    }

    fn collect(&self, table: u64, first: u16, request: &mut Request) {
        let mut index = first;
        for _ in 0..=self.layout.size {
            let place = (table + 16 * u64::from(index)) as *const Descriptor;
            // SAFETY: the driver under test has published this descriptor and leaves it until it is used.
            let descriptor = unsafe { place.read_volatile() };
            if descriptor.flags & ring::INDIRECT != 0 {
                if self.has_lied {
                    return;
                }
                return self.collect(descriptor.address, 0, request);
            }
            if descriptor.flags & ring::WRITE != 0 {
                request.writable.push((descriptor.address, descriptor.len));
            } else {
                let mut bytes = vec![0; descriptor.len as usize];
                if !self.has_lied {
                    let source = descriptor.address as *const u8;
                    // SAFETY: the driver under test has published this buffer, and keeps it until it is used.
                    unsafe { ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), bytes.len()) };
                }
                request.readable.extend(bytes);
            }
            if descriptor.flags & ring::NEXT == 0 {
                return;
            }
            index = descriptor.next;
        }
        panic!("the chain is longer than the queue");
    }

    /// Writes into the buffers of a request as much as fits, and says how much that was.
    pub(crate) fn write(&self, request: &Request, mut bytes: &[u8]) -> u32 {
        let mut written = 0;
        for (address, len) in &request.writable {
            let (now, later) = bytes.split_at(bytes.len().min(*len as usize));
            if !self.has_lied {
                // SAFETY: the driver under test has published this buffer, and keeps it until it is used.
                unsafe { ptr::copy_nonoverlapping(now.as_ptr(), *address as *mut u8, now.len()) };
            }
            written += u32::try_from(now.len()).expect("a part of a descriptor");
            bytes = later;
        }
        written
    }

    /// Writes a used element and moves the index, whatever the element says.
    pub(crate) fn put_used(&mut self, id: u32, len: u32) {
        let slot = u64::from(self.used & (self.layout.size - 1));
        let place = (self.layout.used + 4 + 8 * slot) as *mut [u32; 2];
        // SAFETY: the slot lies in the used ring, which only the device writes.
        unsafe { place.write_volatile([id, len]) };
        self.set_used_index(self.used.wrapping_add(1));
    }

    /// Writes the used index.
    pub(crate) fn set_used_index(&mut self, index: u16) {
        self.used = index;
        // Release: pairs with the driver's Acquire; publishes the elements.
        self.half(self.layout.used + 2)
            .store(index, Ordering::Release);
    }

    /// Whether the driver wants an interrupt for the used index having come from `old`.
    pub(crate) fn wants_interrupt(&self, old: u16, has_event_index: bool) -> bool {
        fence(Ordering::SeqCst);
        if !has_event_index {
            return self.half(self.layout.available).load(Ordering::Relaxed) & 1 == 0;
        }
        let place = self.layout.available + 4 + 2 * u64::from(self.layout.size);
        needs_event(self.half(place).load(Ordering::Relaxed), self.used, old)
    }

    /// Asks for a notification of the next chain, or for none.
    pub(crate) fn set_notifications(&mut self, on: bool, has_event_index: bool) {
        if has_event_index {
            let place = self.layout.used + 4 + 8 * u64::from(self.layout.size);
            let event = if on {
                self.seen
            } else {
                self.seen.wrapping_sub(1)
            };
            self.half(place).store(event, Ordering::Relaxed);
        } else {
            self.half(self.layout.used)
                .store(u16::from(!on), Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    fn half(&self, address: u64) -> &AtomicU16 {
        // SAFETY: the driver under test keeps its rings until the device is reset, and the addresses that
        // this file computes lie in them; both sides access them atomically.
        unsafe { AtomicU16::from_ptr(address as *mut u16) }
    }
}
