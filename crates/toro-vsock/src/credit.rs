//! [`Credit`]: who may send how much (VIRTIO 1.2, 5.10.6.3). All counters wrap.
//!
//! ```text
//!            sent ─────────── in flight or in the peer's buffer ─────────── heard      room: what the peer has, less that
//!        received ─────────────── in our buffer ─────────────── taken ── told          owed: what was taken since it was told
//! ```

/// The counters of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credit {
    /// Our room in all.
    capacity: u32,
    /// Bytes that have arrived, left our room, and were said to have.
    received: u32,
    taken: u32,
    told: u32,
    /// Bytes sent, those of them that have left the peer's room, and that room in all.
    sent: u32,
    heard: u32,
    peer_capacity: u32,
}

/// A peer says that more has left its room than we have sent, or that less has than it said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

/// A peer sends more than we have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Credit {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
            received: 0,
            taken: 0,
            told: 0,
            sent: 0,
            heard: 0,
            peer_capacity: 0,
        }
    }

    /// Takes in what the peer says of its room. Returns whether something has left it.
    pub(crate) fn hear(&mut self, buf_alloc: u32, fwd_cnt: u32) -> Result<bool, Nonsense> {
        let left = self.sent.wrapping_sub(fwd_cnt);
        if left > self.in_flight() {
            return Err(Nonsense);
        }
        let has_progress = left < self.in_flight();
        self.heard = fwd_cnt;
        self.peer_capacity = buf_alloc;
        Ok(has_progress)
    }

    /// Bytes that were sent and have not left the peer's room.
    pub(crate) fn in_flight(&self) -> u32 {
        self.sent.wrapping_sub(self.heard)
    }

    /// How many bytes may be sent.
    pub(crate) fn may_send(&self) -> usize {
        self.peer_capacity.saturating_sub(self.in_flight()) as usize
    }

    /// So many bytes leave, no more than [`may_send`](Self::may_send).
    pub(crate) fn send(&mut self, len: usize) {
        debug_assert!(len <= self.may_send(), "no more than the peer has room for");
        #[expect(clippy::cast_possible_truncation, reason = "at most what may be sent")]
        let len = len as u32;
        self.sent = self.sent.wrapping_add(len);
    }

    /// So many bytes arrive.
    pub(crate) fn receive(&mut self, len: u32) -> Result<(), Overrun> {
        if len > self.capacity - self.received.wrapping_sub(self.taken) {
            return Err(Overrun);
        }
        self.received = self.received.wrapping_add(len);
        Ok(())
    }

    /// So many of those that have arrived leave our room.
    pub(crate) fn take(&mut self, len: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "at most our capacity")]
        let len = len as u32;
        self.taken = self.taken.wrapping_add(len);
    }

    /// What to say of our room: with each packet, which counts as told.
    pub(crate) fn tell(&mut self) -> (u32, u32) {
        self.told = self.taken;
        (self.capacity, self.taken)
    }

    /// Bytes that have left our room and the peer does not know of.
    pub(crate) fn untold(&self) -> u32 {
        self.taken.wrapping_sub(self.told)
    }

    /// Whether the peer should hear of the room that there is now: once it knows of less than half.
    pub(crate) fn is_due(&self) -> bool {
        let unknown = self.received.wrapping_sub(self.told);
        self.untold() > 0 && unknown >= self.capacity / 2
    }

    /// Whether the peer may send nothing, and knows it.
    pub(crate) fn is_shut(&self) -> bool {
        self.untold() == 0 && self.received.wrapping_sub(self.told) == self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of which `done` bytes went each way and were taken and told.
    fn after(done: u32) -> Credit {
        Credit {
            received: done,
            taken: done,
            told: done,
            sent: done,
            heard: done,
            peer_capacity: 1000,
            ..Credit::new(1000)
        }
    }

    #[test]
    fn no_more_is_sent_than_the_peer_has_room_for() {
        for start in [0, u32::MAX - 500, u32::MAX] {
            let mut credit = after(start);
            assert_eq!(credit.may_send(), 1000);
            credit.send(999);
            assert_eq!(credit.may_send(), 1);
            assert_eq!(credit.hear(1000, start.wrapping_add(600)), Ok(true));
            assert_eq!(credit.may_send(), 601);
            // A peer may take room back: nothing may be sent until enough has left it.
            assert_eq!(credit.hear(100, start.wrapping_add(600)), Ok(false));
            assert_eq!(credit.may_send(), 0);
            assert_eq!(credit.hear(u32::MAX, start.wrapping_add(999)), Ok(true));
            assert_eq!(credit.may_send(), u32::MAX as usize);
        }
    }

    #[test]
    fn a_peer_that_counts_wrong_is_found_out() {
        for start in [0, u32::MAX - 50] {
            let mut credit = after(start);
            credit.send(100);
            let count = |offset: u32| start.wrapping_add(offset);
            assert_eq!(credit.hear(1000, count(101)), Err(Nonsense));
            assert_eq!(credit.hear(1000, start.wrapping_sub(1)), Err(Nonsense));
            assert_eq!(credit.hear(1000, count(50)), Ok(true));
            assert_eq!(credit.hear(1000, count(49)), Err(Nonsense));
            assert_eq!(credit.hear(1000, count(100)), Ok(true));
        }
    }

    #[test]
    fn a_peer_that_sends_too_much_is_found_out() {
        for start in [0, u32::MAX - 500] {
            let mut credit = after(start);
            assert_eq!(credit.receive(1000), Ok(()));
            assert_eq!(credit.receive(1), Err(Overrun));
            credit.take(10);
            assert_eq!(credit.receive(11), Err(Overrun));
            assert_eq!(credit.receive(10), Ok(()));
            assert_eq!(credit.receive(u32::MAX), Err(Overrun));
        }
    }

    #[test]
    fn room_is_told_when_the_peer_knows_of_less_than_half() {
        let mut credit = after(0);
        credit.receive(499).expect("room");
        credit.take(499);
        assert!(!credit.is_due());
        credit.receive(1).expect("room");
        assert!(credit.is_due());
        assert_eq!(credit.tell(), (1000, 499));
        assert!(!credit.is_due());
        credit.receive(999).expect("room");
        assert!(credit.is_shut() && !credit.is_due());
        credit.take(1);
        assert!(credit.is_due() && !credit.is_shut());
    }
}
