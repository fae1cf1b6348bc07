//! Checked pointers: what a guest names by an address is copied, and lent to the host only as a [`Span`].

use std::sync::atomic::AtomicU32;

use torov_abi::word::{page_down, size, wide};
use torov_abi::{Errno, PAGE, USER_END};

use crate::memory::Memory;
use crate::ram::Ram;
use crate::space::Space;
use crate::span::{Span, Spans};
use crate::tables::Entry;

/// What is about to happen to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// It is executed.
    Execute,
}

/// The frame behind `address`, backed now if the program's areas allow the access.
fn resolve(space: &mut Space, ram: &Ram, address: u64, write: bool) -> Result<u64, Errno> {
    let look = |entry: Entry| {
        if write {
            entry.writable()
        } else {
            entry.readable()
        }
    };
    if address >= USER_END {
        return Err(Errno::EFAULT);
    }
    if let Some(frame) = look(space.entry(ram, address)) {
        return Ok(frame);
    }
    let area = space.areas.find(address).ok_or(Errno::EFAULT)?;
    if write && !area.rights.write {
        return Err(Errno::EFAULT);
    }
    space.touch(ram, address)?;
    look(space.entry(ram, address)).ok_or(Errno::EFAULT)
}

/// Calls `piece` with the guest-physical address and length of each piece of `address..address + len`.
fn pieces(
    space: &mut Space,
    (address, len): (u64, u64),
    mut resolve: impl FnMut(&mut Space, u64) -> Result<u64, Errno>,
    mut piece: impl FnMut(u64, u64),
) -> Result<(), Errno> {
    let end = address.checked_add(len).ok_or(Errno::EFAULT)?;
    let mut at = address;
    while at < end {
        let frame = resolve(space, at)?;
        let here = (PAGE - at % PAGE).min(end - at);
        piece(frame + at % PAGE, here);
        at += here;
    }
    Ok(())
}

impl Memory {
    /// The pieces of host memory behind `address..address + len`, backed and checked for `access`.
    ///
    /// # Errors
    /// `EFAULT` if any byte is not the program's or lacks the right; `ENOMEM` at the limit.
    pub fn spans(&self, address: u64, len: u64, access: Access) -> Result<Spans<'_>, Errno> {
        let write = access == Access::Write;
        let resolve = |space: &mut Space, at| resolve(space, self.ram(), at, write);
        self.collect((address, len), resolve)
    }

    /// The same for the monitor's own writes while it loads a program: rights do not matter.
    ///
    /// # Errors
    /// `EFAULT` if any byte is not in an area; `ENOMEM` at the limit.
    pub fn loading_spans(&self, address: u64, len: u64) -> Result<Spans<'_>, Errno> {
        let resolve = |space: &mut Space, at| {
            let area = *space.areas.find(at).ok_or(Errno::EFAULT)?;
            let page = page_down(at);
            space.populate(self.ram(), page, page + PAGE, area.rights)?;
            space.entry(self.ram(), at).frame().ok_or(Errno::EFAULT)
        };
        self.collect((address, len), resolve)
    }

    /// The pieces behind each of `ranges` in turn, up to the first that [`spans`](Self::spans) would refuse, and how many ranges
    /// come before it.
    #[must_use]
    pub fn spans_of(&self, ranges: &[(u64, u64)], access: Access) -> (Vec<Span<'_>>, usize) {
        let write = access == Access::Write;
        let mut spans = Vec::with_capacity(ranges.len());
        let mut space = self.lock();
        for (count, range) in ranges.iter().enumerate() {
            let known = spans.len();
            let resolve = |space: &mut Space, at| resolve(space, self.ram(), at, write);
            let found = pieces(&mut space, *range, resolve, |gpa, len| {
                spans.push(Span::new(self.ram(), gpa, len));
            });
            if found.is_err() {
                spans.truncate(known);
                return (spans, count);
            }
        }
        (spans, ranges.len())
    }

    fn collect(
        &self,
        range: (u64, u64),
        resolve: impl FnMut(&mut Space, u64) -> Result<u64, Errno>,
    ) -> Result<Spans<'_>, Errno> {
        let mut spans = Spans::default();
        pieces(&mut self.lock(), range, resolve, |gpa, len| {
            spans.push(Span::new(self.ram(), gpa, len));
        })?;
        Ok(spans)
    }

    /// Copies bytes out of the guest.
    ///
    /// # Errors
    /// `EFAULT` if any byte is not readable; `bytes` may hold a part then.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let range = (address, wide(bytes.len()));
        let mut rest = bytes;
        let resolve = |space: &mut Space, at| resolve(space, self.ram(), at, false);
        pieces(&mut self.lock(), range, resolve, |gpa, len| {
            let (here, behind) = std::mem::take(&mut rest).split_at_mut(size(len));
            self.ram().read(gpa, here);
            rest = behind;
        })
    }

    /// Copies bytes into the guest.
    ///
    /// # Errors
    /// `EFAULT` if any byte is not writable; a part may have been written then.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let range = (address, wide(bytes.len()));
        let mut rest = bytes;
        let resolve = |space: &mut Space, at| resolve(space, self.ram(), at, true);
        pieces(&mut self.lock(), range, resolve, |gpa, len| {
            let (here, behind) = rest.split_at(size(len));
            self.ram().write(gpa, here);
            rest = behind;
        })
    }

    /// Copies bytes into the guest whatever the rights are, while the monitor loads a program.
    ///
    /// # Errors
    /// `EFAULT` if any byte is not in an area; `ENOMEM` at the limit.
    pub fn load(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut rest = bytes;
        for span in self.loading_spans(address, wide(bytes.len()))? {
            let (here, behind) = rest.split_at(span.len());
            // SAFETY: the span is `here.len()` bytes of RAM, to which no one holds a reference.
            unsafe {
                span.as_ptr()
                    .copy_from_nonoverlapping(here.as_ptr(), here.len())
            };
            rest = behind;
        }
        Ok(())
    }

    /// Copies `N` bytes out of the guest.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_array<const N: usize>(&self, address: u64) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies a word out of the guest.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_u64(&self, address: u64) -> Result<u64, Errno> {
        self.read_array(address).map(u64::from_le_bytes)
    }

    /// The aligned half word at `address`, which the program may write to.
    ///
    /// # Errors
    /// `EFAULT` if it may not, `EINVAL` if the address is not aligned.
    pub fn atomic_word(&self, address: u64) -> Result<&AtomicU32, Errno> {
        if !address.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let frame = resolve(&mut self.lock(), self.ram(), address, true)?;
        Ok(self.ram().shared_word(frame + address % PAGE))
    }

    /// Copies half a word out of the guest.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_u32(&self, address: u64) -> Result<u32, Errno> {
        self.read_array(address).map(u32::from_le_bytes)
    }

    /// Copies a text of C out of the guest, without the zero that ends it.
    ///
    /// # Errors
    /// `EFAULT` if it is not readable, `ENAMETOOLONG` if no zero is among the first `most` bytes.
    pub fn read_text(&self, address: u64, most: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < most {
            let here = size(PAGE - at % PAGE).min(most - text.len());
            let start = text.len();
            text.resize(start + here, 0);
            self.read(at, &mut text[start..])?;
            if let Some(zero) = text[start..].iter().position(|byte| *byte == 0) {
                text.truncate(start + zero);
                return Ok(text);
            }
            at = at.checked_add(wide(here)).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::ENAMETOOLONG)
    }
}
