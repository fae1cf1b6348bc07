//! [`Back`]: what a device does, and [`Device`], what it does it with.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::memory::Memory;
use crate::ring::{Queue, Ring};
use crate::wire::{self, request};

/// Ring features that every liar offers: indirect descriptors, event index, version 1.
pub(crate) const RING_FEATURES: u64 = 1 << 28 | EVENT_IDX | VERSION_1;
/// Event index.
pub(crate) const EVENT_IDX: u64 = 1 << 29;
/// Version 1 of virtio.
pub(crate) const VERSION_1: u64 = 1 << 32;

/// What a liar has done so far.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) lies: AtomicU32,
    pub(crate) answers: AtomicU32,
}

/// A device.
pub trait Back: Send {
    /// The features that it offers.
    fn features(&self) -> u64;

    /// Its configuration, if it is not QEMU's business.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Does what there is to do: called whenever the driver has rung, and when the device has asked for it.
    ///
    /// # Errors
    /// Ends the device, as if it had disconnected.
    fn work(&mut self, device: &mut Device<'_>) -> io::Result<Next>;
}

/// When a device wants to work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When the driver rings.
    Ring,
    /// After this time, or when the driver rings.
    After(Duration),
    /// Never: it disconnects.
    Disconnect,
}

/// A device in its machine.
#[derive(Debug)]
pub struct Device<'a> {
    pub(crate) rings: &'a mut [Ring],
    pub(crate) memory: &'a Memory,
    pub(crate) features: u64,
    pub(crate) channel: Option<&'a mut UnixStream>,
    pub(crate) facts: &'a Facts,
}

impl Device<'_> {
    /// Queue `index`, if it runs.
    pub fn queue(&mut self, index: usize) -> Option<Queue<'_>> {
        let ring = self.rings.get_mut(index)?;
        ring.is_running().then_some(Queue {
            ring,
            memory: self.memory,
            has_event_index: self.features & EVENT_IDX != 0,
        })
    }

    /// Says that the configuration has changed; QEMU then asks for it. One that has too much of this to hear misses some.
    ///
    /// # Errors
    /// Fails if QEMU has gone.
    pub fn announce_config(&mut self) -> io::Result<()> {
        let Some(channel) = &mut self.channel else {
            return Ok(());
        };
        match wire::tell(channel, request::CONFIG_CHANGED) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            told => told,
        }
    }

    /// Counts a lie.
    pub fn count_lie(&self) {
        self.facts.lies.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer of the driver's side that was waited for.
    pub fn count_answer(&self) {
        self.facts.answers.fetch_add(1, Ordering::Relaxed);
    }
}
