//! The timers of the running core, and its clock.
//!
//! [`Timers`] decides and takes the time as an argument; the functions around it bring the time and arm the hardware. The
//! hardware is programmed anew only for a deadline that is earlier than what it is armed for: a cancelled timer leaves it
//! armed, and the interrupt that then finds nothing due costs less than disarming each time.

use core::cell::RefCell;
use core::task::Waker;
use core::time::Duration;

use toro_arch::tsc;
use toro_sync::PerCore;

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::instant::Instant;
use crate::queue::{TimerKey, TimerQueue};
use crate::system_time::SystemTime;

/// What one core knows about time.
struct Time {
    clock: Clock,
    alarm: Alarm,
    /// Borrowed for single steps, never while a waker runs.
    timers: RefCell<Timers>,
}

static TIME: PerCore<Time> = PerCore::new();

/// Starts the running core's clock and timers.
///
/// # Panics
/// Panics if it was called on this core before.
pub fn init(clock: Clock, alarm: Alarm) {
    TIME.init(Time {
        clock,
        alarm,
        timers: RefCell::new(Timers::new()),
    });
}

/// Whether the running core's clock goes.
pub fn is_init() -> bool {
    TIME.is_init()
}

impl Instant {
    /// The present moment; [`Instant::ZERO`] as long as the core has no clock.
    pub fn now() -> Self {
        TIME.try_with(Time::now).unwrap_or(Self::ZERO)
    }
}

/// How long `ticks` of the time stamp counter are; nothing as long as the core has no clock.
pub fn elapsed_in(ticks: u64) -> Duration {
    Duration::from_nanos(nanos_in(ticks))
}

/// How many nanoseconds `ticks` of the time stamp counter are; none as long as the core has no clock.
#[inline]
pub fn nanos_in(ticks: u64) -> u64 {
    TIME.try_with(|time| time.clock.nanos(ticks))
        .unwrap_or_default()
}

impl SystemTime {
    /// The time of day; the epoch as long as the core has no clock.
    pub fn now() -> Self {
        TIME.try_with(|time| time.clock.system_time(time.now()))
            .unwrap_or(Self::UNIX_EPOCH)
    }
}

/// Wakes `waker` once, at `deadline` or soon after, on this core.
pub fn wake_at(deadline: Instant, waker: &Waker) -> TimerKey {
    TIME.with(|time| {
        let waker = waker.clone();
        let (key, arm) = time.timers.borrow_mut().insert(deadline, waker);
        time.arm(arm);
        key
    })
}

/// Forgets a timer of this core and says whether it was still to fire.
pub fn cancel(key: TimerKey) -> bool {
    let waker = TIME.with(|time| time.timers.borrow_mut().queue.cancel(key));
    // The waker is dropped here, with nothing borrowed: it may be the last owner of a thread.
    waker.is_some()
}

/// Wakes whoever is due and arms the hardware for the next: the answer to the timer's interrupt.
pub fn expire() {
    TIME.with(|time| {
        let now = time.now();
        loop {
            let due = time.timers.borrow_mut().queue.pop_expired(now);
            match due {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
        let arm = time.timers.borrow_mut().rearm();
        time.arm(arm);
    });
}

/// The moment of this core's earliest timer.
pub fn next_deadline() -> Option<Instant> {
    TIME.with(|time| time.timers.borrow().queue.next_deadline())
}

impl Time {
    fn now(&self) -> Instant {
        self.clock.instant(tsc::read())
    }

    fn arm(&self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.alarm.arm(&self.clock, deadline);
        }
    }
}

/// The queue, and what the hardware is armed for.
struct Timers {
    queue: TimerQueue<Waker>,
    armed: Option<Instant>,
}

impl Timers {
    const fn new() -> Self {
        Self {
            queue: TimerQueue::new(),
            armed: None,
        }
    }

    /// Adds a timer, and says what to arm the hardware for, if anything.
    fn insert(&mut self, deadline: Instant, waker: Waker) -> (TimerKey, Option<Instant>) {
        let key = self.queue.insert(deadline, waker);
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return (key, None);
        }
        self.armed = Some(deadline);
        (key, self.armed)
    }

    /// What to arm the hardware for once it has fired, whether or not anything was due: a countdown may have ended early.
    fn rearm(&mut self) -> Option<Instant> {
        self.armed = self.queue.next_deadline();
        self.armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn insert(timers: &mut Timers, nanos: u64) -> Option<Instant> {
        timers.insert(at(nanos), Waker::noop().clone()).1
    }

    #[test]
    fn arms_the_hardware_only_for_an_earlier_deadline() {
        let mut timers = Timers::new();
        assert_eq!(insert(&mut timers, 50), Some(at(50)));
        assert_eq!(insert(&mut timers, 50), None);
        assert_eq!(insert(&mut timers, 60), None);
        assert_eq!(insert(&mut timers, 40), Some(at(40)));
        assert_eq!(insert(&mut timers, 45), None);
    }

    #[test]
    fn arms_for_the_next_once_it_has_fired() {
        let mut timers = Timers::new();
        insert(&mut timers, 10);
        insert(&mut timers, 20);
        assert!(timers.queue.pop_expired(at(15)).is_some());
        assert_eq!(timers.rearm(), Some(at(20)));
        assert!(timers.queue.pop_expired(at(20)).is_some());
        assert_eq!(timers.rearm(), None);
        assert_eq!(insert(&mut timers, 90), Some(at(90)));
    }

    #[test]
    fn arms_again_when_the_countdown_ended_early() {
        let mut timers = Timers::new();
        insert(&mut timers, 1_000_000);
        assert!(timers.queue.pop_expired(at(4000)).is_none());
        assert_eq!(timers.rearm(), Some(at(1_000_000)));
    }

    #[test]
    fn a_cancelled_timer_leaves_the_hardware_armed() {
        let mut timers = Timers::new();
        let (key, _) = timers.insert(at(10), Waker::noop().clone());
        assert!(timers.queue.cancel(key).is_some());
        assert_eq!(insert(&mut timers, 20), None);
        assert_eq!(timers.rearm(), Some(at(20)));
    }
}
