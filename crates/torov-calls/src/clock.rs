//! [`Clock`]: the time as the program reads it without a call, by the functions of the vDSO.
//!
//! A [`Line`] says what the clocks show at one value of the time stamp counter, and how fast they go. It is drawn when the
//! program asks and the last one has run out: through what the host's clocks say now, with the rate of the time since
//! [`Clock::try_new`] or, later, of the last tenth of a second. It is good for as long as that rate was measured, and never for longer
//! than a tenth of a second. So what the program reads is as far from the host's clock as one look at that is inexact, some ten
//! nanoseconds, and an adjustment of the host's clock is in it after a tenth of a second.
//!
//! Calls that ask for these clocks are answered by the same line: a program that asks both ways never sees time go back.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use torov_abi::word::low;
use torov_abi::{Errno, PAGE, number_of};
use torov_host as host;
use torov_memory::{Memory, Rights};
use torov_policy::Policy;
use torov_vcpu::tsc;
use torov_vcpu::vdso::{self, clock};

const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;

/// How long a line is good for at most, and how long a rate must have been measured to be one.
const LONGEST: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(1);

/// A look at the clocks that took more counts than this says too little: the thread was interrupted.
const PRECISE: u64 = 5000;

/// How far behind it is that the program knew of what it reads next may be: a step of the host's clock is none of the line's.
const STEP_NS: u64 = 20_000;

/// How many counts the program's counter may be behind the monitor's when its call arrives.
const ON_THE_WAY: u64 = 1 << 25;

/// So often may the counter and the clock disagree; then it is not looked at again.
const MISTAKES: u32 = 3;

/// The program's clock.
#[derive(Debug)]
pub struct Clock {
    /// Where the program sees the vDSO, and where the page of the clock lies in the RAM.
    image: u64,
    page: u64,
    state: Mutex<State>,
}

/// What the host's clocks showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    count: u64,
    monotonic: u64,
    real: u64,
}

/// What the clocks show from `from` on, as long as `span` counts have not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    from: Look,
    span: u64,
    /// Nanoseconds in a count, times 2^32.
    rate: u64,
}

#[derive(Debug)]
struct State {
    /// Where the measurement of the rate begins.
    anchor: Look,
    line: Option<Line>,
    /// The latest that was read of `CLOCK_MONOTONIC`.
    latest: u64,
    /// Whether the program's counter is known to be the monitor's.
    is_shared: bool,
    mistakes: u32,
}

impl Clock {
    /// Puts the vDSO of a program that `policy` binds at `at`, where [`vdso::PAGES`] must be free. `None` if the program may not
    /// ask for the time, if the counter does not keep it, or if there is no room.
    #[must_use]
    pub fn try_new(memory: &Memory, at: u64, policy: &Policy) -> Option<Self> {
        if !is_allowed(policy, "clock_gettime") || !tsc::is_invariant() {
            return None;
        }
        let anchor = Look::now()?;
        let page = put(memory, at, policy).ok()?;
        Some(Self::on(page, at, anchor))
    }

    /// Puts it where a program that comes from a snapshot had it. If the program may not ask for the time any more, or if the counter
    /// does not keep it here, the functions are there, and make calls.
    ///
    /// # Errors
    /// `EEXIST` if there is no room at `at`, or what else is wrong with the place.
    pub fn again(memory: &Memory, at: u64, policy: &Policy) -> Result<Option<Self>, Errno> {
        let page = put(memory, at, policy)?;
        let anchor = match is_allowed(policy, "clock_gettime") && tsc::is_invariant() {
            true => Look::now(),
            false => None,
        };
        Ok(anchor.map(|anchor| Self::on(page, at, anchor)))
    }

    /// The clock in the page `page` of the RAM, which the program has at `at`.
    fn on(page: u64, at: u64, anchor: Look) -> Self {
        Self {
            image: at + PAGE,
            page,
            state: Mutex::new(State {
                anchor,
                line: None,
                latest: 0,
                is_shared: false,
                mistakes: 0,
            }),
        }
    }

    /// Where the program finds the image: what `AT_SYSINFO_EHDR` says.
    #[must_use]
    pub fn image(&self) -> u64 {
        self.image
    }

    /// Where its pages begin.
    pub(crate) fn place(&self) -> u64 {
        self.image - PAGE
    }

    /// Whether `address` is in the image.
    pub(crate) fn holds(&self, address: u64) -> bool {
        (self.image..self.image + PAGE).contains(&address)
    }

    /// What `clock` shows, if it is one of this clock's. `counter` is what the program says of its counter with the call: if that is
    /// the monitor's, the program can read the clock itself from now on.
    ///
    /// # Errors
    /// What the host says to a look at its clocks.
    pub(crate) fn read(
        &self,
        memory: &Memory,
        clock: i32,
        counter: u64,
    ) -> Option<Result<Duration, Errno>> {
        // With the coarse ones.
        let is_real = match clock {
            0 | 5 => true,
            1 | 6 => false,
            _ => return None,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shared = tsc::read().wrapping_sub(counter) < ON_THE_WAY;
        let is_news = is_shared && !state.is_shared;
        state.is_shared |= is_shared;
        let (count, is_drawn) = state.renew();
        if is_drawn || is_news {
            self.publish(memory, state.line.filter(|_| state.is_shared));
        }
        Some(match (state.line, is_real) {
            (Some(line), true) => Ok(Duration::from_nanos(line.at(count).real)),
            (Some(line), false) => Ok(Duration::from_nanos(line.at(count).monotonic)),
            (None, true) => host::clock_get(REALTIME),
            (None, false) => host::clock_get(MONOTONIC).map(|time| {
                state.latest = state.latest.max(nanos(time));
                Duration::from_nanos(state.latest)
            }),
        })
    }

    /// Lets the program see `line`, or that there is none.
    fn publish(&self, memory: &Memory, line: Option<Line>) {
        let (ram, page) = (memory.ram(), self.page);
        let sequence = ram.shared_word(page + clock::SEQUENCE);
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        // Release: who sees one of the words below sees the odd number above.
        fence(Ordering::Release);
        if let Some(line) = line {
            ram.store(page + clock::START, line.from.count);
            ram.store(page + clock::RATE, line.rate);
            for (place, time) in [
                (clock::MONOTONIC, line.from.monotonic),
                (clock::REAL, line.from.real),
            ] {
                let time = Duration::from_nanos(time);
                ram.store(page + place, time.as_secs());
                ram.store(page + place + 8, time.subsec_nanos().into());
            }
        }
        ram.store(page + clock::SPAN, line.map_or(0, |line| line.span));
        // Release: who sees this number sees all words.
        sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}

fn is_allowed(policy: &Policy, call: &str) -> bool {
    number_of(call).is_some_and(|number| policy.knows(number.into()))
}

/// Puts the page of the clock at `at`, with no time in it, and the image behind it. Returns where the page lies in the RAM.
fn put(memory: &Memory, at: u64, policy: &Policy) -> Result<u64, Errno> {
    let page = memory.share_pages(at, 1, Rights::READ)?;
    let behind = at.checked_add(PAGE).ok_or(Errno::EINVAL)?;
    let image = memory.share_pages(behind, 1, Rights::READ_EXECUTE)?;
    let image_of = vdso::image(|call| is_allowed(policy, call));
    memory.ram().write(image, &image_of);
    // A thread that was in the middle of reading when a snapshot was made must not take this clock for the one that it knew.
    let sequence = low(tsc::read()) & !1;
    let word = memory.ram().shared_word(page + clock::SEQUENCE);
    word.store(sequence, Ordering::Relaxed);
    Ok(page)
}

impl Look {
    /// Looks at the host's clocks, some times if need be. `None` if the thread was interrupted each time.
    fn now() -> Option<Self> {
        (0..8).find_map(|_| {
            let before = tsc::read();
            let monotonic = host::clock_get(MONOTONIC).ok()?;
            let between = tsc::read();
            let real = host::clock_get(REALTIME).ok()?;
            let after = tsc::read();
            // The clocks are read in the middle of the two halves; what lies between them is some ten nanoseconds, and it
            // does not matter to the second clock.
            (after.checked_sub(before)? <= PRECISE).then(|| Self {
                count: before + (between.saturating_sub(before)) / 2,
                monotonic: nanos(monotonic),
                real: nanos(real),
            })
        })
    }
}

impl Line {
    fn holds(&self, count: u64) -> bool {
        count.wrapping_sub(self.from.count) < self.span
    }

    /// What the clocks show at `count`, or at the end of the line.
    fn at(&self, count: u64) -> Look {
        let passed = count.saturating_sub(self.from.count).min(self.span);
        let passed = scaled(passed, self.rate);
        Look {
            count,
            monotonic: self.from.monotonic + passed,
            real: self.from.real + passed,
        }
    }
}

impl State {
    /// Sees to it that the line holds, if there can be one. Returns the counter now, and whether the line is another.
    fn renew(&mut self) -> (u64, bool) {
        let now = tsc::read();
        let Some(before) = self.line else {
            return self.draw(now);
        };
        if before.holds(now) {
            return (now, false);
        }
        // Nobody has read more of it than its end.
        self.latest = self.latest.max(before.at(now).monotonic);
        self.draw(now)
    }

    fn draw(&mut self, now: u64) -> (u64, bool) {
        let before = self.line.take();
        let look = Look::now().filter(|_| self.mistakes < MISTAKES);
        let Some(look) = look else {
            return (now, before.is_some());
        };
        match next(self.anchor, before, self.latest, look) {
            Drawn::Line(line) => {
                self.line = Some(line);
                let measured = look.monotonic.saturating_sub(self.anchor.monotonic);
                if measured >= nanos(LONGEST) {
                    self.anchor = look;
                }
            }
            Drawn::TooEarly => {}
            Drawn::Mistake => {
                self.mistakes += 1;
                self.anchor = look;
            }
        }
        (look.count, self.line.is_some() || before.is_some())
    }
}

/// What comes of drawing a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    Line(Line),
    /// The rate was not measured for long enough.
    TooEarly,
    /// Counter and clock do not go together.
    Mistake,
}

/// The line from `look` on, by the rate since `anchor`. It begins not before `latest`, and goes on with the real time of `before`
/// unless the host's was set.
fn next(anchor: Look, before: Option<Line>, latest: u64, look: Look) -> Drawn {
    let passed = look.monotonic.saturating_sub(anchor.monotonic);
    let counts = look.count.wrapping_sub(anchor.count);
    if passed < nanos(SHORTEST) {
        return Drawn::TooEarly;
    }
    // A counter slower than 100 MHz or faster than 100 GHz is none, or was set.
    if counts < passed / 10 || counts / 100 > passed {
        return Drawn::Mistake;
    }
    let rate = ratio(passed, counts);
    // The host's clock is adjusted by a two-thousandth at most (adjtimex(2)).
    let differs = before.is_some_and(|line| rate.abs_diff(line.rate) > line.rate / 500);
    if differs || latest > look.monotonic + STEP_NS {
        return Drawn::Mistake;
    }
    let mut from = look;
    from.monotonic = from.monotonic.max(latest);
    if let Some(before) = before {
        let known = before.at(look.count).real;
        if known.abs_diff(look.real) < STEP_NS {
            from.real = from.real.max(known);
        }
    }
    // The line ends where the host's clock will be, so that what it is ahead does not add up.
    let lasts = passed.min(nanos(LONGEST));
    let span = u64::try_from((u128::from(lasts) << 32) / u128::from(rate)).unwrap_or(0);
    let rises = lasts - (from.monotonic - look.monotonic);
    Drawn::Line(Line {
        from,
        span,
        rate: ratio(rises, span.max(1)),
    })
}

/// `nanos` in `counts`, times 2^32.
fn ratio(nanos: u64, counts: u64) -> u64 {
    u64::try_from((u128::from(nanos) << 32) / u128::from(counts)).unwrap_or(u64::MAX)
}

/// What so many counts are in nanoseconds.
fn scaled(counts: u64, rate: u64) -> u64 {
    u64::try_from((u128::from(counts) * u128::from(rate)) >> 32).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Drawn, Line, Look, next};

    /// A look at 2 GHz, `micros` after the first, when the clock is `ahead` nanoseconds ahead.
    fn look(micros: u64, ahead: u64) -> Look {
        let nanos = 1000 * micros + ahead;
        Look {
            count: 5_000_000_000 + 2000 * micros,
            monotonic: 7_000_000_000 + nanos,
            real: 9_000_000_000 + nanos,
        }
    }

    fn line(anchor: Look, before: Option<Line>, look: Look) -> Line {
        let latest = before.map_or(0, |before| before.at(look.count).monotonic);
        match next(anchor, before, latest, look) {
            Drawn::Line(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rate_takes_a_millisecond_and_is_good_for_as_long() {
        assert_eq!(next(look(0, 0), None, 0, look(900, 0)), Drawn::TooEarly);
        let line = line(look(0, 0), None, look(2000, 0));
        assert_eq!((line.rate, line.span), (1 << 31, 4_000_000));
        assert_eq!(line.at(line.from.count + 3000).monotonic, 7_002_001_500);
        assert!(line.holds(line.from.count) && !line.holds(line.from.count + line.span));
        assert!(!line.holds(line.from.count - 1));
    }

    #[test]
    fn no_line_is_good_for_more_than_a_tenth_of_a_second() {
        let line = line(look(0, 0), None, look(60_000_000, 0));
        assert_eq!(line.span, 200_000_000);
    }

    #[test]
    fn time_does_not_go_back_and_what_it_is_ahead_is_made_up_for() {
        // The first look was late by 300 ns, so the first line is ahead.
        let first = line(look(0, 0), None, look(10_000, 300));
        let known = first.at(look(20_000, 0).count);
        assert!(known.monotonic > look(20_000, 0).monotonic);
        let second = line(look(0, 0), Some(first), look(20_000, 0));
        assert!(second.from.monotonic >= known.monotonic);
        let end = second.at(second.from.count + second.span).monotonic;
        assert!(end.abs_diff(look(40_000, 0).monotonic) <= 2, "{end}");
    }

    #[test]
    fn real_time_may_be_set() {
        let first = line(look(0, 0), None, look(10_000, 0));
        let mut set = look(20_000, 0);
        set.real -= 5_000_000;
        assert_eq!(line(look(0, 0), Some(first), set).from.real, set.real);
        set.real = look(20_000, 0).real - 50;
        assert_eq!(
            line(look(0, 0), Some(first), set).from.real,
            look(20_000, 0).real
        );
    }

    #[test]
    fn a_counter_that_was_set_is_not_believed() {
        let first = line(look(0, 0), None, look(10_000, 0));
        let mut reset = look(20_000, 0);
        reset.count = 17;
        assert_eq!(next(look(0, 0), Some(first), 0, reset), Drawn::Mistake);
        let mut fast = look(20_000, 0);
        fast.count += 1_000_000;
        assert_eq!(next(look(0, 0), Some(first), 0, fast), Drawn::Mistake);
    }
}
