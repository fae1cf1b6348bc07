//! [`Info`]: a signal with what is told of it, and to whom it goes.

use torov_abi::word::int;
use torov_abi::{Errno, Signal};

/// `si_code` of signals that a program sends.
pub(crate) const SI_USER: i32 = 0;
pub(crate) const SI_TIMER: i32 = -2;
pub(crate) const SI_TKILL: i32 = -6;
pub(crate) const SI_KERNEL: i32 = 0x80;

/// To whom a signal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Process,
    Thread(i32),
}

/// A signal with what a handler is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) signal: Signal,
    /// `si_code`.
    pub(crate) code: i32,
    /// The two words behind the first 16 bytes: who sent it and a value, or the address of a fault.
    pub(crate) words: [u64; 2],
}

impl Info {
    /// It and to whom it goes, as words: a thread or 0, then number, code, and the two words.
    pub(crate) fn plain(&self, to: To) -> [u64; 5] {
        let to = match to {
            To::Process => 0,
            To::Thread(tid) => u64::from(tid.cast_unsigned()),
        };
        let [first, second] = self.words;
        let code = u64::from(self.code.cast_unsigned());
        [to, self.signal.number().into(), code, first, second]
    }

    /// The same the other way.
    ///
    /// # Errors
    /// `EINVAL` if there is no such signal.
    pub(crate) fn from_plain(
        [to, signal, code, first, second]: [u64; 5],
    ) -> Result<(To, Self), Errno> {
        let info = Self {
            signal: Signal::new(int(signal)).ok_or(Errno::EINVAL)?,
            code: int(code),
            words: [first, second],
        };
        let to = match int(to) {
            0 => To::Process,
            tid => To::Thread(tid),
        };
        Ok((to, info))
    }

    /// `siginfo_t`.
    pub(crate) fn bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        bytes[..4].copy_from_slice(&u32::from(self.signal.number()).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.words[0].to_le_bytes());
        bytes[24..32].copy_from_slice(&self.words[1].to_le_bytes());
        bytes
    }
}
