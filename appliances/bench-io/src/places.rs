//! [`Places`]: where the pieces of a file or disk lie that are read or written; the same as in the program for Linux.

/// Offsets of pieces, one after the other or anywhere, for ever.
#[derive(Debug)]
pub(crate) struct Places {
    state: u64,
    next: u64,
    pieces: u64,
    len: u64,
    is_random: bool,
}

impl Places {
    /// Pieces of `len` bytes within the first `span` bytes; `None` if there is not even one.
    pub(crate) fn new(span: u64, len: u64, order: &str) -> Option<Self> {
        Some(Self {
            state: 88_172_645_463_325_252,
            next: 0,
            pieces: span.checked_div(len).filter(|pieces| *pieces > 0)?,
            len,
            is_random: order == "random",
        })
    }

    /// The offset of the next piece in bytes.
    pub(crate) fn next(&mut self) -> u64 {
        let mut piece = self.next;
        self.next += 1;
        if self.is_random {
            // Marsaglia's xorshift64.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            piece = self.state;
        }
        piece % self.pieces * self.len
    }
}
