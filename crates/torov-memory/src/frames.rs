//! [`Frames`]: which pages of the RAM are free.

use std::collections::BTreeMap;

use torov_abi::{Errno, PAGE};

/// Runs of free pages between two addresses, of which `committed` are part of the virtual machine already.
#[derive(Debug)]
pub(crate) struct Frames {
    /// First address and length of each run; no two touch.
    free: BTreeMap<u64, u64>,
    committed: u64,
    end: u64,
    used: u64,
}

/// How much is committed at once: at least, and at most.
const STEP: (u64, u64) = (4 << 20, 64 << 20);

impl Frames {
    /// All pages of `start..end`, of which the first are committed, as far as [`committed`](Self::committed) says.
    pub(crate) fn new(start: u64, end: u64) -> Self {
        let committed = end.min(start + STEP.0);
        Self {
            free: [(start, committed - start)].into(),
            committed,
            end,
            used: 0,
        }
    }

    /// Where what is not committed begins.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    /// How many bytes are in use.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Takes up to `want` bytes in one piece: the first run, whole or in part.
    pub(crate) fn take(&mut self, want: u64) -> Option<(u64, u64)> {
        let (&start, &len) = self.free.first_key_value()?;
        let taken = len.min(want);
        self.cut(start, len, taken);
        Some((start, taken))
    }

    fn cut(&mut self, start: u64, len: u64, taken: u64) {
        self.free.remove(&start);
        if taken < len {
            self.free.insert(start + taken, len - taken);
        }
        self.used += taken;
    }

    /// Takes a run back.
    pub(crate) fn give(&mut self, start: u64, len: u64) {
        self.used -= len;
        self.insert(start, len);
    }

    fn insert(&mut self, mut start: u64, mut len: u64) {
        if let Some((&before, &before_len)) = self.free.range(..start).next_back()
            && before + before_len == start
        {
            self.free.remove(&before);
            start = before;
            len += before_len;
        }
        if let Some(after_len) = self.free.remove(&(start + len)) {
            len += after_len;
        }
        self.free.insert(start, len);
    }

    /// Commits more, at least `want` bytes, through `commit`, which is told where and how much.
    ///
    /// # Errors
    /// `ENOMEM` at the limit, or what `commit` says.
    pub(crate) fn grow(
        &mut self,
        want: u64,
        commit: impl FnOnce(u64, u64) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (least, most) = STEP;
        let left = self.end - self.committed;
        let step = self
            .used
            .clamp(least, most)
            .max(want)
            .next_multiple_of(PAGE);
        let len = step.min(left);
        if len < want {
            return Err(Errno::ENOMEM);
        }
        commit(self.committed, len)?;
        self.insert(self.committed, len);
        self.committed += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use torov_abi::Errno;

    use super::Frames;

    fn frames(len: u64) -> Frames {
        Frames::new(0x10_0000, 0x10_0000 + len)
    }

    #[test]
    fn runs_that_touch_become_one() {
        let mut frames = frames(0x4000);
        let pieces: Vec<u64> = (0..4).map(|_| frames.take(0x1000).unwrap().0).collect();
        assert_eq!(frames.take(0x1000), None);
        for at in [1, 3, 0, 2] {
            frames.give(pieces[at], 0x1000);
        }
        assert_eq!(frames.take(0x4000), Some((0x10_0000, 0x4000)));
        assert_eq!(frames.used(), 0x4000);
    }

    #[test]
    fn a_piece_is_no_larger_than_its_run() {
        let mut frames = frames(0x3000);
        let first = frames.take(0x1000).unwrap();
        frames.take(0x1000).unwrap();
        frames.give(first.0, 0x1000);
        assert_eq!(frames.take(0x2000), Some((0x10_0000, 0x1000)));
    }

    #[test]
    fn growth_ends_at_the_limit() {
        let mut frames = frames(0x3000);
        assert_eq!(frames.grow(0x1000, |_, _| Ok(())), Err(Errno::ENOMEM));
        let mut large = Frames::new(0, 8 << 20);
        assert_eq!(large.take(4 << 20), Some((0, 4 << 20)));
        assert_eq!(large.take(0x1000), None, "not committed");
        assert_eq!(large.grow(0x1000, |_, _| Err(Errno::EIO)), Err(Errno::EIO));
        assert_eq!(large.take(0x1000), None);
        assert_eq!(
            large.grow(0x1000, |at, len| match (at, len) {
                (0x40_0000, 0x40_0000) => Ok(()),
                _ => Err(Errno::EIO),
            }),
            Ok(())
        );
        assert_eq!(large.take(0x1000), Some((4 << 20, 0x1000)));
    }
}
