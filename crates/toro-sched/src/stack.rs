//! [`StackCache`]: stacks that wait for the next thread.
//!
//! To make and unmake the guard page below a stack costs two changes of the page tables, which is why each core keeps a
//! few stacks of the default size.

use core::cell::Cell;

use toro_arch::stack::Stack;

use crate::thread::DEFAULT_STACK;

/// How many stacks a core keeps.
const KEPT: usize = 16;

/// How many places there are in a stack where a thread may begin.
const PADDINGS: usize = 32;

/// Stacks of the default size that have been used and wait for the next thread, guards in place.
pub(crate) struct StackCache {
    stacks: [Cell<Option<Stack>>; KEPT],
    len: Cell<usize>,
    /// The state of the generator of [`padding`](Self::padding).
    random: Cell<u64>,
}

impl StackCache {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            stacks: [const { Cell::new(None) }; KEPT],
            len: Cell::new(0),
            random: Cell::new(seed),
        }
    }

    /// How far below the top of its stack the next thread shall begin: a random multiple of 16, or 0 with the seed 0.
    pub(crate) fn padding(&self) -> usize {
        // Marsaglia's xorshift, with a period of 2^64 - 1.
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        (random >> 32) as usize % PADDINGS * 16
    }

    /// A stack of at least `bytes`: one that is kept, if it is of the default size, else a new one.
    pub(crate) fn take(&self, bytes: usize) -> Option<Stack> {
        if bytes == DEFAULT_STACK
            && let Some(last) = self.len.get().checked_sub(1)
        {
            self.len.set(last);
            return self.stacks[last].take();
        }
        Stack::try_new(bytes)
    }

    /// Keeps a stack that nobody runs on any more, or frees it if it is of another size or there are enough.
    pub(crate) fn put(&self, stack: Stack) {
        let len = self.len.get();
        if stack.size() == DEFAULT_STACK
            && let Some(slot) = self.stacks.get(len)
        {
            slot.set(Some(stack));
            self.len.set(len + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paddings_are_aligned_small_and_all_there_are() {
        let cache = StackCache::new(0x1234_5679);
        let mut seen = [false; PADDINGS];
        for _ in 0..1000 {
            let padding = cache.padding();
            assert_eq!(padding % 16, 0);
            seen[padding / 16] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn without_a_seed_threads_begin_at_the_top() {
        let cache = StackCache::new(0);
        assert_eq!([cache.padding(), cache.padding()], [0, 0]);
    }
}
