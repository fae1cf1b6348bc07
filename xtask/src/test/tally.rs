//! [`Tally`]: counts cases and prints a line for each.

use std::fmt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

/// What passed and what failed so far.
#[derive(Debug)]
pub(super) struct Tally {
    filter: Option<String>,
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
}

impl Tally {
    /// Counts the cases whose name holds `filter`, or all.
    pub(super) fn new(filter: Option<String>) -> Self {
        Self {
            filter,
            passed: 0,
            failed: Vec::new(),
            skipped: 0,
        }
    }

    /// The text that wanted names hold.
    pub(super) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// Whether the case of that name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.filter().is_none_or(|filter| name.contains(filter))
    }

    /// Runs a case on a thread of its own and gives it up after `timeout`.
    pub(super) fn case<F>(&mut self, name: &str, timeout: Duration, body: F)
    where
        F: FnOnce() -> Result<()> + Send + 'static,
    {
        if !self.wants(name) {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        // A panic drops the sender, and whoever gave up does not listen any more.
        thread::spawn(move || drop(sender.send(body())));
        let result = receiver
            .recv_timeout(timeout)
            .unwrap_or_else(|error| match error {
                mpsc::RecvTimeoutError::Timeout => Err(anyhow!("not done within {timeout:?}")),
                mpsc::RecvTimeoutError::Disconnected => Err(anyhow!("the case panicked")),
            });
        self.record(name, result);
    }

    /// Counts a case that has ended. `name` must be wanted.
    pub(super) fn record(&mut self, name: &str, result: Result<()>) {
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
        for name in &self.failed {
            writeln!(f, "failed: {name}")?;
        }
        if self.skipped > 0 {
            writeln!(f, "{} skipped", self.skipped)?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use anyhow::bail;

    use super::Tally;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn cases_are_counted_and_the_total_is_last() {
        let mut tally = Tally::new(None);
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
        let mut tally = Tally::new(None);
        tally.case("panics", LONG, || panic!("on purpose"));
        tally.case("hangs", Duration::from_millis(1), || {
            thread::park();
            Ok(())
        });
        assert!(tally.to_string().ends_with("0 passed, 2 failed"));
    }

    #[test]
    fn a_filter_leaves_cases_out() {
        let mut tally = Tally::new(Some("e2e".to_owned()));
        tally.case("guest a", LONG, || bail!("never runs"));
        tally.case("e2e b", LONG, || Ok(()));
        assert_eq!(tally.to_string(), "1 passed, 0 failed");
    }
}
