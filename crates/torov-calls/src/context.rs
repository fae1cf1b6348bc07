//! [`Context`]: what a handler works with.

use std::sync::{Arc, PoisonError};

use torov_abi::word::{int, wide};
use torov_abi::{Errno, Signal};
use torov_memory::{Access, Memory, Span, Spans};
use torov_policy::{Mode, Subject};

use crate::descriptors::{Class, Descriptor, Event};
use crate::families::identity;
use crate::mounts::{self, named};
use crate::process::Process;
use crate::signals::{Info, SI_USER, To};

/// `dirfd` of a path that begins at the current folder.
const AT_FDCWD: i32 = -100;

/// The longest path, with the zero that ends it.
const PATH_MAX: usize = 4096;

/// How many bytes one call moves at most: more is a short transfer, as Linux may do it too.
const TRANSFER: u64 = 1 << 20;

/// What was looked at before a call, and is used for it whatever its number stands for now.
#[derive(Debug)]
pub(crate) enum Held {
    /// Nothing.
    Nothing,
    /// What a number stood for.
    Descriptor(u64, Result<Arc<Descriptor>, Errno>),
}

/// One call of one thread.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The program.
    pub(crate) process: &'a Process,
    /// The number of the call.
    pub(crate) number: u16,
    /// The thread.
    pub(crate) tid: i32,
    /// What is held for it.
    pub(crate) held: Held,
}

impl<'a> Context<'a> {
    pub(crate) fn memory(&self) -> &'a Memory {
        &self.process.memory
    }

    /// Has the call on `subject` judged.
    pub(crate) fn permit(&self, subject: Subject<'_>) -> Result<(), Errno> {
        self.process.permit(self.number, subject)
    }

    /// What a number of the guest stands for; judged.
    pub(crate) fn descriptor(&self, number: u64) -> Result<Arc<Descriptor>, Errno> {
        let descriptor = match &self.held {
            Held::Descriptor(held, open) if *held == number => open.clone()?,
            _ => self.process.descriptors.get(number)?,
        };
        self.permit(Subject::Class(descriptor.class().name()))?;
        Ok(descriptor)
    }

    /// Gives something open the lowest free number.
    pub(crate) fn open(
        &self,
        fd: std::os::fd::OwnedFd,
        class: Class,
        path: String,
        on_exec: bool,
    ) -> Result<u64, Errno> {
        let descriptor = Arc::new(Descriptor::new(fd, class, path));
        self.process.descriptors.add(descriptor, 0, on_exec)
    }

    /// Gives something to wait for the lowest free number.
    pub(crate) fn open_event(
        &self,
        fd: std::os::fd::OwnedFd,
        event: Event,
        on_exec: bool,
    ) -> Result<u64, Errno> {
        let descriptor = Arc::new(Descriptor::event_of(fd, event));
        self.process.descriptors.add(descriptor, 0, on_exec)
    }

    /// The path at `address`, from the folder `dirfd`, absolute and plain but for its end (see [`mounts::named`]); not
    /// judged.
    pub(crate) fn path(&self, dirfd: u64, address: u64) -> Result<String, Errno> {
        let text = self.memory().read_text(address, PATH_MAX)?;
        let text = String::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        if text.starts_with('/') {
            return Ok(named("/", &text));
        }
        if int(dirfd) == AT_FDCWD {
            let cwd = self
                .process
                .cwd
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            return Ok(named(&cwd, &text));
        }
        let folder = self.process.descriptors.get(dirfd)?;
        if folder.class() != Class::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(named(folder.path(), &text))
    }

    /// The same, judged.
    pub(crate) fn judged_path(
        &self,
        dirfd: u64,
        address: u64,
        mode: Mode,
    ) -> Result<String, Errno> {
        let path = self.path(dirfd, address)?;
        self.permit(Subject::Path(mounts::plain(&path), mode))?;
        Ok(path)
    }

    /// A buffer of the guest that the host writes to, or reads.
    pub(crate) fn buffer(
        &self,
        address: u64,
        len: u64,
        access: Access,
    ) -> Result<Spans<'a>, Errno> {
        self.memory().spans(address, len.min(TRANSFER), access)
    }

    /// The buffers of an `iovec` array.
    pub(crate) fn buffers(
        &self,
        address: u64,
        count: u64,
        access: Access,
    ) -> Result<Vec<Span<'a>>, Errno> {
        if count > 1024 {
            return Err(Errno::EINVAL);
        }
        let mut spans = Vec::new();
        let mut left = TRANSFER;
        for at in 0..count {
            let entry = address.checked_add(16 * at).ok_or(Errno::EFAULT)?;
            let bytes: [u8; 16] = self.memory().read_array(entry)?;
            let [base, len] = [0, 8].map(|at| word_at(&bytes, at));
            if len.cast_signed() < 0 {
                return Err(Errno::EINVAL);
            }
            let len = len.min(left);
            spans.extend(self.memory().spans(base, len, access)?);
            left -= len;
        }
        Ok(spans)
    }

    /// Counts what `spans` hold as output, and has `put` write it. What it did not write does not count: a call that a signal
    /// has interrupted is made again, and one that would have to wait is tried again.
    pub(crate) fn output(
        &self,
        spans: &[Span<'_>],
        put: impl FnOnce() -> Result<u64, Errno>,
    ) -> Result<u64, Errno> {
        let len = spans.iter().map(|span| wide(span.len())).sum();
        self.process.count_output(len)?;
        let answer = put();
        let written = answer.unwrap_or(0);
        self.process.take_back_output(len.saturating_sub(written));
        answer
    }

    /// A pipe without readers is a signal as well as an error.
    pub(crate) fn broken_pipe(&self, answer: Result<u64, Errno>) -> Result<u64, Errno> {
        if answer == Err(Errno::EPIPE) {
            let info = Info {
                signal: Signal::SIGPIPE,
                code: SI_USER,
                words: [identity::sender(), 0],
            };
            self.process.signals.send(To::Thread(self.tid), info)?;
        }
        answer
    }
}

/// The word at `at` in a structure that was copied out of the guest.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(piece) = bytes.get(at..at + 8) {
        word.copy_from_slice(piece);
    }
    u64::from_le_bytes(word)
}

/// The time in a `struct timespec` that was copied out of the guest.
pub(crate) fn timespec(bytes: &[u8; 16]) -> Result<std::time::Duration, Errno> {
    let seconds = word_at(bytes, 0);
    let nanos = u32::try_from(word_at(bytes, 8)).map_err(|_| Errno::EINVAL)?;
    if nanos >= 1_000_000_000 || seconds.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(std::time::Duration::new(seconds, nanos))
}

/// The same the other way.
pub(crate) fn to_timespec(time: std::time::Duration) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&time.as_secs().to_le_bytes());
    bytes[8..].copy_from_slice(&u64::from(time.subsec_nanos()).to_le_bytes());
    bytes
}
