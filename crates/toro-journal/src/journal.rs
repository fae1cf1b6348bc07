//! [`Journal`]: appends, syncs and replays.

use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use toro_vfs::FileError;

use crate::medium::Medium;
use crate::record::{HEADER, Header, LONGEST};

/// The place of every so many-th record is in memory; the others are found from there.
const STRIDE: u64 = 64;

/// Records with a checksum in a row. Used by one thread at a time.
#[derive(Debug)]
pub struct Journal<M> {
    medium: M,
    /// Where the next record goes, its number, and what it refers to.
    end: u64,
    next: u64,
    epoch: u32,
    before: u32,
    /// The records below this number are on stable storage.
    stable: u64,
    /// Places of the records 0, 64, 128 and so on.
    places: Vec<u64>,
    /// The record behind the one that was read last, and its place: most readers go on there.
    cursor: Cell<(u64, u64)>,
    /// What the medium has failed with: nothing is promised any more.
    failed: Option<FileError>,
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// It has more than [`LONGEST`] bytes.
    TooLong,
    /// The medium is full, or has failed now or before.
    Medium(FileError),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a record has at most {LONGEST} bytes"),
            Self::Medium(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AppendError {}

impl<M: Medium> Journal<M> {
    /// Replays what is on `medium` and cuts off what is not whole.
    ///
    /// # Errors
    /// What the medium fails with; it was not changed then, or only its torn tail.
    pub fn open(medium: M) -> Result<Self, FileError> {
        let mut journal = Self {
            medium,
            end: 0,
            next: 0,
            epoch: 0,
            before: 0,
            stable: 0,
            places: Vec::new(),
            cursor: Cell::new((0, 0)),
            failed: None,
        };
        let mut payload = Vec::new();
        while let Some((header, sum)) = journal.look(journal.end, &mut payload)? {
            let follows = header.number == journal.next
                && header.before == journal.before
                && header.epoch >= journal.epoch;
            if !follows {
                break;
            }
            journal.epoch = header.epoch;
            journal.step(payload.len(), sum)?;
        }
        journal.medium.cut(journal.end)?;
        // A cut that a crash undoes would leave two tails to choose from.
        journal.medium.sync()?;
        journal.stable = journal.next;
        // It would take four billion starts.
        journal.epoch = journal.epoch.checked_add(1).ok_or(FileError::TooLarge)?;
        Ok(journal)
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.next
    }

    /// Whether the record of that number is on stable storage.
    pub fn is_stable(&self, number: u64) -> bool {
        number < self.stable
    }

    /// Appends a record and returns its number. It counts when a [`sync`](Self::sync) behind it has returned.
    ///
    /// # Errors
    /// Nothing was appended then. An error of the medium other than [`FileError::NoSpace`] stays.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, AppendError> {
        let len = u32::try_from(payload.len()).map_err(|_| AppendError::TooLong)?;
        if payload.len() > LONGEST {
            return Err(AppendError::TooLong);
        }
        self.check().map_err(AppendError::Medium)?;
        let header = Header {
            len,
            number: self.next,
            epoch: self.epoch,
            before: self.before,
        };
        let (bytes, sum) = header.encode(payload);
        let mut record = Vec::new();
        let reserved = record.try_reserve_exact(HEADER + payload.len());
        reserved.map_err(|_| AppendError::Medium(FileError::OutOfMemory))?;
        record.extend_from_slice(&bytes);
        record.extend_from_slice(payload);
        let written = self.medium.write_all_at(self.end, &record);
        self.keep(written).map_err(AppendError::Medium)?;
        let number = self.next;
        let stepped = self.step(payload.len(), sum);
        stepped.map_err(AppendError::Medium)?;
        Ok(number)
    }

    /// Returns when all that was appended is on stable storage.
    ///
    /// # Errors
    /// [`FileError::Io`]. It stays: nothing is promised of what was appended since the last sync.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.check()?;
        if self.stable < self.next {
            let synced = self.medium.sync();
            self.keep(synced)?;
            self.stable = self.next;
        }
        Ok(())
    }

    /// The payload of a record; `None` if there is none of that number.
    ///
    /// # Errors
    /// What the medium fails with, and [`FileError::Corrupt`] if the record is damaged by now.
    pub fn read(&self, number: u64) -> Result<Option<Vec<u8>>, FileError> {
        if number >= self.next {
            return Ok(None);
        }
        let near = usize::try_from(number / STRIDE).map_err(|_| FileError::OutOfMemory)?;
        let start = (
            number / STRIDE * STRIDE,
            *self.places.get(near).ok_or(FileError::Corrupt)?,
        );
        let cursor = Some(self.cursor.get()).filter(|(next, _)| *next <= number);
        let (_, mut at) = cursor.map_or(start, |cursor| cursor.max(start));
        let mut payload = Vec::new();
        loop {
            let found = self.look(at, &mut payload)?;
            let (header, _) = found.ok_or(FileError::Corrupt)?;
            at += (HEADER + payload.len()) as u64;
            if header.number == number {
                self.cursor.set((number + 1, at));
                return Ok(Some(payload));
            }
        }
    }

    /// The record at `at`, its payload in `payload`; `None` if none is whole there.
    fn look(&self, at: u64, payload: &mut Vec<u8>) -> Result<Option<(Header, u32)>, FileError> {
        let mut bytes = [0; HEADER];
        if self.medium.read_at(at, &mut bytes)? < HEADER {
            return Ok(None);
        }
        let Some((header, sum)) = Header::decode(&bytes) else {
            return Ok(None);
        };
        let len = usize::try_from(header.len).map_err(|_| FileError::OutOfMemory)?;
        payload.clear();
        let reserved = payload.try_reserve(len);
        reserved.map_err(|_| FileError::OutOfMemory)?;
        payload.resize(len, 0);
        let found = self.medium.read_at(at + HEADER as u64, payload)?;
        let is_whole = found == len && header.is_whole(payload, sum);
        Ok(is_whole.then_some((header, sum)))
    }

    /// Counts the record of `len` bytes at the end.
    fn step(&mut self, len: usize, sum: u32) -> Result<(), FileError> {
        if self.next.is_multiple_of(STRIDE) {
            let reserved = self.places.try_reserve(1);
            reserved.map_err(|_| FileError::OutOfMemory)?;
            self.places.push(self.end);
        }
        self.end += (HEADER + len) as u64;
        self.next += 1;
        self.before = sum;
        Ok(())
    }

    fn check(&self) -> Result<(), FileError> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Remembers a failure, unless it is only that there is no room.
    fn keep<T>(&mut self, outcome: Result<T, FileError>) -> Result<T, FileError> {
        self.failed = outcome
            .as_ref()
            .err()
            .copied()
            .filter(|error| *error != FileError::NoSpace);
        outcome
    }
}
