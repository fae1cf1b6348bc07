//! When the poller is worth its processor, and how long threads wait for it.

use std::time::Duration;

/// How long a thread looks for its answer before it goes outside: about what that costs.
const PATIENCE: Duration = Duration::from_micros(60);
/// Exits that follow each other this fast count as a burst; so many wake the poller.
const BURST_GAP: Duration = Duration::from_micros(400);
const BURST: u32 = 4;

/// How many looks of the shim take as long as its patience.
pub(super) fn looks() -> u32 {
    const SAMPLE: u32 = 64;
    let start = crate::thread::now();
    for _ in 0..SAMPLE {
        std::hint::spin_loop();
    }
    let took = crate::thread::now()
        .saturating_sub(start)
        .max(Duration::from_nanos(1));
    let looks = PATIENCE.as_nanos() * u128::from(SAMPLE) / took.as_nanos();
    u32::try_from(looks).unwrap_or(u32::MAX).clamp(100, 20_000)
}

/// Whether the poller is worth waiting for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trust {
    late: u32,
    answered: u64,
    /// Until when it rests, and for how long it did.
    until: Duration,
    rest: Duration,
}

impl Trust {
    /// After so many calls that came too late it is decided.
    const WINDOW: u32 = 8;
    /// So many answers make up for one of them: an exit costs so much more.
    const WORTH: u64 = 4;
    const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(640));

    /// A call was not answered in time. Whether the poller rests from now on.
    pub(super) fn late(&mut self, answered: u64, now: Duration) -> bool {
        self.late += 1;
        if self.late < Self::WINDOW {
            return false;
        }
        let gained = answered.saturating_sub(self.answered);
        self.late = 0;
        self.answered = answered;
        if gained >= u64::from(Self::WINDOW) * Self::WORTH {
            self.rest = Duration::ZERO;
            return false;
        }
        let (shortest, longest) = Self::REST;
        self.rest = (self.rest * 2).clamp(shortest, longest);
        self.until = now + self.rest;
        true
    }

    pub(super) fn is_good(&self, now: Duration) -> bool {
        now >= self.until
    }
}

/// Notices bursts of calls of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burst {
    last: Duration,
    len: u32,
}

impl Burst {
    /// A call has come outside at `now`; whether it is one of many.
    pub(crate) fn add(&mut self, now: Duration) -> bool {
        let is_near = now.saturating_sub(self.last) < BURST_GAP;
        self.len = if is_near { self.len + 1 } else { 0 };
        self.last = now;
        self.len >= BURST
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Burst, Trust, looks};

    #[test]
    fn a_burst_is_many_calls_in_a_short_time() {
        let mut burst = Burst::default();
        let mut now = Duration::from_secs(1);
        let mut add = |micros| {
            now += Duration::from_micros(micros);
            burst.add(now)
        };
        assert!(!add(100) && !add(100) && !add(100) && !add(100));
        assert!(add(100) && add(100));
        assert!(!add(1000) && !add(100));
    }

    #[test]
    fn a_poller_of_no_use_rests_ever_longer() {
        let mut trust = Trust::default();
        let now = Duration::from_secs(1);
        let late = |trust: &mut Trust, answered| (0..8).any(|_| trust.late(answered, now));
        assert!(!late(&mut trust, 1000), "it answers most calls");
        assert!(trust.is_good(now));
        assert!(late(&mut trust, 1010));
        assert!(!trust.is_good(now + Duration::from_millis(4)));
        assert!(trust.is_good(now + Duration::from_millis(5)));
        assert!(late(&mut trust, 1010));
        assert!(!trust.is_good(now + Duration::from_millis(9)));
        assert!(!late(&mut trust, 2000), "it is of use again");
        assert!(late(&mut trust, 2000));
        assert!(trust.is_good(now + Duration::from_millis(5)));
    }

    #[test]
    fn patience_is_a_number_of_looks() {
        assert!((100..=20_000).contains(&looks()));
    }
}
