//! [`Stack`]: the connections of a device, and who is asked when.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::Waker;

use toro_dev::socket::{Header, Op, SocketDevice, shut};
use toro_queue::slab::{Slab, SlotId};
use toro_time::{Instant, TimerQueue};

use crate::aging::Watch;
use crate::config::{Config, Times};
use crate::connection::{Connection, End, Key, Stage};
use crate::dispatch::Services;
use crate::stats::Stats;

/// A bound port.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    /// Connections that wait to be accepted, oldest first.
    pub(crate) ready: VecDeque<SlotId>,
    /// Who waits for one. There are few: all are woken, and one finds it.
    pub(crate) acceptors: Vec<Waker>,
}

impl Listener {
    pub(crate) fn wake(&mut self) {
        core::mem::take(&mut self.acceptors)
            .into_iter()
            .for_each(Waker::wake);
    }
}

/// The connections of a device.
///
/// A turn is [`receive`](Self::receive), [`serve`](Self::serve), [`advance`](Self::advance).
pub struct Stack {
    pub(crate) device: Box<dyn SocketDevice>,
    pub(crate) config: Config,
    pub(crate) connections: Slab<Connection>,
    /// Those that are on the wire.
    pub(crate) keys: BTreeMap<Key, SlotId>,
    pub(crate) listeners: BTreeMap<u32, Listener>,
    pub(crate) next_port: u32,
    /// Connections that have something to say.
    pub(crate) speakers: VecDeque<SlotId>,
    /// Resets for connections that are not there, or not any more.
    pub(crate) refusals: VecDeque<Header>,
    pub(crate) timers: TimerQueue<SlotId>,
    pub(crate) watch: Watch,
    pub(crate) services: Services,
    pub(crate) stats: Stats,
    /// The last packet to send found no place.
    pub(crate) is_blocked: bool,
    /// Whoever takes our turns, while it sleeps.
    runner: Option<Waker>,
}

impl Stack {
    /// A stack without connections.
    pub fn new(device: Box<dyn SocketDevice>, config: Config) -> Self {
        Self {
            device,
            config,
            connections: Slab::new(),
            keys: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_port: config.first_port,
            speakers: VecDeque::new(),
            refusals: VecDeque::new(),
            timers: TimerQueue::new(),
            watch: Watch::default(),
            services: Services::default(),
            stats: Stats::default(),
            is_blocked: false,
            runner: None,
        }
    }

    /// The context id of this machine.
    pub fn cid(&self) -> u32 {
        self.device.cid()
    }

    /// What was done so far, and what there is.
    pub fn stats(&self) -> Stats {
        let ids = self.connections.ids().into_iter();
        let unread = ids.filter_map(|id| Some(self.connections.get(id)?.input.len()));
        Stats {
            connections: self.connections.len(),
            unread: unread.sum(),
            malformed: self.device.malformed(),
            ..self.stats
        }
    }

    /// Changes the intervals, also for connections that there are.
    pub fn set_times(&mut self, times: Times) {
        self.config.times = times;
        self.connections
            .ids()
            .into_iter()
            .for_each(|id| self.arm(id));
        self.rouse();
    }

    /// When a turn is due if nothing is received before; `None` for never.
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_quiet = self.speakers.is_empty() && self.refusals.is_empty();
        if !(is_quiet || self.is_blocked) || self.services.has_work() {
            return Some(Instant::ZERO);
        }
        let stall = self.watch.next_deadline(&self.config.times);
        self.timers.next_deadline().into_iter().chain(stall).min()
    }

    /// Has `waker` woken when a turn is due. Returns `false` if one is already.
    pub fn sleep(&mut self, waker: &Waker) -> bool {
        self.runner = Some(waker.clone());
        self.device.arm(waker)
    }

    /// Has a turn taken soon.
    pub(crate) fn rouse(&mut self) {
        if let Some(runner) = self.runner.take() {
            runner.wake();
        }
    }

    /// Gives connection `id` a place among those that speak, if it has something to say.
    pub(crate) fn touch(&mut self, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !connection.has_asked && connection.is_stuck() {
            connection.has_asked = true;
            connection.due.request = true;
        }
        if !connection.is_queued && connection.next_op().is_some() {
            connection.is_queued = true;
            self.speakers.push_back(id);
        }
    }

    /// Adds a connection that is on the wire from now on.
    pub(crate) fn insert(&mut self, connection: Connection) -> SlotId {
        let key = connection.key;
        let id = self.connections.insert(connection);
        self.keys.insert(key, id);
        self.touch(id);
        self.arm(id);
        id
    }

    /// Takes connection `id` off the wire, because it is over; it stays for as long as somebody has it.
    pub(crate) fn finish(&mut self, id: SlotId, end: End) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.end.is_some() {
            return;
        }
        connection.end = Some(end);
        connection.deadline = None;
        connection.output.clear();
        connection.wake();
        let (key, stage) = (connection.key, connection.stage);
        self.keys.remove(&key);
        if stage == Stage::Orphan {
            self.forget(id);
        } else {
            self.notice(id);
        }
    }

    /// Drops connection `id`: nobody has it any more.
    pub(crate) fn forget(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.remove(id)
            && let Some((_, key)) = connection.timer
        {
            self.timers.cancel(key);
        }
    }

    /// Ends connection `id` with a reset.
    pub(crate) fn reset(&mut self, id: SlotId, end: End) {
        let cid = self.cid();
        if let Some(connection) = self.connections.get_mut(id)
            && connection.end.is_none()
        {
            let header = connection.header(cid, Op::Reset);
            // As many as there are connections at most.
            self.refusals.push_back(header);
            self.finish(id, end);
        }
    }

    /// Ends connection `id` if the peer neither sends nor receives, and all that it has sent was read.
    pub(crate) fn confirm_end(&mut self, id: SlotId) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let is_over = connection.peer_shut == shut::BOTH && connection.input.is_empty();
        if is_over && connection.end.is_none() {
            self.reset(id, End::Finished);
        }
    }
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Stack({} connections)", self.connections.len())
    }
}
