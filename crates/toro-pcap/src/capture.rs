//! [`Capture`]: frames that wait to be read, from the stacks of all cores.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, Waker};

use toro_sync::SpinLock;
use toro_time::SystemTime;

use crate::blocks::{self, Direction};

/// What is kept between taps and a reader.
#[derive(Debug)]
pub struct Capture {
    /// Somebody reads. Taps look at it first, so that without a reader a frame costs one load.
    is_wanted: AtomicBool,
    state: SpinLock<State>,
    most: usize,
}

/// Locked for the copy of one frame at a time.
#[derive(Debug)]
struct State {
    interfaces: Vec<Interface>,
    blocks: Vec<u8>,
    reader: Option<Waker>,
}

#[derive(Debug)]
struct Interface {
    name: String,
    seen: u64,
    dropped: u64,
    /// Dropped when the reader was last told.
    told: u64,
}

impl Capture {
    /// A capture that keeps `most` bytes of blocks for a reader who is late.
    pub fn new(most: usize) -> Self {
        let state = State {
            interfaces: Vec::new(),
            blocks: Vec::new(),
            reader: None,
        };
        Self {
            is_wanted: AtomicBool::new(false),
            state: SpinLock::new(state),
            most,
        }
    }

    /// Adds an interface, before anybody reads, and returns its number.
    pub fn add_interface(&self, name: String) -> u32 {
        let interfaces = &mut self.state.lock().interfaces;
        interfaces.push(Interface {
            name,
            seen: 0,
            dropped: 0,
            told: 0,
        });
        u32::try_from(interfaces.len() - 1).unwrap_or(u32::MAX)
    }

    /// Begins a section for a reader who has come. `image` is what is captured.
    pub fn begin(&self, image: &str) {
        let mut state = self.state.lock();
        let State {
            interfaces, blocks, ..
        } = &mut *state;
        blocks.clear();
        blocks::section(blocks, image);
        for interface in interfaces {
            blocks::interface(blocks, &interface.name);
            (interface.seen, interface.dropped, interface.told) = (0, 0, 0);
        }
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Forgets what was kept for a reader who has left.
    pub fn end(&self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        self.state.lock().blocks = Vec::new();
    }

    /// Takes all that is there, or keeps `waker` until there is something.
    pub fn poll_take(&self, waker: &Waker) -> Poll<Vec<u8>> {
        let mut state = self.state.lock();
        if state.blocks.is_empty() {
            state.reader = Some(waker.clone());
            return Poll::Pending;
        }
        state.reader = None;
        let mut taken = core::mem::take(&mut state.blocks);
        for (number, interface) in (0..).zip(&mut state.interfaces) {
            if interface.dropped > interface.told {
                interface.told = interface.dropped;
                blocks::statistics(&mut taken, number, now(), interface.seen, interface.dropped);
            }
        }
        Poll::Ready(taken)
    }

    /// Keeps a frame, if somebody reads and there is room. Never blocks for longer than another core takes to copy one.
    #[inline]
    pub(crate) fn keep(&self, interface: u32, direction: Direction, frame: &[u8]) {
        if self.is_wanted.load(Ordering::Relaxed) {
            self.keep_anyway(interface, direction, frame);
        }
    }

    #[cold]
    fn keep_anyway(&self, interface: u32, direction: Direction, frame: &[u8]) {
        let now = now();
        let mut state = self.state.lock();
        let State {
            interfaces,
            blocks,
            reader,
        } = &mut *state;
        let Some(seen) = interfaces.get_mut(interface as usize) else {
            return;
        };
        seen.seen += 1;
        let len = blocks::packet_len(frame.len());
        if blocks.len() + len > self.most || blocks.try_reserve(len).is_err() {
            seen.dropped += 1;
            return;
        }
        blocks::packet(blocks, interface, now, direction, frame);
        let reader = reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(toro_time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
