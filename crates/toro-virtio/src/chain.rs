//! [`Buffer`] and [`Chain`]: owned memory on its way to the device and back.

use alloc::vec::Vec;
use core::ops::Range;

use toro_mem::DmaBuf;

/// A range of an owned buffer, for the device to read or to write.
#[derive(Debug)]
pub struct Buffer {
    buf: DmaBuf,
    start: u32,
    len: u32,
    is_writable: bool,
}

impl Buffer {
    /// Lets the device read the bytes of `range`.
    ///
    /// # Panics
    /// Panics if the range is empty or does not lie inside `buf`.
    pub fn readable(buf: DmaBuf, range: Range<usize>) -> Self {
        Self::new(buf, range, false)
    }

    /// Lets the device write the bytes of `range`.
    ///
    /// # Panics
    /// Panics if the range is empty or does not lie inside `buf`.
    pub fn writable(buf: DmaBuf, range: Range<usize>) -> Self {
        Self::new(buf, range, true)
    }

    fn new(buf: DmaBuf, range: Range<usize>, is_writable: bool) -> Self {
        assert!(
            range.start < range.end && range.end <= buf.len(),
            "the range lies in the buffer"
        );
        let start = u32::try_from(range.start);
        let len = u32::try_from(range.end - range.start);
        let (Ok(start), Ok(len)) = (start, len) else {
            panic!("a buffer holds less than 4 GiB")
        };
        Self {
            buf,
            start,
            len,
            is_writable,
        }
    }

    /// Gives the buffer back whole.
    pub fn into_buf(self) -> DmaBuf {
        self.buf
    }

    /// Where the device finds the first byte.
    pub(crate) fn address(&self) -> u64 {
        self.buf.bus_addr() + u64::from(self.start)
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable
    }
}

/// What a device gets in one go: buffers to read, then buffers to write.
///
/// One buffer is the common case and costs no allocation.
#[derive(Debug)]
pub struct Chain(Parts);

#[derive(Debug)]
enum Parts {
    One(Buffer),
    Many(Vec<Buffer>),
}

impl Chain {
    /// A chain of these buffers.
    ///
    /// # Panics
    /// Panics if there is none, or if one to read comes after one to write (VIRTIO 1.3, 2.7.4.2).
    pub fn new(buffers: Vec<Buffer>) -> Self {
        assert!(!buffers.is_empty(), "a chain has a buffer");
        assert!(
            buffers.is_sorted_by_key(|buffer| buffer.is_writable),
            "what is written comes last"
        );
        Self(Parts::Many(buffers))
    }

    /// The buffers, in order.
    pub fn buffers(&self) -> &[Buffer] {
        match &self.0 {
            Parts::One(buffer) => core::slice::from_ref(buffer),
            Parts::Many(buffers) => buffers,
        }
    }

    /// Gives the first buffer back, and drops the others.
    #[inline]
    pub fn into_first(self) -> DmaBuf {
        match self.0 {
            Parts::One(buffer) => buffer.into_buf(),
            Parts::Many(mut buffers) => buffers.swap_remove(0).into_buf(),
        }
    }

    /// Gives all buffers back.
    pub fn into_buffers(self) -> Vec<Buffer> {
        match self.0 {
            Parts::One(buffer) => Vec::from([buffer]),
            Parts::Many(buffers) => buffers,
        }
    }

    /// How many bytes the device may write.
    #[inline]
    pub(crate) fn writable_len(&self) -> u64 {
        let of = |buffer: &Buffer| {
            if buffer.is_writable {
                u64::from(buffer.len)
            } else {
                0
            }
        };
        match &self.0 {
            // Every packet comes by here: no loop for one buffer.
            Parts::One(buffer) => of(buffer),
            Parts::Many(buffers) => buffers.iter().map(of).sum(),
        }
    }
}

impl From<Buffer> for Chain {
    fn from(buffer: Buffer) -> Self {
        Self(Parts::One(buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buf() -> DmaBuf {
        DmaBuf::try_new(64).expect("memory")
    }

    #[test]
    fn writable_bytes_are_those_of_the_ranges() {
        let buffers = [
            Buffer::readable(buf(), 0..64),
            Buffer::writable(buf(), 8..24),
            Buffer::writable(buf(), 0..1),
        ];
        assert_eq!(Chain::new(Vec::from(buffers)).writable_len(), 17);
    }

    #[test]
    #[should_panic(expected = "what is written comes last")]
    fn reading_after_writing_is_refused() {
        Chain::new(Vec::from([
            Buffer::writable(buf(), 0..1),
            Buffer::readable(buf(), 0..1),
        ]));
    }

    #[test]
    #[should_panic(expected = "the range lies in the buffer")]
    fn range_beyond_the_buffer_is_refused() {
        Buffer::readable(buf(), 60..65);
    }
}
