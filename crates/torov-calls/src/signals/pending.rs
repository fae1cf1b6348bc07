//! [`Pending`]: signals that wait.

use std::collections::VecDeque;

use torov_abi::{Errno, Signal};

use super::{Info, bit};

/// How many can wait: each signal up to 31 once, the others as often as they are sent.
const MOST: usize = 1024;

/// The first signal that is queued.
const FIRST_QUEUED: u8 = 32;

/// Faults, which come before all others: SIGILL, TRAP, BUS, FPE, SEGV, SYS.
const FAULTS: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30;

/// The signals that wait for a thread, or for the program.
#[derive(Debug, Default)]
pub(super) struct Pending {
    set: u64,
    /// In the order in which they came.
    infos: VecDeque<Info>,
}

impl Pending {
    /// A bit for each signal that waits.
    pub(super) fn set(&self) -> u64 {
        self.set
    }

    /// Adds one, unless it is one of those that wait only once, and waits.
    ///
    /// # Errors
    /// `EAGAIN` if too many wait.
    pub(super) fn add(&mut self, info: Info) -> Result<(), Errno> {
        if info.signal.number() < FIRST_QUEUED && self.set & bit(info.signal) != 0 {
            return Ok(());
        }
        if self.infos.len() >= MOST {
            return Err(Errno::EAGAIN);
        }
        self.set |= bit(info.signal);
        self.infos.push_back(info);
        Ok(())
    }

    /// Takes the first of `wanted`: faults, then the lowest number, then the oldest.
    pub(super) fn take(&mut self, wanted: u64) -> Option<Info> {
        let ready = self.set & wanted;
        let ready = if ready & FAULTS != 0 {
            ready & FAULTS
        } else {
            ready
        };
        if ready == 0 {
            return None;
        }
        let number = ready.trailing_zeros() + 1;
        let is_it = |info: &Info| u32::from(info.signal.number()) == number;
        let at = self.infos.iter().position(is_it)?;
        let info = self.infos.remove(at)?;
        if !self.infos.iter().any(is_it) {
            self.set &= !bit(info.signal);
        }
        Some(info)
    }

    /// All of them, in the order in which they came.
    pub(super) fn all(&self) -> impl Iterator<Item = &Info> {
        self.infos.iter()
    }

    /// Drops all of one kind.
    pub(super) fn drop_all(&mut self, signal: Signal) {
        self.set &= !bit(signal);
        self.infos.retain(|info| info.signal != signal);
    }
}
