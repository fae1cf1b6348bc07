//! [`Stack`]: the network of one core, a state machine that is given the time, a device and secrets.
//!
//! A turn is [`receive`](Stack::receive) (a budget of frames, each to the one connection it is for), then the services
//! run, then [`advance`](Stack::advance) (what is due, what is to be sent, one flush). Nothing in a turn looks at
//! connections that nothing happened to.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::Ipv4Addr;
use core::task::Waker;

use toro_dev::net::NetDevice;
use toro_time::{Instant, TimerQueue};

use crate::config::Config;
use crate::connection::Connection;
use crate::demux::Demux;
use crate::device::Wire;
use crate::dispatch::Services;
use crate::extension::Extension;
use crate::half_open::HalfOpenTable;
use crate::interfaces::Interfaces;
use crate::listener::Listeners;
use crate::local::{Addresses, Local};
use crate::packet::Identity;
use crate::random::Secrets;
use crate::seat::Circle;
use crate::slab::{Slab, SlotId};
use crate::stats::{DropReason, Stats};
use crate::time_wait::TimeWait;

/// The network stack of one core.
pub struct Stack {
    pub(crate) config: Config,
    pub(crate) secrets: Secrets,
    pub(crate) interfaces: Interfaces,
    pub(crate) wire: Wire,
    pub(crate) local: Local,
    pub(crate) demux: Demux,
    pub(crate) listeners: Listeners,
    pub(crate) half_open: HalfOpenTable,
    pub(crate) connections: Slab<Connection>,
    pub(crate) services: Services,
    pub(crate) orphans: usize,
    /// By how much the rings have grown.
    pub(crate) grown: usize,
    /// Connections that have rings.
    pub(crate) awake: usize,
    /// Which of the connections was last looked at whether it could do without.
    pub(crate) hand: usize,
    pub(crate) time_wait: TimeWait,
    pub(crate) timers: TimerQueue<SlotId>,
    /// Connections that may have something to send, each once.
    pub(crate) dirty: VecDeque<SlotId>,
    /// Connections that wait for a free frame of the device.
    pub(crate) blocked: VecDeque<SlotId>,
    /// Connections that wait for the address of their next hop.
    pub(crate) unresolved: VecDeque<SlotId>,
    /// Ports that `connect` has given out, for the next one to begin elsewhere.
    pub(crate) ports_used: u64,
    /// Resets that were doubted, in this second.
    pub(crate) challenges: (u64, u32),
    pub(crate) stats: Stats,
    /// The other stacks behind the card, if there are some.
    pub(crate) seat: Option<Box<dyn Circle>>,
    /// How many of them may be asked about the frame in hand.
    pub(crate) hops: usize,
    /// That frame was passed on by one of them.
    pub(crate) is_passed: bool,
    /// What is there besides TCP over IPv4.
    pub(crate) extension: Option<Box<dyn Extension>>,
    /// Wakes the thread that takes the turns, while it sleeps.
    sleeper: Option<Waker>,
}

impl Stack {
    /// Creates a stack that owns `device`.
    pub fn new(device: Box<dyn NetDevice>, config: Config, now: Instant) -> Self {
        let mut wire = Wire::new(device);
        let secrets = Secrets::new(config.seed);
        let mut interfaces = Interfaces::new(&mut wire, secrets.port.hash(0, 0), now);
        Self {
            local: Local::new(config.address, &config.hostname, &mut interfaces),
            demux: Demux::new(secrets.table),
            listeners: Listeners::new(),
            half_open: HalfOpenTable::new(config.limits.half_open),
            connections: Slab::new(),
            services: Services::new(),
            orphans: 0,
            grown: 0,
            awake: 0,
            hand: 0,
            time_wait: TimeWait::new(config.limits.time_wait, config.times.time_wait),
            timers: TimerQueue::new(),
            dirty: VecDeque::new(),
            blocked: VecDeque::new(),
            unresolved: VecDeque::new(),
            ports_used: 0,
            challenges: (0, 0),
            stats: Stats::default(),
            seat: None,
            hops: 0,
            is_passed: false,
            extension: None,
            sleeper: None,
            config,
            secrets,
            interfaces,
            wire,
        }
    }

    /// Takes at most `budget` frames, from the device and from other cores. Returns whether there may be more.
    pub fn receive(&mut self, now: Instant, budget: usize) -> bool {
        let is_shared = self.seat.is_some();
        for step in 0..budget {
            let frame = if is_shared {
                self.next_frame(step)
            } else {
                self.wire.receive()
            };
            let Some(mut frame) = frame else {
                return false;
            };
            let trusted = frame.checksum_good;
            let is_known = self.take_frame(now, frame.bytes_mut(), trusted);
            if is_shared {
                self.let_go(frame, is_known);
            } else {
                self.wire.device().recycle(frame);
            }
        }
        true
    }

    /// Does what is due, sends what is to be sent, and tells the device.
    pub fn advance(&mut self, now: Instant) {
        self.expire(now);
        self.send_local(now);
        self.advance_extensions(now);
        self.send_dirty(now);
        self.wire.flush();
    }

    /// When [`advance`](Self::advance) is to be called again, if nothing is received before; a moment that has
    /// passed if there is something left to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.dirty.is_empty() || self.local.touched || self.wire.is_unflushed() {
            return Some(Instant::ZERO);
        }
        let deadlines = [
            self.timers.next_deadline(),
            self.local.due,
            self.half_open.next_deadline(),
            self.time_wait.next_deadline(),
            self.services.next_deadline(),
            self.extension.as_ref().and_then(|it| it.next_deadline()),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Prepares to sleep: `waker` is woken when the device or a socket has work. Returns `false` if there is some
    /// already.
    pub fn sleep(&mut self, waker: &Waker) -> bool {
        let has_letter = |seat: &mut Box<dyn Circle>| !seat.arm(waker);
        if !self.wire.device().arm(waker) || self.seat.as_mut().is_some_and(has_letter) {
            return false;
        }
        self.sleeper = Some(waker.clone());
        true
    }

    /// Wakes the thread that takes the turns, from a socket call.
    pub(crate) fn rouse(&mut self) {
        if let Some(waker) = self.sleeper.take() {
            waker.wake();
        }
    }

    /// The addresses the machine has now; `None` until DHCP has answered.
    pub fn addresses(&self) -> Option<&Addresses> {
        self.local.addresses.as_ref()
    }

    /// Wakes `waker` when there is an address.
    pub fn wait_for_address(&mut self, waker: &Waker) {
        self.local.wait(waker);
    }

    /// What the stack has done and holds.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        (stats.frames_out, stats.bytes_out) = (self.wire.frames_out, self.wire.bytes_out);
        stats.drops[DropReason::TransmitFull as usize] = self.wire.replies_lost;
        stats.open = self.connections.len();
        stats.asleep = stats.open - self.awake;
        stats.half_open = self.half_open.len();
        stats.time_wait = self.time_wait.len();
        stats
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            mac: self.wire.info().mac,
            address: self.own_address(),
            dhcp: self.local.uses_dhcp(),
        }
    }

    pub(crate) fn own_address(&self) -> Option<Ipv4Addr> {
        self.local.addresses.as_ref().map(|addresses| addresses.ip)
    }
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack")
            .field("addresses", &self.local.addresses)
            .finish_non_exhaustive()
    }
}
