//! [`Output`]: where a service writes during a call.

/// The free part of the send ring.
///
/// Bytes are written where they are sent from. Only what crosses the end of the ring is put together elsewhere and
/// copied once more, so that the service can always write in one piece.
#[derive(Debug)]
pub struct Output<'a> {
    /// The free part up to the end of the ring, and how much of it was written.
    room: &'a mut [u8],
    direct: usize,
    /// What follows behind it, from the start of the ring on.
    spill: &'a mut [u8],
    spilled: usize,
    /// Free bytes of the ring, at the start of the call.
    free: usize,
    wanted: usize,
}

/// What a call has left in an [`Output`].
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes in the ring already.
    pub direct: usize,
    /// Bytes that wait behind them.
    pub spilled: usize,
    /// How much room the service waits for; 0 if it does not.
    pub wanted: usize,
}

impl<'a> Output<'a> {
    /// For the stack: output of at most `free` bytes, first into `room`, then into `spill`, which has that many.
    #[inline]
    pub fn new(room: &'a mut [u8], spill: &'a mut [u8], free: usize) -> Self {
        Self {
            room,
            direct: 0,
            spill,
            spilled: 0,
            free,
            wanted: 0,
        }
    }

    /// For the stack: what was written.
    #[inline]
    pub fn written(&self) -> Written {
        Written {
            direct: self.direct,
            spilled: self.spilled,
            wanted: self.wanted,
        }
    }

    /// How many bytes can be written now.
    #[inline]
    pub fn room(&self) -> usize {
        self.free - self.direct - self.spilled
    }

    /// Writes what fits of `bytes` and returns how much that was. If not all fits, waits for room.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        if len < bytes.len() {
            self.wanted = self.wanted.max(1);
        }
        self.put(&bytes[..len]);
        len
    }

    /// Writes all of `bytes`, or nothing and waits for as much room.
    #[inline]
    pub fn write_all(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() {
            self.wait(bytes.len());
            return false;
        }
        self.put(bytes);
        true
    }

    /// A place for at least `len` bytes in one piece, to be filled from its start and [committed](Self::commit); if there
    /// is no room for as many, an empty one, and waits for that.
    #[inline]
    pub fn spare(&mut self, len: usize) -> &mut [u8] {
        let room = self.room();
        if room < len {
            self.wait(len);
            return &mut [];
        }
        if self.spilled == 0 && self.room.len() - self.direct >= len {
            &mut self.room[self.direct..]
        } else {
            &mut self.spill[self.spilled..][..room]
        }
    }

    /// Sends the first `filled` bytes of the place that [`spare`](Self::spare) gave out for the same `len`.
    ///
    /// # Panics
    /// Panics if there is no room for as many.
    #[inline]
    pub fn commit(&mut self, len: usize, filled: usize) {
        assert!(
            filled <= self.room(),
            "more was filled than spare() gave out"
        );
        if self.spilled == 0 && self.room.len() - self.direct >= len.max(filled) {
            self.direct += filled;
        } else {
            self.spilled += filled;
        }
    }

    /// Waits for room for `len` bytes, or for half of the send ring if that is more; input is not shown until then.
    #[inline]
    pub fn wait(&mut self, len: usize) {
        self.wanted = self.wanted.max(len).max(1);
    }

    /// Whether the service has said that it waits, or was told so.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.wanted > 0
    }

    /// Puts `bytes`, for which there is room, behind what was written.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.spilled == 0 {
            let len = rest.len().min(self.room.len() - self.direct);
            let (head, tail) = rest.split_at(len);
            self.room[self.direct..][..len].copy_from_slice(head);
            self.direct += len;
            rest = tail;
        }
        if !rest.is_empty() {
            self.spill[self.spilled..][..rest.len()].copy_from_slice(rest);
            self.spilled += rest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What `write` puts into a ring with `direct` bytes up to its end and `free` in all.
    fn check(direct: usize, free: usize, write: impl Fn(&mut Output<'_>), expected: &[u8]) {
        let (mut room, mut spill) = ([0; 16], [0; 16]);
        let mut output = Output::new(&mut room[..direct], &mut spill, free);
        write(&mut output);
        let written = output.written();
        let mut bytes = Vec::from(&room[..written.direct]);
        bytes.extend(&spill[..written.spilled]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn writes_cross_the_end_of_the_ring() {
        for direct in 0..=8 {
            check(
                direct,
                8,
                |out| assert!(out.write_all(b"abcdefgh")),
                b"abcdefgh",
            );
            check(
                direct,
                8,
                |out| assert_eq!((out.write(b"abc"), out.write(b"defghi")), (3, 5)),
                b"abcdefgh",
            );
        }
    }

    #[test]
    fn a_piece_is_never_cut_by_the_end_of_the_ring() {
        for direct in 0..=8 {
            let write = |out: &mut Output<'_>| {
                out.write(b"a");
                let place = out.spare(5);
                assert!(place.len() >= 5);
                place[..5].copy_from_slice(b"bcdef");
                out.commit(5, 5);
                out.write(b"g");
                assert_eq!(out.room(), 1);
            };
            check(direct, 8, write, b"abcdefg");
        }
    }

    #[test]
    fn what_does_not_fit_is_waited_for() {
        let write = |out: &mut Output<'_>| {
            assert!(!out.is_waiting());
            assert!(!out.write_all(b"12345"));
            assert!(out.spare(7).is_empty());
            assert_eq!(out.written().wanted, 7);
            assert_eq!(out.write(b"12345"), 4);
        };
        check(4, 4, write, b"1234");
    }
}
