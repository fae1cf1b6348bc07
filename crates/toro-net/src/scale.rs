//! [`Scale`]: windows of more than 64 KiB (RFC 7323, 2), in images with the unit `large-windows`.
//!
//! A window scale is told once, in the handshake, and the receive ring of a connection begins small and
//! [grows](crate::growth). smoltcp's scale follows the ring that it has. So peers are told the scale of the largest ring from
//! the beginning, and windows are written anew at the edge, from smoltcp's scale to that one.
//!
//! The larger scale leaves up to 31 bytes of a window out. smoltcp takes them all the same.

use crate::birth;
use crate::checksum;
use crate::config::{Config, Growth};
use crate::connection::Connection;
use crate::device::TCP_AT;
use crate::packet::{self, Flags, TCP_LEN};

/// Whether there are large windows in this image at all.
pub(crate) const IS_COMPILED: bool = cfg!(feature = "large-windows");

/// The largest receive ring with them: enough for 80 Mbit/s over a way of 100 ms.
const LARGEST: usize = 1 << 20;
/// The largest window without a scale.
const UNSCALED: usize = u16::MAX as usize;

/// How the window in a segment is written anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// By how much smoltcp has shifted it.
    own: u8,
    /// By how much the peer believes it to be.
    said: u8,
}

impl Scale {
    /// Writes the window of a frame of ours, whose checksum is `complete`, or only begun; in a SYN the scale.
    pub(crate) fn put(self, frame: &mut [u8], complete: bool) {
        match frame[TCP_AT + 13] & Flags::SYN {
            0 => {
                let window = u32::from(packet::be16(frame, TCP_AT + 14)) << self.own;
                // It was the shorter shift.
                let window = u16::try_from(window >> self.said).unwrap_or(u16::MAX);
                replace(frame, TCP_AT + 14, window.to_be_bytes(), complete);
            }
            _ => self.put_option(frame, complete),
        }
    }

    fn put_option(self, frame: &mut [u8], complete: bool) {
        let end = TCP_AT + usize::from(frame[TCP_AT + 12] >> 4) * 4;
        let mut at = TCP_AT + TCP_LEN;
        while at + 3 <= end.min(frame.len()) {
            match (frame[at], frame[at + 1]) {
                (3, 3) => {
                    // The checksum goes by pairs of bytes.
                    let pair = at + 2 - (at + 2 - TCP_AT) % 2;
                    let mut bytes = [frame[pair], frame[pair + 1]];
                    bytes[at + 2 - pair] = self.said;
                    return replace(frame, pair, bytes, complete);
                }
                (0, _) => return,
                (1, _) => at += 1,
                (_, len) => at += usize::from(len).max(2),
            }
        }
    }
}

/// Puts other bytes at `at` in a frame of ours.
fn replace(frame: &mut [u8], at: usize, bytes: [u8; 2], complete: bool) {
    let before = packet::be16(frame, at);
    frame[at..at + 2].copy_from_slice(&bytes);
    if complete {
        let sum = packet::be16(frame, TCP_AT + 16);
        let sum = checksum::corrected(sum, before, u16::from_be_bytes(bytes));
        frame[TCP_AT + 16..TCP_AT + 18].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Config {
    /// Has receive rings grow to a MiB for peers that scale windows. Without the feature `large-windows` of this crate they end at
    /// 64 KiB, as those do for other peers.
    pub fn offer_large_windows(&mut self) {
        if IS_COMPILED && self.growth.receive > 0 {
            self.growth.receive = LARGEST;
        }
    }

    /// The shift of our windows that peers are told.
    #[inline]
    pub(crate) fn window_shift(&self) -> u8 {
        let first = self.buffers.receive;
        let largest = if IS_COMPILED {
            first.max(self.growth.receive)
        } else {
            first
        };
        birth::window_shift(largest)
    }
}

impl Connection {
    /// The largest receive ring that its window can tell of.
    #[inline]
    pub(crate) fn largest_input(&self, growth: &Growth) -> usize {
        let is_scaled = self.agreed.is_some_and(|agreed| agreed.scale.is_some());
        match is_scaled {
            false if IS_COMPILED => growth.receive.min(UNSCALED),
            _ => growth.receive,
        }
    }

    /// How its segments are changed on their way out, if they are; `said` is for the one that asks for the connection.
    #[inline]
    pub(crate) fn scale(&self, said: u8) -> Option<Scale> {
        if !IS_COMPILED {
            return None;
        }
        let Some(agreed) = self.agreed else {
            return Some(Scale { own: 0, said }).filter(|_| said > 0);
        };
        agreed.scale?;
        let own = birth::window_shift(self.socket().recv_capacity());
        (own < self.shift).then_some(Scale {
            own,
            said: self.shift,
        })
    }
}
