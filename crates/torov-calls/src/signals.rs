//! [`Signals`]: what the program wants done with signals, which of them wait, and for which thread (signal(7)).
//!
//! A signal is sent ([`Signals::send`]) to the program or to one of its threads. It waits until a thread that does not
//! block it takes it ([`Signals::take`]), which threads do before they return to the program; their attention is drawn
//! for that. What is done then, and the frame that a handler finds on its stack, is the thread's affair
//! (`thread/deliver.rs`, [`frame`]).

pub(crate) mod alarms;
pub(crate) mod frame;
mod info;
mod pending;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use torov_abi::{Errno, Signal};
use torov_interrupt::Line;

pub(crate) use self::info::{Info, SI_KERNEL, SI_TIMER, SI_TKILL, SI_USER, To};
use self::pending::Pending;
use crate::descriptors::{Descriptor, Event};

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
pub(crate) type Action = [u64; 4];

/// Values of a handler that are none.
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

/// Flags of an action.
pub(crate) const SA_ONSTACK: u64 = 0x0800_0000;
pub(crate) const SA_RESTART: u64 = 0x1000_0000;
pub(crate) const SA_RESTORER: u64 = 0x0400_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;

/// Signals that no mask holds back: SIGKILL and SIGSTOP.
pub(crate) const NEVER_BLOCKED: u64 = 1 << 8 | 1 << 18;

/// The bit of a signal in a mask.
pub(crate) fn bit(signal: Signal) -> u64 {
    1 << (signal.number() - 1)
}

/// The stack for handlers that ask for one (`stack_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Whether it is taken away while a handler runs on it.
    pub(crate) disarms: bool,
}

impl Stack {
    /// Whether a stack pointer is on it.
    pub(crate) fn holds(&self, pointer: u64) -> bool {
        !self.disarms && pointer > self.start && pointer - self.start <= self.len
    }
}

/// What a thread has to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Run the handler; `mask` is what to go back to behind it.
    Handler {
        info: Info,
        action: Action,
        mask: u64,
    },
    /// The program ends.
    Death(Signal),
}

/// The signals of a program.
#[derive(Debug)]
pub(crate) struct Signals(Mutex<State>);

#[derive(Debug)]
struct State {
    actions: [Action; 65],
    pending: Pending,
    /// By rising number.
    threads: Vec<Member>,
    /// What is to be readable while signals wait.
    bells: Vec<Weak<Descriptor>>,
}

impl State {
    /// Rings the bells for signals of `new`, and silences those for which nothing waits.
    fn show(&mut self, new: u64) {
        if self.bells.is_empty() {
            return;
        }
        let members = self.threads.iter().map(|member| member.pending.set());
        let waits = members.fold(self.pending.set(), |all, set| all | set);
        self.bells.retain(|bell| {
            let Some(descriptor) = bell.upgrade() else {
                return false;
            };
            if let Some(Event::Signals(bell)) = descriptor.event() {
                if bell.mask() & waits == 0 {
                    bell.silence(descriptor.fd());
                } else if bell.mask() & new != 0 {
                    bell.ring(descriptor.fd());
                }
            }
            true
        });
    }
}

/// What belongs to a thread.
#[derive(Debug)]
struct Member {
    tid: i32,
    mask: u64,
    /// The mask to go back to, while a call has set one for as long as it takes.
    kept: Option<u64>,
    /// What the thread waits for by `rt_sigtimedwait`.
    awaited: u64,
    pending: Pending,
    stack: Stack,
    line: Arc<Line>,
    /// What it is called (prctl(2)), with zeros behind it.
    name: [u8; 16],
}

impl Default for Signals {
    fn default() -> Self {
        Self(Mutex::new(State {
            actions: [[0; 4]; 65],
            pending: Pending::default(),
            threads: Vec::new(),
            bells: Vec::new(),
        }))
    }
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread begins, with that mask.
    pub(crate) fn join(&self, tid: i32, mask: u64, line: &Arc<Line>) {
        self.lock().threads.push(Member {
            tid,
            mask,
            kept: None,
            awaited: 0,
            pending: Pending::default(),
            stack: Stack::default(),
            line: Arc::clone(line),
            name: [0; 16],
        });
    }

    /// A thread ends; what waits for the program may be another's now.
    pub(crate) fn leave(&self, tid: i32) {
        let mut state = self.lock();
        state.threads.retain(|member| member.tid != tid);
        let waits = state.pending.set();
        let mut others = state.threads.iter();
        if let Some(other) = others.find(|member| waits & !member.mask != 0) {
            other.line.raise();
        }
    }

    /// Whether there is a thread of that number.
    pub(crate) fn has(&self, tid: i32) -> bool {
        self.lock().threads.iter().any(|member| member.tid == tid)
    }

    /// The numbers of the threads.
    pub(crate) fn threads(&self) -> Vec<i32> {
        self.lock()
            .threads
            .iter()
            .map(|member| member.tid)
            .collect()
    }

    /// The action for `signal`.
    pub(crate) fn action(&self, signal: Signal) -> Action {
        self.lock().actions[usize::from(signal.number())]
    }

    /// Changes the action for `signal`; where it becomes to ignore it, what waits is dropped.
    ///
    /// # Errors
    /// `EINVAL` for those that nobody can refuse.
    pub(crate) fn set_action(&self, signal: Signal, action: Action) -> Result<(), Errno> {
        if bit(signal) & NEVER_BLOCKED != 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.lock();
        state.actions[usize::from(signal.number())] = action;
        if is_ignored(signal, action[0]) {
            state.pending.drop_all(signal);
            for member in &mut state.threads {
                member.pending.drop_all(signal);
            }
            state.show(0);
        }
        Ok(())
    }

    /// Sends a signal. Never blocks.
    ///
    /// # Errors
    /// `ESRCH` if there is no such thread, `EAGAIN` if too many wait already.
    pub(crate) fn send(&self, to: To, info: Info) -> Result<(), Errno> {
        let mut state = self.lock();
        let state = &mut *state;
        let bit = bit(info.signal);
        let ignored = is_ignored(
            info.signal,
            state.actions[usize::from(info.signal.number())][0],
        );
        let open = |member: &Member| (!member.mask | member.awaited) & bit != 0;
        match to {
            To::Process => {
                let ready = state.threads.iter().find(|member| open(member));
                if ignored && ready.is_some_and(|member| member.awaited & bit == 0) {
                    return Ok(());
                }
                state.pending.add(info)?;
                if let Some(member) = ready {
                    member.line.raise();
                }
            }
            To::Thread(tid) => {
                let member = find(&mut state.threads, tid).ok_or(Errno::ESRCH)?;
                if ignored && member.mask & bit == 0 {
                    return Ok(());
                }
                member.pending.add(info)?;
                if open(member) {
                    member.line.raise();
                }
            }
        }
        state.show(bit);
        Ok(())
    }

    /// Whether a fault of the thread finds a handler. If not, the signal is deadly whatever the program says.
    pub(crate) fn has_handler(&self, tid: i32, signal: Signal) -> bool {
        let mut state = self.lock();
        let handler = state.actions[usize::from(signal.number())][0];
        let blocked =
            find(&mut state.threads, tid).is_none_or(|member| member.mask & bit(signal) != 0);
        !blocked && handler != DEFAULT && handler != IGNORE
    }

    /// Takes the next signal for the thread and makes its handler's mask the thread's.
    pub(crate) fn take(&self, tid: i32) -> Option<Delivery> {
        let mut state = self.lock();
        let taken = Self::take_from(&mut state, tid);
        state.show(0);
        taken
    }

    fn take_from(state: &mut State, tid: i32) -> Option<Delivery> {
        let member = find(&mut state.threads, tid)?;
        loop {
            let open = !member.mask | NEVER_BLOCKED;
            let info = member
                .pending
                .take(open)
                .or_else(|| state.pending.take(open))?;
            let place = &mut state.actions[usize::from(info.signal.number())];
            let action = *place;
            match action[0] {
                handler if is_ignored(info.signal, handler) => {}
                DEFAULT => return Some(Delivery::Death(info.signal)),
                _ => {
                    let [_, flags, _, blocked] = action;
                    if flags & SA_RESETHAND != 0 {
                        place[0] = DEFAULT;
                    }
                    let mask = member.kept.take().unwrap_or(member.mask);
                    let own = if flags & SA_NODEFER != 0 {
                        0
                    } else {
                        bit(info.signal)
                    };
                    member.mask |= blocked | own;
                    return Some(Delivery::Handler { info, action, mask });
                }
            }
        }
    }

    /// Takes a signal of `wanted` that waits for the thread or for the program; nothing is done about it.
    pub(crate) fn accept(&self, tid: i32, wanted: u64) -> Option<Info> {
        let mut state = self.lock();
        let state = &mut *state;
        let member = find(&mut state.threads, tid)?;
        let own = member.pending.take(wanted);
        let info = own.or_else(|| state.pending.take(wanted));
        state.show(0);
        info
    }

    /// Has `descriptor` readable from now on while signals wait that its bell is for; its mask may have changed.
    pub(crate) fn show_by(&self, descriptor: &Arc<Descriptor>) {
        let mut state = self.lock();
        let this = Arc::downgrade(descriptor);
        state.bells.retain(|bell| !bell.ptr_eq(&this));
        state.bells.push(this);
        state.show(u64::MAX);
    }

    /// Says what the thread waits for by itself: such a signal draws its attention although it is blocked.
    pub(crate) fn wait_for(&self, tid: i32, wanted: u64) {
        if let Some(member) = find(&mut self.lock().threads, tid) {
            member.awaited = wanted;
        }
    }

    /// Whether a signal waits that the thread does not block.
    pub(crate) fn is_due(&self, tid: i32) -> bool {
        let mut state = self.lock();
        let shared = state.pending.set();
        find(&mut state.threads, tid)
            .is_some_and(|member| (member.pending.set() | shared) & !member.mask != 0)
    }

    /// The signals that wait for the thread and are blocked.
    pub(crate) fn waiting(&self, tid: i32) -> u64 {
        let mut state = self.lock();
        let shared = state.pending.set();
        find(&mut state.threads, tid)
            .map_or(0, |member| (member.pending.set() | shared) & member.mask)
    }

    /// All that waits, for the program and for its threads, in its order.
    pub(crate) fn keep(&self) -> Vec<[u64; 5]> {
        let state = self.lock();
        let own = state.pending.all().map(|info| info.plain(To::Process));
        let members = state.threads.iter().flat_map(|member| {
            let all = member.pending.all();
            all.map(|info| info.plain(To::Thread(member.tid)))
        });
        own.chain(members).collect()
    }

    /// The thread's mask.
    pub(crate) fn mask(&self, tid: i32) -> u64 {
        find(&mut self.lock().threads, tid).map_or(0, |member| member.mask)
    }

    /// Changes the thread's mask and returns the old one. What is no longer blocked draws its attention.
    pub(crate) fn set_mask(&self, tid: i32, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut state = self.lock();
        let shared = state.pending.set();
        let Some(member) = find(&mut state.threads, tid) else {
            return 0;
        };
        let old = member.mask;
        member.mask = change(old) & !NEVER_BLOCKED;
        if (member.pending.set() | shared) & !member.mask != 0 {
            member.line.raise();
        }
        old
    }

    /// Sets a mask for as long as a call takes.
    pub(crate) fn lend_mask(&self, tid: i32, mask: u64) {
        let old = self.set_mask(tid, |_| mask);
        if let Some(member) = find(&mut self.lock().threads, tid) {
            member.kept.get_or_insert(old);
        }
    }

    /// Ends what [`lend_mask`](Self::lend_mask) began, if anything.
    pub(crate) fn return_mask(&self, tid: i32) {
        let kept = find(&mut self.lock().threads, tid).and_then(|member| member.kept.take());
        if let Some(kept) = kept {
            self.set_mask(tid, |_| kept);
        }
    }

    /// What the thread is called.
    pub(crate) fn name(&self, tid: i32) -> [u8; 16] {
        find(&mut self.lock().threads, tid).map_or([0; 16], |member| member.name)
    }

    /// Calls it `name`, of which 15 bytes count.
    pub(crate) fn set_name(&self, tid: i32, name: &[u8]) {
        if let Some(member) = find(&mut self.lock().threads, tid) {
            let len = name.len().min(15);
            member.name = [0; 16];
            member.name[..len].copy_from_slice(&name[..len]);
        }
    }

    /// The thread's stack for handlers.
    pub(crate) fn stack(&self, tid: i32) -> Stack {
        find(&mut self.lock().threads, tid).map_or(Stack::default(), |member| member.stack)
    }

    /// Draws the attention of every thread.
    pub(crate) fn raise_all(&self) {
        for member in &self.lock().threads {
            member.line.raise();
        }
    }

    /// Changes it.
    pub(crate) fn set_stack(&self, tid: i32, stack: Stack) {
        if let Some(member) = find(&mut self.lock().threads, tid) {
            member.stack = stack;
        }
    }
}

fn find(threads: &mut [Member], tid: i32) -> Option<&mut Member> {
    threads.iter_mut().find(|member| member.tid == tid)
}

/// Whether nothing comes of a signal. Programs are not stopped and continued: there is no one to continue them.
fn is_ignored(signal: Signal, handler: u64) -> bool {
    // SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH.
    let harmless = matches!(signal.number(), 17..=23 | 28);
    handler == IGNORE || handler == DEFAULT && harmless
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use torov_abi::{Errno, Signal};
    use torov_interrupt::Line;

    use super::{Delivery, Info, SA_RESETHAND, Signals, To, bit};

    const USR1: i32 = 10;
    const RT: i32 = 40;

    fn signal(number: i32) -> Signal {
        Signal::new(number).unwrap()
    }

    fn info(number: i32, value: u64) -> Info {
        Info {
            signal: signal(number),
            code: 0,
            words: [0, value],
        }
    }

    /// Threads 2 and 3.
    fn signals() -> (Signals, [Arc<Line>; 2]) {
        let signals = Signals::default();
        let lines = [Arc::default(), Arc::default()];
        signals.join(2, 0, &lines[0]);
        signals.join(3, 0, &lines[1]);
        (signals, lines)
    }

    fn handled(signals: &Signals, tid: i32) -> Option<(u8, u64)> {
        match signals.take(tid) {
            Some(Delivery::Handler { info, .. }) => Some((info.signal.number(), info.words[1])),
            _ => None,
        }
    }

    #[test]
    fn a_blocked_signal_waits_and_comes_once() {
        let (signals, lines) = signals();
        signals.set_action(signal(USR1), [0x1000, 0, 0, 0]).unwrap();
        signals.set_mask(2, |_| bit(signal(USR1)));
        for _ in 0..3 {
            signals.send(To::Thread(2), info(USR1, 0)).unwrap();
        }
        assert!(!lines[0].take() && signals.take(2).is_none());
        assert_eq!(signals.waiting(2), bit(signal(USR1)));
        signals.set_mask(2, |_| 0);
        assert!(lines[0].take());
        assert!(handled(&signals, 2).is_some());
        assert!(signals.take(2).is_none());
    }

    #[test]
    fn a_handler_s_mask_holds_while_it_runs() {
        let (signals, _) = signals();
        signals
            .set_action(signal(USR1), [0x1000, 0, 0, bit(signal(12))])
            .unwrap();
        signals.send(To::Thread(2), info(USR1, 0)).unwrap();
        let Some(Delivery::Handler { mask, .. }) = signals.take(2) else {
            panic!("it has a handler");
        };
        assert_eq!(mask, 0);
        assert_eq!(signals.mask(2), bit(signal(USR1)) | bit(signal(12)));
    }

    #[test]
    fn queued_signals_keep_their_order_and_values() {
        let (signals, _) = signals();
        signals
            .set_action(signal(RT), [0x1000, 0x4000_0000, 0, 0])
            .unwrap();
        for value in 1..=3 {
            signals.send(To::Process, info(RT, value)).unwrap();
        }
        let taken: Vec<u64> = (0..3).map(|_| handled(&signals, 2).unwrap().1).collect();
        assert_eq!(taken, [1, 2, 3]);
        let full = (0..2000).map(|_| signals.send(To::Process, info(RT, 0)));
        assert!(full.into_iter().any(|sent| sent == Err(Errno::EAGAIN)));
    }

    #[test]
    fn the_program_s_signals_go_to_who_does_not_block_them() {
        let (signals, lines) = signals();
        signals.set_action(signal(USR1), [0x1000, 0, 0, 0]).unwrap();
        signals.set_mask(2, |_| u64::MAX);
        signals.send(To::Process, info(USR1, 7)).unwrap();
        assert!(!lines[0].take() && lines[1].take());
        assert_eq!(handled(&signals, 3), Some((10, 7)));
        signals.set_mask(3, |_| u64::MAX);
        signals.send(To::Process, info(USR1, 8)).unwrap();
        signals.set_mask(2, |_| 0);
        signals.leave(3);
        assert_eq!(handled(&signals, 2), Some((10, 8)));
        assert_eq!(
            signals.send(To::Thread(3), info(USR1, 0)),
            Err(Errno::ESRCH)
        );
    }

    #[test]
    fn what_is_ignored_is_dropped_and_what_is_deadly_kills() {
        let (signals, _) = signals();
        signals.send(To::Process, info(17, 0)).unwrap();
        assert_eq!(signals.take(2), None);
        signals.send(To::Process, info(15, 0)).unwrap();
        assert_eq!(signals.take(2), Some(Delivery::Death(signal(15))));
        signals.set_mask(2, |_| u64::MAX);
        signals.send(To::Thread(2), info(9, 0)).unwrap();
        assert_eq!(signals.take(2), Some(Delivery::Death(signal(9))));
        assert_eq!(
            signals.set_action(signal(9), [1, 0, 0, 0]),
            Err(Errno::EINVAL)
        );
    }

    #[test]
    fn a_handler_may_be_for_once() {
        let (signals, _) = signals();
        signals
            .set_action(signal(USR1), [0x1000, SA_RESETHAND, 0, 0])
            .unwrap();
        assert!(signals.has_handler(2, signal(USR1)));
        signals.send(To::Thread(2), info(USR1, 0)).unwrap();
        assert!(handled(&signals, 2).is_some());
        assert!(!signals.has_handler(2, signal(USR1)));
    }

    #[test]
    fn a_mask_that_is_lent_is_the_one_that_a_handler_goes_back_to() {
        let (signals, _) = signals();
        signals.set_action(signal(USR1), [0x1000, 0, 0, 0]).unwrap();
        signals.set_mask(2, |_| 1);
        signals.lend_mask(2, 2);
        signals.send(To::Thread(2), info(USR1, 0)).unwrap();
        let Some(Delivery::Handler { mask, .. }) = signals.take(2) else {
            panic!("it has a handler");
        };
        assert_eq!(mask, 1);
        signals.lend_mask(2, 2);
        signals.return_mask(2);
        assert_eq!(signals.mask(2), 2 | bit(signal(USR1)));
    }
}
