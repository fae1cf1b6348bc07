//! What a test image prints about its cases, one [`Line`] each.
//!
//! ```text
//! toro-test: 2 cases
//! toro-test: run wakes_a_parked_thread
//! toro-test: ok wakes_a_parked_thread
//! toro-test: run sleeps_for_a_while
//! toro-test: ok sleeps_for_a_while
//! toro-test: done
//! ```
//!
//! The number comes first and `run` comes before its case, so that nothing is lost in silence: a case that was
//! started but never ended has failed, a case that never started is missing from the number. Everything else
//! on the console is for people and is skipped.

use core::fmt;

/// How every report line begins.
pub const PREFIX: &str = "toro-test: ";

/// One line of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// So many cases follow.
    Cases(usize),
    /// The named case starts.
    Run(&'a str),
    /// The named case passed.
    Ok(&'a str),
    /// The named case failed, for the given reason.
    Failed(&'a str, &'a str),
    /// All cases were run.
    Done,
}

impl<'a> Line<'a> {
    /// Reads one line of the console; `None` if it is no report line.
    ///
    /// The line may carry a carriage return and may have other output before the prefix.
    pub fn parse(line: &'a str) -> Option<Self> {
        let at = line.find(PREFIX)?;
        let rest = line[at + PREFIX.len()..].trim_end();
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "run" => Some(Self::Run(tail)),
            "ok" => Some(Self::Ok(tail)),
            "FAILED" => Some(
                tail.split_once(": ")
                    .map_or(Self::Failed(tail, ""), |(name, why)| {
                        Self::Failed(name, why)
                    }),
            ),
            "done" => Some(Self::Done),
            _ if tail == "cases" => word.parse().ok().map(Self::Cases),
            _ => None,
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::Cases(count) => write!(f, "{count} cases"),
            Self::Run(name) => write!(f, "run {name}"),
            Self::Ok(name) => write!(f, "ok {name}"),
            Self::Failed(name, why) => write!(f, "FAILED {name}: {why}"),
            Self::Done => f.write_str("done"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Line;

    fn check(line: Line<'_>, text: &str) {
        assert_eq!(line.to_string(), text);
        assert_eq!(Line::parse(text), Some(line));
    }

    #[test]
    fn lines_read_back_as_they_were_written() {
        check(Line::Cases(12), "toro-test: 12 cases");
        check(Line::Run("a b"), "toro-test: run a b");
        check(Line::Ok("heap"), "toro-test: ok heap");
        check(
            Line::Failed("heap", "left: 1: 2"),
            "toro-test: FAILED heap: left: 1: 2",
        );
        check(Line::Done, "toro-test: done");
    }

    #[test]
    fn other_output_is_no_report() {
        assert_eq!(Line::parse("[ 0.001] info: 64 MiB"), None);
        assert_eq!(Line::parse("toro-test: whatever"), None);
        assert_eq!(Line::parse("toro-test: x cases"), None);
        assert_eq!(Line::parse(""), None);
    }

    #[test]
    fn carriage_returns_and_leading_output_are_skipped() {
        assert_eq!(
            Line::parse("\u{1b}[2Jtoro-test: ok heap\r\n"),
            Some(Line::Ok("heap"))
        );
    }
}
