//! [`Route`]: where packets that are not TCP's leave to, and what waits for the address of the next hop.
//!
//! smoltcp asks for the hops of connections. Datagrams have no retransmission that would make up for a first packet that
//! is lost while the hop is asked for, so they wait here: a few for each of a few hops, for a few seconds.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use toro_time::Instant;

use crate::local::Addresses;
use crate::neighbours::{self, ARP_FRAME_LEN, Station};
use crate::stack::Stack;

/// Hops that are asked for at a time.
const QUESTIONS: usize = 8;
/// Frames that wait for one hop; the oldest are lost first (RFC 1122, 2.3.2.2 wants one at least).
const FRAMES: usize = 8;
/// How often a hop is asked for, once a second (RFC 1122, 2.3.2.1).
const TRIES: u32 = 4;
const INTERVAL: Duration = Duration::from_secs(1);
/// An entry is asked for anew from this age on, and not used any more from the next.
const STALE: Duration = Duration::from_secs(60);
const DEAD: Duration = Duration::from_secs(120);

struct Question {
    hop: Ipv4Addr,
    begun: Instant,
    next: Instant,
    tries: u32,
    frames: Vec<Vec<u8>>,
}

/// The hops that are asked for.
pub(crate) struct Route {
    questions: Vec<Question>,
}

/// Where a packet to `target` goes first; `None` if nowhere.
pub(crate) fn next_hop(addresses: &Addresses, target: Ipv4Addr) -> Option<Ipv4Addr> {
    let mask = u32::MAX
        .checked_shl(32 - u32::from(addresses.prefix))
        .unwrap_or(0);
    let near = (target.to_bits() ^ addresses.ip.to_bits()) & mask == 0;
    if near {
        Some(target)
    } else {
        addresses.gateway
    }
}

impl Route {
    pub(crate) const fn new() -> Self {
        Self {
            questions: Vec::new(),
        }
    }

    /// Sends `frame`, whose stations are still missing, to `hop`, now or when its address is known.
    pub(crate) fn send(&mut self, stack: &mut Stack, now: Instant, hop: Ipv4Addr, frame: Vec<u8>) {
        let known = stack.local.neighbours.find(hop);
        let known = known.filter(|(_, taught)| now < *taught + DEAD);
        let fresh = known.is_some_and(|(_, taught)| now < taught + STALE);
        if !fresh {
            self.ask(stack, now, hop);
        }
        if let Some((mac, _)) = known {
            return transmit(stack, mac, frame);
        }
        if let Some(question) = self.questions.iter_mut().find(|asked| asked.hop == hop) {
            if question.frames.len() == FRAMES {
                question.frames.remove(0);
                stack.wire.replies_lost += 1;
            }
            question.frames.push(frame);
        }
    }

    fn ask(&mut self, stack: &mut Stack, now: Instant, hop: Ipv4Addr) {
        if self.questions.iter().any(|asked| asked.hop == hop) {
            return;
        }
        if self.questions.len() == QUESTIONS {
            self.questions.remove(0);
        }
        request(stack, hop);
        self.questions.push(Question {
            hop,
            begun: now,
            next: now + INTERVAL,
            tries: 1,
            frames: Vec::new(),
        });
    }

    /// Sends what waited for an answer that has come, and asks again for what has not.
    pub(crate) fn advance(&mut self, stack: &mut Stack, now: Instant) {
        let mut at = 0;
        while let Some(question) = self.questions.get_mut(at) {
            let known = stack.local.neighbours.find(question.hop);
            if let Some((mac, _)) = known.filter(|(_, taught)| *taught >= question.begun) {
                for frame in self.questions.remove(at).frames {
                    transmit(stack, mac, frame);
                }
                continue;
            }
            if question.next > now {
                at += 1;
            } else if question.tries == TRIES {
                self.questions.remove(at);
            } else {
                (question.tries, question.next) = (question.tries + 1, now + INTERVAL);
                request(stack, question.hop);
                at += 1;
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.questions.iter().map(|question| question.next).min()
    }
}

fn request(stack: &mut Stack, hop: Ipv4Addr) {
    let Some(address) = stack.own_address() else {
        return;
    };
    stack.local.neighbours.asked_for(hop);
    let mac = stack.wire.info().mac;
    stack.wire.send_rare(ARP_FRAME_LEN, &mut |frame| {
        neighbours::write_request(frame, Station { mac, address }, hop);
    });
}

/// Completes `frame` with the stations and sends it.
fn transmit(stack: &mut Stack, to: [u8; 6], frame: Vec<u8>) {
    let from = stack.wire.info().mac;
    stack.wire.send(frame.len(), |place| {
        place.copy_from_slice(&frame);
        place[..6].copy_from_slice(&to);
        place[6..12].copy_from_slice(&from);
    });
}
