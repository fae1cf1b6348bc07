//! [`Tally`]: counts cases and prints a line for each.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Of so many cases it is told how long they took.
const LONGEST: usize = 12;

/// What passed and what failed so far.
///
/// Cases in a virtual machine depend on the machine below it, and one that fails there is run a second time, in a new
/// boot. If it passes then, it counts as passed and is listed as unsteady. A run forgives few of them: a kernel that
/// loses a wake-up now and then must not hide behind this.
#[derive(Debug)]
pub(super) struct Tally {
    filter: Option<String>,
    passed: usize,
    failed: Vec<String>,
    unsteady: Vec<String>,
    /// Shared with the other sides of a run.
    second_chances: Arc<AtomicUsize>,
    skipped: usize,
    /// When the last case was told of.
    since: Instant,
    /// How long cases took, with what was built for them.
    times: Vec<(Duration, String)>,
}

impl Tally {
    /// Counts the cases whose name holds `filter`, or all; `second_chances` of them may fail once.
    pub(super) fn new(filter: Option<String>, second_chances: usize) -> Self {
        Self {
            filter,
            passed: 0,
            failed: Vec::new(),
            unsteady: Vec::new(),
            second_chances: Arc::new(AtomicUsize::new(second_chances)),
            skipped: 0,
            since: Instant::now(),
            times: Vec::new(),
        }
    }

    /// An empty one for the same cases, for a side of tests that run side by side.
    pub(super) fn side(&self) -> Self {
        let filter = self.filter.clone();
        Self {
            second_chances: Arc::clone(&self.second_chances),
            ..Self::new(filter, 0)
        }
    }

    /// Adds what a side has counted.
    pub(super) fn add(&mut self, side: Self) {
        self.passed += side.passed;
        self.failed.extend(side.failed);
        self.unsteady.extend(side.unsteady);
        self.skipped += side.skipped;
        self.times.extend(side.times);
        self.since = Instant::now();
    }

    /// Whether no case was there to run.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.skipped == 0
    }

    /// The cases that took longest, if there were many.
    pub(super) fn longest(&self) -> Option<impl fmt::Display> {
        let mut times: Vec<_> = self.times.iter().collect();
        times.sort_by(|a, b| b.cmp(a));
        let lines = times.iter().take(LONGEST).map(|(time, name)| {
            let seconds = time.as_secs_f64();
            format!("{seconds:7.1} s  {name}\n")
        });
        (times.len() > LONGEST).then(|| lines.collect::<String>())
    }

    /// The text that wanted names hold.
    pub(super) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// Whether the case of that name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.filter().is_none_or(|filter| name.contains(filter))
    }

    /// Runs a case on a thread of its own and gives it up after `timeout`; once more if it fails.
    pub(super) fn case<F>(&mut self, name: &str, timeout: Duration, body: F)
    where
        F: FnOnce() -> Result<()> + Clone + Send + 'static,
    {
        if !self.wants(name) {
            return;
        }
        match run(timeout, body.clone()) {
            Err(first) if self.second_chance(name, &first) => {
                let second = run(timeout, body);
                if second.is_ok() {
                    self.unsteady(name, &first);
                }
                self.record(name, second);
            }
            result => self.record(name, result),
        }
    }

    /// Whether a case that has failed may be run again; says so, and counts it.
    pub(super) fn second_chance(&self, name: &str, error: &anyhow::Error) -> bool {
        let relaxed = Ordering::Relaxed;
        let one_less = |left: usize| left.checked_sub(1);
        let chance = self.second_chances.fetch_update(relaxed, relaxed, one_less);
        if chance.is_ok() {
            println!("again   {name}: {error:#}");
        }
        chance.is_ok()
    }

    /// Remembers a case that failed with `error` and passed when it was run again.
    pub(super) fn unsteady(&mut self, name: &str, error: &anyhow::Error) {
        self.unsteady.push(format!("{name}: {error:#}"));
    }

    /// Counts a case that has ended. `name` must be wanted.
    pub(super) fn record(&mut self, name: &str, result: Result<()>) {
        self.times.push((self.since.elapsed(), name.to_owned()));
        self.since = Instant::now();
        match result {
            Ok(()) => {
                println!("ok      {name}");
                self.passed += 1;
            }
            Err(error) => {
                println!("FAILED  {name}: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Says that a case cannot run here. It counts neither way.
    pub(super) fn skip(&mut self, name: &str, why: &str) {
        if self.wants(name) {
            println!("skipped {name}: {why}");
            self.skipped += 1;
        }
    }

    /// Whether nothing failed, and anything was tested at all.
    pub(super) fn is_success(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }
}

/// The failures once more, and the total as the last line.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.unsteady {
            writeln!(f, "unsteady, failed once and passed then: {case}")?;
        }
        for name in &self.failed {
            writeln!(f, "failed: {name}")?;
        }
        if self.skipped > 0 {
            writeln!(f, "{} skipped", self.skipped)?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// Runs `body` on a thread of its own and gives it up after `timeout`.
fn run(timeout: Duration, body: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    // A panic drops the sender, and whoever gave up does not listen any more.
    thread::spawn(move || drop(sender.send(body())));
    receiver
        .recv_timeout(timeout)
        .unwrap_or_else(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Err(anyhow!("not done within {timeout:?}")),
            mpsc::RecvTimeoutError::Disconnected => Err(anyhow!("the case panicked")),
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use anyhow::{bail, ensure};

    use super::Tally;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn cases_are_counted_and_the_total_is_last() {
        let mut tally = Tally::new(None, 0);
        assert!(!tally.is_success());
        tally.case("good", LONG, || Ok(()));
        assert!(tally.is_success());
        tally.case("bad", LONG, || bail!("why"));
        tally.skip("odd", "not here");
        assert!(!tally.is_success());
        assert_eq!(
            tally.to_string(),
            "failed: bad\n1 skipped\n1 passed, 1 failed"
        );
    }

    #[test]
    fn a_case_that_panics_or_hangs_has_failed() {
        let mut tally = Tally::new(None, 0);
        tally.case("panics", LONG, || panic!("on purpose"));
        tally.case("hangs", Duration::from_millis(1), || {
            thread::park();
            Ok(())
        });
        assert!(tally.to_string().ends_with("0 passed, 2 failed"));
    }

    #[test]
    fn a_filter_leaves_cases_out() {
        let mut tally = Tally::new(Some("e2e".to_owned()), 0);
        tally.case("guest a", LONG, || bail!("never runs"));
        tally.case("e2e b", LONG, || Ok(()));
        assert_eq!(tally.to_string(), "1 passed, 0 failed");
    }

    #[test]
    fn a_case_that_fails_once_is_named_and_passes() {
        let failed = Arc::new(AtomicBool::new(false));
        let body = move || {
            ensure!(failed.swap(true, Ordering::Relaxed), "why");
            Ok(())
        };
        let mut tally = Tally::new(None, 1);
        tally.case("shaky", LONG, body);
        assert_eq!(
            tally.to_string(),
            "unsteady, failed once and passed then: shaky: why\n1 passed, 0 failed"
        );
        assert!(tally.is_success());
    }

    #[test]
    fn a_case_that_fails_twice_has_failed_and_chances_run_out() {
        let mut tally = Tally::new(None, 1);
        tally.case("bad", LONG, || bail!("why"));
        let failed = Arc::new(AtomicBool::new(false));
        tally.case("late", LONG, move || {
            ensure!(failed.swap(true, Ordering::Relaxed), "why");
            Ok(())
        });
        assert_eq!(
            tally.to_string(),
            "failed: bad\nfailed: late\n0 passed, 2 failed"
        );
    }
}
