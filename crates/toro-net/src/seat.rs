//! [`Seat`]: the place of a stack among those of other cores behind the same card, and the letters between them.
//!
//! A card with several queue pairs chooses the pair of a packet by its addresses and ports, so all packets of a connection land
//! on one core, and the connection is that core's. Where that fails, the packet goes round: a stack that does not know it passes
//! it on with its buffer to the next core, until one knows it or each has been asked; the last one refuses it.
//!
//! ```text
//! core 0 ──► core 1 ──► core 2 ──► core 0      a listener that one core has alone, a connection whose packets the card
//!                                              sends elsewhere now, ARP replies and DHCP for the core that asked
//! ```
//!
//! So nothing has to be announced, and no core looks into the tables of another. Letters are bounded: a core with too many
//! waiting loses packets, as a full receive queue does.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use toro_dev::net::Frame;
use toro_queue::channel::{Receiver, Sender, channel};

use crate::local::Addresses;
use crate::stack::Stack;
use crate::stats::DropReason;

/// Letters that may wait for a core.
const LETTERS: usize = 64;

/// What one stack tells another.
#[derive(Debug)]
enum Letter {
    /// A frame that it does not know; as many cores behind the reader may be asked.
    Frame { frame: Frame, hops: usize },
    /// The addresses of the machine, from the core that asks the DHCP server.
    Addresses(Option<Addresses>),
}

/// The place of a stack among several. Made by [`seats`], on any core; [`Stack::take_seat`] uses it.
#[derive(Debug)]
pub struct Seat {
    index: usize,
    inbox: Receiver<Letter>,
    /// A letter that came while the stack prepared to sleep.
    early: Option<Letter>,
    /// The other stacks, the next one first.
    others: Vec<Sender<Letter>>,
    /// Which of them have not been told the addresses, a bit each.
    untold: u64,
}

/// Makes seats for `count` stacks, at most 64. The first is for the stack that asks the DHCP server, if one is asked.
///
/// # Panics
/// Panics if there are more.
pub fn seats(count: usize) -> Vec<Seat> {
    assert!(
        count <= 64,
        "a bit for each stack that is to be told something"
    );
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| channel(LETTERS)).unzip();
    let seat = |(index, inbox)| Seat {
        index,
        inbox,
        early: None,
        others: (1..count)
            .map(|step| senders[(index + step) % count].clone())
            .collect(),
        untold: 0,
    };
    inboxes.into_iter().enumerate().map(seat).collect()
}

/// What a stack asks of its seat.
///
/// A stack holds `dyn Circle`: so an image whose card has one queue pair, where no seat is made, has none of this in it.
pub(crate) trait Circle {
    /// Which of the stacks this is.
    fn index(&self) -> usize;
    /// How many others there are.
    fn others(&self) -> usize;
    /// The next frame that another stack has passed on, with the number of those that may still be asked; `learn` is given new
    /// addresses that came before it.
    fn next_frame(&mut self, learn: &mut dyn FnMut(Option<Addresses>)) -> Option<(Frame, usize)>;
    /// Gives a frame to the next core; `false` if it is lost.
    fn pass_on(&self, frame: Frame, hops: usize) -> bool;
    /// The addresses have changed: the others are to be told.
    fn announce(&mut self);
    /// Tells the addresses to those that have not heard of them. Returns whether one of them had no room for more mail.
    fn tell(&mut self, addresses: Option<&Addresses>) -> bool;
    /// Has `waker` woken at the next letter; `false` if there is one.
    fn arm(&mut self, waker: &Waker) -> bool;
}

impl Circle for Seat {
    fn index(&self) -> usize {
        self.index
    }

    fn others(&self) -> usize {
        self.others.len()
    }

    fn next_frame(&mut self, learn: &mut dyn FnMut(Option<Addresses>)) -> Option<(Frame, usize)> {
        loop {
            match self.early.take().or_else(|| self.inbox.try_recv().ok())? {
                Letter::Addresses(addresses) => learn(addresses),
                Letter::Frame { frame, hops } => return Some((frame, hops)),
            }
        }
    }

    fn pass_on(&self, frame: Frame, hops: usize) -> bool {
        let next = self.others.first();
        next.is_some_and(|next| next.try_send(Letter::Frame { frame, hops }).is_ok())
    }

    fn announce(&mut self) {
        self.untold = (1 << self.others.len()) - 1;
    }

    fn tell(&mut self, addresses: Option<&Addresses>) -> bool {
        for (number, other) in self.others.iter().enumerate() {
            let is_untold = self.untold & 1 << number != 0;
            if is_untold {
                let letter = Letter::Addresses(addresses.cloned());
                self.untold ^= u64::from(other.try_send(letter).is_ok()) << number;
            }
        }
        self.untold != 0
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        if self.early.is_none()
            && let Poll::Ready(letter) = self.inbox.poll_recv(&mut Context::from_waker(waker))
        {
            self.early = letter;
        }
        self.early.is_none()
    }
}

/// Being one of several.
impl Stack {
    /// Joins the stacks of other cores. All take their addresses from the first if a DHCP server has them.
    pub fn take_seat(&mut self, seat: Seat) {
        if seat.index > 0 {
            self.local.follow();
        }
        self.seat = Some(Box::new(seat));
        self.ask_all();
    }

    /// The first of every so many ports that this stack may choose, and how many stacks choose.
    pub(crate) fn port_share(&self) -> (u16, u16) {
        let share = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        self.seat.as_ref().map_or((0, 1), |seat| {
            (share(seat.index()), share(seat.others() + 1))
        })
    }

    /// The next frame, from the device or from another stack: in turns, so that neither starves the other.
    pub(crate) fn next_frame(&mut self, step: usize) -> Option<Frame> {
        if step.is_multiple_of(2) {
            self.next_passed().or_else(|| self.wire.receive())
        } else {
            let received = self.wire.receive();
            received.or_else(|| self.next_passed())
        }
    }

    /// The next frame that another stack has passed on.
    fn next_passed(&mut self) -> Option<Frame> {
        let (local, interfaces) = (&mut self.local, &mut self.interfaces);
        let mut learn = |addresses| local.learn(interfaces, addresses);
        let (frame, hops) = self.seat.as_mut()?.next_frame(&mut learn)?;
        (self.hops, self.is_passed) = (hops, true);
        Some(frame)
    }

    /// Lets go of the frame in hand: back to the device if it is from there, or to the next core if it is not known here.
    pub(crate) fn let_go(&mut self, frame: Frame, is_known: bool) {
        let passed = match (is_known, self.is_passed) {
            (true, false) => return self.wire.device().recycle(frame),
            (false, false) => self.wire.device().surrender(frame),
            (_, true) => Some(frame),
        };
        if !is_known {
            self.pass_on(passed);
        }
        self.ask_all();
    }

    /// Passes a frame on, if there was memory to put another one in its place.
    fn pass_on(&mut self, frame: Option<Frame>) {
        let seat = self.seat.as_ref();
        let pass = |frame| seat.is_some_and(|seat| seat.pass_on(frame, self.hops - 1));
        if frame.is_some_and(pass) {
            self.stats.passed_on += 1;
        } else {
            self.stats.count(DropReason::CoreBusy);
        }
    }

    /// The next frame is from the device: all others may be asked about it.
    fn ask_all(&mut self) {
        self.hops = self.seat.as_ref().map_or(0, |seat| seat.others());
        self.is_passed = false;
    }
}
