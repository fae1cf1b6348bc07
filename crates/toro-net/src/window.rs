//! What the peer says of its window and of our bytes, put right before smoltcp hears it.
//!
//! smoltcp believes the window of every segment, in the order in which they come (it has no SND.WL1 and SND.WL2), and it drops
//! a segment whose acknowledgement was overtaken by a newer one, with the bytes in it. A closed window with bytes of ours on
//! their way is worse: its timer for retransmissions then finds that nothing may be sent, and stops.

use crate::connection::Connection;
use crate::packet::Segment;

impl Connection {
    /// Notes the peer's window, and returns the acknowledgement and the window that smoltcp is to see in `segment`.
    ///
    /// - An acknowledgement that was overtaken with bytes becomes the newest one: the bytes still count (RFC 5961, 5.2).
    /// - The window is the one of the newest segment (RFC 9293, 3.10.7.4). Of two that say the same otherwise the larger
    ///   window is the newer one, for nobody shrinks his.
    /// - It reaches as far as we have sent: what is on its way is sent again, whatever the peer says of its window meanwhile.
    #[inline]
    pub(crate) fn judge(&mut self, segment: &Segment) -> (u32, u16) {
        // The next segment in order, from a peer that has everything we have sent: what it says is the newest there is.
        let age = self.told_at.wrapping_sub(segment.seq).cast_signed();
        let is_plain = segment.seq == self.acknowledged
            && segment.ack == self.sent
            && (age < 0 || age == 0 && segment.window >= self.window)
            && !segment.flags.syn()
            && self.agreed.is_some();
        if is_plain {
            (self.window, self.told_at) = (segment.window, segment.seq);
            return (segment.ack, segment.window);
        }
        self.judge_whole(segment)
    }

    #[inline(never)]
    fn judge_whole(&mut self, segment: &Segment) -> (u32, u16) {
        if segment.flags.syn() || self.agreed.is_none() {
            (self.window, self.told_at) = (segment.window, segment.seq);
            return (segment.ack, segment.window);
        }
        let (oldest, socket) = (self.delivered, self.socket());
        let (ahead, behind) = (
            segment.ack.wrapping_sub(oldest),
            oldest.wrapping_sub(segment.ack),
        );
        // A FIN takes a number too.
        let is_possible = ahead as usize <= socket.send_queue() + 1;
        let offset = segment.seq.wrapping_sub(self.acknowledged);
        let is_in_window = (offset as usize) < socket.recv_capacity();
        let is_stale = behind as usize > socket.send_capacity() || segment.is_bare_ack();
        if !is_possible && is_stale {
            return (segment.ack, segment.window);
        }
        let age = self.told_at.wrapping_sub(segment.seq).cast_signed();
        let is_newer = age < 0 || age == 0 && segment.window >= self.window;
        let is_newest = ahead > 0 || is_newer && is_in_window;
        if is_possible && is_newest {
            (self.window, self.told_at) = (segment.window, segment.seq);
        }
        let ack = if is_possible { segment.ack } else { oldest };
        (ack, self.shown_window(ack))
    }

    /// The window that smoltcp sees with `ack`.
    pub(crate) fn shown_window(&self, ack: u32) -> u16 {
        let in_flight = self.sent.wrapping_sub(ack).cast_signed().max(0);
        let scale = self.agreed.and_then(|agreed| agreed.scale).unwrap_or(0);
        let least = in_flight.unsigned_abs().div_ceil(1 << scale);
        self.window.max(u16::try_from(least).unwrap_or(u16::MAX))
    }

    /// The window that we offer, as it stands in a segment.
    pub(crate) fn offered_window(&self) -> u16 {
        let socket = self.socket();
        // Who sleeps has a ring for whoever sends.
        let room = socket.recv_capacity().max(self.promised) - socket.recv_queue();
        u16::try_from(room >> self.shift).unwrap_or(u16::MAX)
    }

    /// Whether `segment` only acknowledges, from a peer that has filled our window.
    ///
    /// Its number lies at the edge of the window, and to smoltcp that is outside. Linux lets it in, and so must we: two ends that
    /// have both filled the other's window and lost the first byte of it would never hear each other again.
    #[inline]
    pub(crate) fn is_from_edge(&self, segment: &Segment) -> bool {
        let beyond = segment.seq.wrapping_sub(self.edge);
        segment.is_bare_ack() && beyond <= u16::MAX.into() && segment.seq != self.acknowledged
    }
}
