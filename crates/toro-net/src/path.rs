//! Links on the way that take only shorter packets than ours (RFC 1191, RFC 8201).
//!
//! None of our packets may be cut. So a router before a narrower link drops those that are too long, and says so in a message
//! that quotes the beginning of one. Whoever knows the ends of a connection could send that as well. It counts if it quotes a
//! segment that is on its way now (RFC 5927, 4), which takes the sequence number too, and one that was longer than what it says
//! may pass. The connection goes on through an [interface](crate::interfaces) for shorter packets from then on, and says the
//! segment again at once. Other connections are not touched.
//!
//! A router may also drop without a word. Who has waited three times in a row for an answer tries it with shorter packets, and
//! after six with still shorter ones (RFC 4821, 7.7).

use crate::checksum;
use crate::connection::Connection;
use crate::demux::Target;
use crate::echo;
use crate::packet::{self, PROTOCOL_TCP, Tuple};
use crate::stack::Stack;
use crate::stats::DropReason;

/// The longest packets that a path is taken to let pass, in bytes of IPv4: what is left of 1,500 in common tunnels, what
/// any link of IPv6 takes, and what any host of IPv4 does. A path below the last one is not believed in.
const STEPS: [u16; 5] = [1480, 1400, CAREFUL, 1006, LEAST];
/// What passes nearly everywhere: 1,280 bytes with a header of IPv6 instead (RFC 8200, 5).
const CAREFUL: u16 = 1260;
/// What passes everywhere.
const LEAST: u16 = 552;
/// Time-outs in a row after which the one is tried, and then the other.
const SILENCE: u8 = 3;
const LONG_SILENCE: u8 = 6;
/// The headers of the message and of the packet it quotes, and as much of that as it has to quote.
const QUOTE_LEN: usize = 8 + 20 + 8;

/// What a router says of a packet of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong {
    /// Whose it was.
    pub(crate) tuple: Tuple,
    /// The sequence number of the segment in it.
    pub(crate) seq: u32,
    /// How long it was.
    pub(crate) len: usize,
    /// How long it may be.
    pub(crate) longest: usize,
}

impl Stack {
    /// Takes a message of ICMP that a packet was too long, in a frame whose IP header [`packet::classify`] has checked.
    #[cold]
    #[inline(never)]
    pub(crate) fn take_too_long(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        let icmp = echo::icmp_part(frame).unwrap_or_default();
        let quote: &[u8; QUOTE_LEN] = icmp.first_chunk().ok_or(DropReason::Truncated)?;
        if !checksum::adds_up(0, icmp) {
            return Err(DropReason::BadChecksum);
        }
        // Ours have no options.
        if quote[8] != 0x45 || quote[17] != PROTOCOL_TCP {
            return Err(DropReason::NoSocket);
        }
        let len = packet::be16(quote, 10).into();
        // Routers from before RFC 1191 say nothing.
        let longest = match packet::be16(quote, 6).into() {
            0 => usize::saturating_sub(len, 1),
            said => said,
        };
        let tuple = Tuple {
            local: packet::address(quote, 20),
            remote: packet::address(quote, 24),
            local_port: packet::be16(quote, 28),
            remote_port: packet::be16(quote, 30),
        };
        let seq = packet::be32(quote, 32);
        self.shorten(&TooLong {
            tuple,
            seq,
            len,
            longest,
        })
    }

    /// Believes a router, or not.
    ///
    /// # Errors
    /// Says why the message is to be dropped.
    #[cold]
    #[inline(never)]
    pub(crate) fn shorten(&mut self, said: &TooLong) -> Result<(), DropReason> {
        let Some(Target::Connection(id)) = self.demux.find(&said.tuple) else {
            // Another core may know it.
            return Err(DropReason::NoSocket);
        };
        let is_possible = (said.longest + 1..=self.wire.info().mtu).contains(&said.len);
        let connection = self.connections.get_mut(id);
        let meant = connection.filter(|it| is_possible && it.has_on_its_way(said.seq));
        let connection = meant.ok_or(DropReason::ForgedError)?;
        let fits = |step: &u16| usize::from(*step) <= said.longest;
        let step = STEPS.into_iter().find(fits);
        let step = step.unwrap_or(LEAST);
        // Others of the same flight are quoted too.
        if connection.is_wider_than(step) {
            // What is cut by the card would be cut into what is too long.
            (connection.path, connection.lossy) = (step, true);
            connection.say_all_again();
            connection.line_up(id, &mut self.dirty);
            self.stats.narrowed += 1;
        }
        Ok(())
    }
}

impl Connection {
    /// Whether the segment that begins with `seq` is on its way.
    fn has_on_its_way(&self, seq: u32) -> bool {
        let oldest = self.delivered;
        self.agreed.is_some() && seq.wrapping_sub(oldest) < self.sent.wrapping_sub(oldest)
    }

    /// Goes over to shorter packets if it has waited `tries` times in a row, often enough to doubt that others pass.
    pub(crate) fn doubt_path(&mut self, tries: u8) {
        let step = match tries {
            SILENCE => CAREFUL,
            LONG_SILENCE => LEAST,
            _ => return,
        };
        if self.is_wider_than(step) {
            self.path = step;
        }
    }

    fn is_wider_than(&self, step: u16) -> bool {
        self.path == 0 || step < self.path
    }
}
