//! [`Alarms`]: timers that send signals (`alarm`, `setitimer`, `timer_create`).
//!
//! One thread of the monitor waits for the next of them. It starts with the first timer and ends when none is set.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use torov_abi::{Errno, Signal};
use torov_host as host;

use super::{Info, SI_KERNEL, Signals, To};
use crate::families::timers::CLOCKS;

/// The timer of `alarm` and of `ITIMER_REAL`; those of `timer_create` have numbers from 0 on.
pub(crate) const REAL: i32 = -1;

/// Those of `ITIMER_VIRTUAL` and `ITIMER_PROF`, which go by processor time.
pub(crate) const VIRTUAL: i32 = -2;
pub(crate) const PROF: i32 = -3;

/// The clock of the processor time that the program and its monitor have used.
const PROCESSOR: i32 = 2;

/// So often at most is looked at that clock, as Linux does.
const TICK: Duration = Duration::from_millis(4);

/// How many timers a program may make.
const MOST: usize = 256;

const MONOTONIC: i32 = 1;

/// When a timer goes off, and then how often. Zero is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) value: Duration,
    pub(crate) interval: Duration,
}

#[derive(Debug)]
struct Timer {
    clock: i32,
    /// By the timer's clock.
    due: Option<Duration>,
    interval: Duration,
    /// To whom the signal goes, if any.
    notifies: Option<(To, Info)>,
    /// How often it went off more than it could tell.
    overrun: u64,
}

/// The timers of a program.
#[derive(Debug)]
pub(crate) struct Alarms {
    state: Mutex<State>,
    changed: Condvar,
    signals: Arc<Signals>,
}

/// A timer of a program that stands still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptTimer {
    /// Its number, or -1 to -3 for those of `setitimer`.
    pub number: i32,
    /// Its clock.
    pub clock: i32,
    /// Nanoseconds until it goes off, or 0 if it is not set, and then from one time to the next.
    pub nanos: [u64; 2],
    /// How often it went off more than it could tell.
    pub overrun: u64,
    /// To whom the signal goes that it sends: a thread, or 0 for the program; then the signal's number, its code, and the two words
    /// of a `siginfo_t`.
    pub sends: Option<[u64; 5]>,
}

#[derive(Debug, Default)]
struct State {
    timers: BTreeMap<i32, Timer>,
    /// Whether there is a thread.
    runs: bool,
    /// Nothing goes off any more: the program is written down.
    is_still: bool,
}

impl Alarms {
    /// No timers; what they send goes to `signals`.
    pub(crate) fn new(signals: &Arc<Signals>) -> Self {
        let timer = |(number, clock, signal): (i32, i32, i32)| {
            let info = |signal| Info {
                signal,
                code: SI_KERNEL,
                words: [0; 2],
            };
            let timer = Timer {
                clock,
                due: None,
                interval: Duration::ZERO,
                notifies: Signal::new(signal).map(|signal| (To::Process, info(signal))),
                overrun: 0,
            };
            (number, timer)
        };
        // SIGALRM, SIGVTALRM, SIGPROF.
        let own = [
            (REAL, MONOTONIC, 14),
            (VIRTUAL, PROCESSOR, 26),
            (PROF, PROCESSOR, 27),
        ];
        let state = State {
            timers: own.map(timer).into(),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            signals: Arc::clone(signals),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a timer and returns its number. `notifies` is asked with the number.
    ///
    /// # Errors
    /// `EAGAIN` if there are too many.
    pub(crate) fn create(
        &self,
        clock: i32,
        notifies: impl FnOnce(i32) -> Option<(To, Info)>,
    ) -> Result<i32, Errno> {
        let mut state = self.lock();
        if state.timers.len() > MOST {
            return Err(Errno::EAGAIN);
        }
        let free = (0..).find(|number| !state.timers.contains_key(number));
        let number = free.ok_or(Errno::EAGAIN)?;
        state.timers.insert(
            number,
            Timer {
                clock,
                due: None,
                interval: Duration::ZERO,
                notifies: notifies(number),
                overrun: 0,
            },
        );
        Ok(number)
    }

    /// What there is, and how it is set. Nothing goes off any more.
    ///
    /// # Errors
    /// What the host says of a clock.
    pub(crate) fn keep(&self) -> Result<Vec<KeptTimer>, Errno> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        state.is_still = true;
        let mut kept = Vec::new();
        for (number, timer) in &state.timers {
            if *number < 0 && timer.due.is_none() {
                continue;
            }
            let setting = timer.setting(host::clock_get(timer.clock)?);
            kept.push(KeptTimer {
                number: *number,
                clock: timer.clock,
                nanos: [setting.value, setting.interval].map(nanos),
                overrun: timer.overrun,
                sends: timer.notifies.map(|(to, info)| info.plain(to)),
            });
        }
        Ok(kept)
    }

    /// Makes and sets timers as they were kept.
    ///
    /// # Errors
    /// `EINVAL` if there can be none like that, `EAGAIN` if there are too many, or if the host gives no thread.
    pub(crate) fn restore(self: &Arc<Self>, kept: &[KeptTimer]) -> Result<(), Errno> {
        if kept.len() > MOST {
            return Err(Errno::EAGAIN);
        }
        for timer in kept {
            let is_made = timer.number >= 0;
            if is_made && !CLOCKS.contains(&timer.clock) {
                return Err(Errno::EINVAL);
            }
            let notifies = timer.sends.map(Info::from_plain).transpose()?;
            if is_made {
                let made = Timer {
                    clock: timer.clock,
                    due: None,
                    interval: Duration::ZERO,
                    notifies,
                    overrun: 0,
                };
                self.lock().timers.insert(timer.number, made);
            }
            let [value, interval] = timer.nanos.map(Duration::from_nanos);
            self.set(timer.number, Setting { value, interval }, false)?;
            if let Some(made) = self.lock().timers.get_mut(&timer.number) {
                made.overrun = made.overrun.saturating_add(timer.overrun);
            }
        }
        Ok(())
    }

    /// Removes a timer.
    ///
    /// # Errors
    /// `EINVAL` if there is none of that number.
    pub(crate) fn delete(&self, number: i32) -> Result<(), Errno> {
        let removed = self.lock().timers.remove(&number);
        removed.map(drop).ok_or(Errno::EINVAL)
    }

    /// Sets a timer and returns how it was set.
    ///
    /// # Errors
    /// `EINVAL` if there is none of that number, `EAGAIN` if the host gives no thread to watch over it.
    pub(crate) fn set(
        self: &Arc<Self>,
        number: i32,
        new: Setting,
        absolute: bool,
    ) -> Result<Setting, Errno> {
        let mut state = self.lock();
        let timer = state.timers.get_mut(&number).ok_or(Errno::EINVAL)?;
        let now = host::clock_get(timer.clock)?;
        let old = timer.setting(now);
        timer.due = match new.value {
            Duration::ZERO => None,
            at if absolute => Some(at),
            wait => Some(now.saturating_add(wait)),
        };
        timer.interval = new.interval;
        timer.overrun = 0;
        if timer.due.is_some() && !state.runs {
            let alarms = Arc::clone(self);
            let thread = thread::Builder::new().stack_size(64 << 10);
            thread
                .spawn(move || alarms.watch())
                .map_err(|_| Errno::EAGAIN)?;
            state.runs = true;
        }
        self.changed.notify_one();
        Ok(old)
    }

    /// How a timer is set: what is left, and its interval.
    ///
    /// # Errors
    /// `EINVAL` if there is none of that number.
    pub(crate) fn get(&self, number: i32) -> Result<Setting, Errno> {
        let state = self.lock();
        let timer = state.timers.get(&number).ok_or(Errno::EINVAL)?;
        Ok(timer.setting(host::clock_get(timer.clock)?))
    }

    /// How often a timer went off more than it could tell.
    ///
    /// # Errors
    /// `EINVAL` if there is none of that number.
    pub(crate) fn overrun(&self, number: i32) -> Result<u64, Errno> {
        let state = self.lock();
        let timer = state.timers.get(&number).ok_or(Errno::EINVAL)?;
        Ok(timer.overrun.min(i32::MAX.unsigned_abs().into()))
    }

    /// The thread.
    fn watch(&self) {
        torov_interrupt::shut();
        let processors = u32::try_from(host::processors()).unwrap_or(1);
        let mut state = self.lock();
        loop {
            let mut next: Option<Duration> = None;
            if state.is_still {
                state.runs = false;
                return;
            }
            for timer in state.timers.values_mut() {
                // A clock that cannot be read now could not be read before: the timer would not have been set.
                let now = host::clock_get(timer.clock).unwrap_or_default();
                if let Some(notice) = timer.go_off(now) {
                    // Should too many wait already, this one is lost, as Linux loses it.
                    let _ = self.signals.send(notice.0, notice.1);
                }
                let left = timer.due.map(|due| match timer.clock {
                    // It goes as fast as all processors together at most.
                    PROCESSOR => (due.saturating_sub(now) / processors).max(TICK),
                    _ => due.saturating_sub(now),
                });
                next = [next, left].into_iter().flatten().min();
            }
            let Some(left) = next else {
                state.runs = false;
                return;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Timer {
    fn setting(&self, now: Duration) -> Setting {
        Setting {
            // Whatever is set has some time left, if only a moment.
            value: self.due.map_or(Duration::ZERO, |due| {
                due.saturating_sub(now).max(Duration::from_nanos(1))
            }),
            interval: self.interval,
        }
    }

    /// What to send if the timer is due, which then is set anew.
    fn go_off(&mut self, now: Duration) -> Option<(To, Info)> {
        let due = self.due.filter(|due| *due <= now)?;
        self.due = None;
        if !self.interval.is_zero() {
            let missed = (now - due).as_nanos() / self.interval.as_nanos();
            let missed = u32::try_from(missed).unwrap_or(u32::MAX - 1);
            self.overrun = missed.into();
            let next = self.interval.saturating_mul(missed + 1);
            self.due = Some(due.saturating_add(next));
        }
        self.notifies
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Timer;

    #[test]
    fn a_timer_that_is_late_counts_what_it_missed() {
        let mut timer = Timer {
            clock: 1,
            due: Some(Duration::from_secs(10)),
            interval: Duration::from_secs(2),
            notifies: None,
            overrun: 0,
        };
        assert_eq!(timer.go_off(Duration::from_secs(9)), None);
        assert_eq!(timer.due, Some(Duration::from_secs(10)));
        timer.go_off(Duration::from_secs(15));
        assert_eq!(
            (timer.due, timer.overrun),
            (Some(Duration::from_secs(16)), 2)
        );
        timer.interval = Duration::ZERO;
        timer.go_off(Duration::from_secs(16));
        assert_eq!(timer.due, None);
    }
}
