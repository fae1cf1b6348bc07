//! [`Span`] and [`Spans`]: guest memory as the host's calls take it.

use std::marker::PhantomData;
use std::ops::Deref;
use std::{iter, option, vec};

use torov_abi::word::size;

use crate::ram::Ram;

/// A piece of guest memory for one call of the host, as an `iovec` says it.
///
/// It is laid out as an `iovec`. It is no slice: the guest may change the bytes at any moment.
#[derive(Debug)]
#[repr(C)]
pub struct Span<'memory> {
    address: *mut u8,
    len: usize,
    owner: PhantomData<&'memory Ram>,
}

impl<'memory> Span<'memory> {
    /// The `len` bytes at `gpa`.
    ///
    /// # Panics
    /// If they are not all inside of the RAM.
    pub(crate) fn new(ram: &'memory Ram, gpa: u64, len: u64) -> Self {
        Self {
            address: ram.at(gpa, len).as_ptr(),
            len: size(len),
            owner: PhantomData,
        }
    }

    /// Takes `next` as well if it goes on where this one ends; else gives it back.
    pub(crate) fn join(&mut self, next: Self) -> Result<(), Self> {
        if self.address.addr() + self.len != next.address.addr() {
            return Err(next);
        }
        self.len += next.len;
        Ok(())
    }

    /// Where it lies in this process. Valid for reads and writes by the host's kernel while the span lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.address
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The pieces of one buffer: most often one, which takes no allocation.
#[derive(Debug, Default)]
pub struct Spans<'memory> {
    /// The only one.
    one: Option<Span<'memory>>,
    /// All, if they are several.
    several: Vec<Span<'memory>>,
}

impl<'memory> Spans<'memory> {
    /// Adds a piece behind the others.
    pub(crate) fn push(&mut self, span: Span<'memory>) {
        if let Some(last) = self.several.last_mut() {
            if let Err(span) = last.join(span) {
                self.several.push(span);
            }
            return;
        }
        match &mut self.one {
            None => self.one = Some(span),
            Some(one) => {
                if let Err(span) = one.join(span) {
                    self.several.extend(self.one.take());
                    self.several.push(span);
                }
            }
        }
    }
}

impl<'memory> Deref for Spans<'memory> {
    type Target = [Span<'memory>];

    fn deref(&self) -> &Self::Target {
        match &self.one {
            Some(_) => self.one.as_slice(),
            None => &self.several,
        }
    }
}

impl<'memory> IntoIterator for Spans<'memory> {
    type Item = Span<'memory>;
    type IntoIter = iter::Chain<option::IntoIter<Span<'memory>>, vec::IntoIter<Span<'memory>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.one.into_iter().chain(self.several)
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, Spans};
    use crate::ram::Ram;

    #[track_caller]
    fn check(pieces: &[(u64, u64)], expected: &[usize]) {
        let ram = Ram::try_new(0x8000).unwrap();
        let mut spans = Spans::default();
        for (gpa, len) in pieces {
            spans.push(Span::new(&ram, *gpa, *len));
        }
        let lens: Vec<usize> = spans.iter().map(Span::len).collect();
        assert_eq!(lens, expected, "{pieces:x?}");
        assert_eq!(spans.into_iter().count(), expected.len());
    }

    #[test]
    fn pieces_that_follow_each_other_are_one() {
        check(&[], &[]);
        check(&[(0x10, 4)], &[4]);
        check(&[(0x10, 4), (0x14, 6)], &[10]);
        check(&[(0x10, 4), (0x15, 6)], &[4, 6]);
        check(
            &[(0x10, 4), (0x1000, 6), (0x1006, 1), (0x10, 1)],
            &[4, 7, 1],
        );
    }
}
