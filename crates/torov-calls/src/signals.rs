//! [`Dispositions`]: what the program wants done with signals.

use torov_abi::{Errno, Signal};

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
pub(crate) type Action = [u64; 4];

/// One action for each signal.
#[derive(Clone, Debug)]
pub(crate) struct Dispositions([Action; 65]);

impl Default for Dispositions {
    fn default() -> Self {
        Self([[0; 4]; 65])
    }
}

const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

impl Dispositions {
    /// The action for `signal`.
    pub(crate) fn get(&self, signal: Signal) -> Action {
        self.0[usize::from(signal.number())]
    }

    /// Changes the action for `signal`.
    ///
    /// # Errors
    /// `EINVAL` for those that nobody can refuse.
    pub(crate) fn set(&mut self, signal: Signal, action: Action) -> Result<(), Errno> {
        if matches!(signal.number(), 9 | 19) {
            return Err(Errno::EINVAL);
        }
        self.0[usize::from(signal.number())] = action;
        Ok(())
    }

    /// Whether the program ends when `signal` comes: neither ignored nor handled, and not one of those that do nothing.
    pub(crate) fn is_deadly(&self, signal: Signal) -> bool {
        let harmless = matches!(signal.number(), 17 | 18 | 23 | 28);
        match self.get(signal)[0] {
            DEFAULT => !harmless,
            IGNORE => false,
            _ => false,
        }
    }
}
