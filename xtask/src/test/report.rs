//! [`Report`]: what a test image has told of its cases, line by line. Nothing that it promised is lost in silence.

use toro_abi::report::Line;

/// The cases of one image.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    promised: Option<usize>,
    running: Option<String>,
    ended: Vec<(String, Result<(), String>)>,
    done: bool,
}

impl Report {
    /// Takes a line of the console; true if it was a report line.
    pub(super) fn feed(&mut self, line: &str) -> bool {
        let Some(line) = Line::parse(line) else {
            return false;
        };
        match line {
            Line::Cases(count) => self.promised = Some(count),
            Line::Run(name) => {
                self.abandon();
                self.running = Some(name.to_owned());
            }
            Line::Ok(name) => self.end(name, Ok(())),
            Line::Failed(name, why) => self.end(name, Err(why.to_owned())),
            Line::Done => self.done = true,
        }
        true
    }

    /// The cases and how each ended, now that no line follows. `why` is said of those that were cut off.
    pub(super) fn finish(mut self, why: &str) -> Vec<(String, Result<(), String>)> {
        if let Some(name) = self.running.take() {
            self.ended.push((name, Err(why.to_owned())));
        }
        let known = self.ended.len();
        match self.promised {
            None => self
                .ended
                .push(("report".to_owned(), Err(format!("there was none: {why}")))),
            Some(promised) if promised != known => {
                let lost = format!("{known} of {promised} cases were run: {why}");
                self.ended.push(("report".to_owned(), Err(lost)));
            }
            Some(_) if !self.done => {
                self.ended
                    .push(("report".to_owned(), Err(format!("it has no end: {why}"))));
            }
            Some(_) => {}
        }
        self.ended
    }

    fn end(&mut self, name: &str, result: Result<(), String>) {
        if self.running.as_deref() == Some(name) {
            self.running = None;
        }
        self.ended.push((name.to_owned(), result));
    }

    /// A case that started and was followed by another without an end.
    fn abandon(&mut self) {
        if let Some(name) = self.running.take() {
            self.ended.push((name, Err("it never ended".to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    fn check(lines: &[&str], expected: &[(&str, bool)]) {
        let mut report = Report::default();
        for line in lines {
            report.feed(&format!("toro-test: {line}"));
        }
        let ended = report.finish("the image ended");
        let ended: Vec<(&str, bool)> = ended
            .iter()
            .map(|(name, result)| (name.as_str(), result.is_ok()))
            .collect();
        assert_eq!(ended, expected);
    }

    #[test]
    fn a_whole_report_has_a_verdict_for_each_case() {
        check(
            &["2 cases", "run a", "ok a", "run b", "ok b", "done"],
            &[("a", true), ("b", true)],
        );
        check(
            &["1 cases", "run a", "FAILED a: why", "done"],
            &[("a", false)],
        );
        check(&["0 cases", "done"], &[]);
    }

    #[test]
    fn a_case_that_ends_the_image_has_failed_and_the_rest_is_missed() {
        check(&["2 cases", "run a"], &[("a", false), ("report", false)]);
        check(&["1 cases", "run a"], &[("a", false), ("report", false)]);
        check(
            &["2 cases", "run a", "ok a"],
            &[("a", true), ("report", false)],
        );
    }

    #[test]
    fn a_report_without_beginning_or_end_has_failed() {
        check(&[], &[("report", false)]);
        check(
            &["run a", "ok a", "done"],
            &[("a", true), ("report", false)],
        );
        check(
            &["1 cases", "run a", "ok a"],
            &[("a", true), ("report", false)],
        );
    }

    #[test]
    fn a_case_without_an_end_has_failed() {
        check(
            &["2 cases", "run a", "run b", "ok b", "done"],
            &[("a", false), ("b", true)],
        );
    }
}
