//! [`Buffer`]: bytes in one piece, in at the back and out at the front.
//!
//! What is left is moved to the start when the end has no room: so readers and services see all of it as one slice.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Up to `capacity` bytes. Memory is taken as it is needed.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    capacity: usize,
}

impl Buffer {
    pub(crate) const fn new(capacity: usize) -> Self {
        Self {
            memory: Vec::new(),
            start: 0,
            end: 0,
            capacity,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes may be added.
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Takes bytes out at the front.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len.min(self.len());
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Adds bytes for which there is [`room`](Self::room).
    ///
    /// # Errors
    /// Fails, and adds nothing, if there is no memory.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        debug_assert!(bytes.len() <= self.room(), "the caller asks for the room");
        self.make_place(bytes.len())?;
        self.memory[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        Ok(())
    }

    /// All of the room, to be filled from its start and [committed](Self::commit).
    ///
    /// # Errors
    /// Fails if there is no memory.
    pub(crate) fn spare(&mut self) -> Result<&mut [u8], TryReserveError> {
        let room = self.room();
        self.make_place(room)?;
        Ok(&mut self.memory[self.end..self.end + room])
    }

    /// Adds what was written into the first `len` bytes of [`spare`](Self::spare).
    pub(crate) fn commit(&mut self, len: usize) {
        self.end += len.min(self.memory.len() - self.end);
    }

    /// Makes sure that `len` bytes fit behind the end.
    fn make_place(&mut self, len: usize) -> Result<(), TryReserveError> {
        if self.memory.len() - self.end >= len {
            return Ok(());
        }
        let needed = self.len() + len;
        if needed > self.memory.len() {
            let size = needed.next_power_of_two().min(self.capacity).max(needed);
            self.memory.try_reserve_exact(size - self.memory.len())?;
            self.memory.resize(size, 0);
        }
        if self.memory.len() - self.end < len {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        Ok(())
    }

    /// Gives the memory back, with all that is in it.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;
    use alloc::vec;

    use toro_fake::Random;

    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut random = Random::new(7);
        let (mut buffer, mut model) = (Buffer::new(1000), VecDeque::new());
        for _ in 0..20_000 {
            let len = random.index(buffer.room() + 1);
            let bytes: Vec<u8> = (0..len).map(|_| random.next_u8()).collect();
            if random.below(2) == 0 {
                buffer.push(&bytes).expect("memory");
                model.extend(&bytes);
            } else {
                let spare = buffer.spare().expect("memory");
                assert_eq!(spare.len(), 1000 - model.len());
                spare[..len].copy_from_slice(&bytes);
                buffer.commit(len);
                model.extend(&bytes);
            }
            let taken = random.index(buffer.len() + 1);
            assert_eq!(buffer.bytes(), model.make_contiguous());
            buffer.consume(taken);
            drop(model.drain(..taken));
            assert_eq!(buffer.room(), 1000 - model.len());
        }
    }

    #[test]
    fn memory_is_taken_as_it_is_needed() {
        let mut buffer = Buffer::new(64 << 10);
        assert_eq!(buffer.memory.len(), 0);
        buffer.push(&[1; 100]).expect("memory");
        assert_eq!(buffer.memory.len(), 128);
        buffer.push(&vec![2; 60 << 10]).expect("memory");
        assert_eq!(buffer.memory.len(), 64 << 10);
        buffer.clear();
        assert_eq!((buffer.memory.len(), buffer.room()), (0, 64 << 10));
    }
}
