//! [`Recorder`]: a store that remembers what was written between flushes, and can fail; it makes the disks that a power
//! cut may leave.

use std::cell::{Cell, RefCell};

use toro_cache::{BlockStore, SECTOR, StoreError};

/// What happened to a store, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Write(u64, Vec<u8>),
    Flush,
}

/// A store in memory that remembers its events.
#[derive(Debug)]
pub(crate) struct Recorder {
    start: Vec<u8>,
    now: RefCell<Vec<u8>>,
    pub(crate) events: RefCell<Vec<Event>>,
    /// What fails from now on.
    pub(crate) failing: Cell<Option<StoreError>>,
    pub(crate) can_flush: Cell<bool>,
    pub(crate) reads: Cell<usize>,
}

impl Recorder {
    pub(crate) fn new(start: Vec<u8>) -> Self {
        Self {
            now: RefCell::new(start.clone()),
            start,
            events: RefCell::default(),
            failing: Cell::new(None),
            can_flush: Cell::new(true),
            reads: Cell::new(0),
        }
    }

    /// What the store holds.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.now.borrow().clone()
    }

    /// The disk after a power cut behind the first `events` events: what was flushed is there, and of the sectors that
    /// were written later, those for which `survives` says so.
    pub(crate) fn cut(&self, events: usize, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let log = self.events.borrow();
        let log = &log[..events];
        let last = log.iter().rposition(|event| *event == Event::Flush);
        let mut disk = self.start.clone();
        for (at, event) in log.iter().enumerate() {
            let Event::Write(sector, bytes) = event else {
                continue;
            };
            for (sector, bytes) in (*sector..).zip(bytes.chunks(SECTOR)) {
                if last.is_some_and(|last| at < last) || survives() {
                    let start = usize::try_from(sector).expect("the disk is small") * SECTOR;
                    disk[start..start + SECTOR].copy_from_slice(bytes);
                }
            }
        }
        disk
    }

    fn check(&self, error: StoreError) -> Result<(), StoreError> {
        match self.failing.get() {
            Some(failing) if failing == error => Err(error),
            _ => Ok(()),
        }
    }

    fn range(&self, sector: u64, len: usize) -> Result<std::ops::Range<usize>, StoreError> {
        assert!(len > 0 && len.is_multiple_of(SECTOR), "whole sectors");
        let start = usize::try_from(sector).expect("the disk is small") * SECTOR;
        let fits = start + len <= self.start.len();
        fits.then_some(start..start + len)
            .ok_or(StoreError::OutOfRange)
    }
}

impl BlockStore for Recorder {
    fn sectors(&self) -> u64 {
        (self.start.len() / SECTOR) as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn can_flush(&self) -> bool {
        self.can_flush.get()
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.check(StoreError::Read)?;
        self.reads.set(self.reads.get() + 1);
        buf.copy_from_slice(&self.now.borrow()[self.range(sector, buf.len())?]);
        Ok(())
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.check(StoreError::Write)?;
        let range = self.range(sector, bytes.len())?;
        self.now.borrow_mut()[range].copy_from_slice(bytes);
        let event = Event::Write(sector, bytes.to_vec());
        self.events.borrow_mut().push(event);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.check(StoreError::Flush)?;
        self.events.borrow_mut().push(Event::Flush);
        Ok(())
    }
}
