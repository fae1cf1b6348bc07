//! What a benchmark program prints about its measurements, one [`Sample`] each.
//!
//! ```text
//! toro-bench: toro | yield to nobody | 1200000 / 100000
//! ```
//!
//! Images and programs of the host print the same lines, so that the tool which compares them needs one reader. The unit of
//! the total is what the program was asked to count: nanoseconds or instructions.

use core::fmt;

/// How every sample begins.
const PREFIX: &str = "toro-bench: ";

/// One measurement: what so many operations cost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Who did it: `toro`, or what it is compared with.
    pub by: &'a str,
    /// What was done.
    pub name: &'a str,
    /// The cost of all operations.
    pub total: u64,
    /// How many there were.
    pub operations: u64,
}

impl<'a> Sample<'a> {
    /// Reads one line of the console; `None` if it is no sample.
    pub fn parse(line: &'a str) -> Option<Self> {
        let at = line.find(PREFIX)?;
        let mut fields = line[at + PREFIX.len()..].trim_end().split(" | ");
        let (by, name) = (fields.next()?, fields.next()?);
        let (total, operations) = fields.next()?.split_once(" / ")?;
        Some(Self {
            by,
            name,
            total: total.parse().ok()?,
            operations: operations.parse().ok()?,
        })
    }

    /// The cost of one operation.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn each(&self) -> f64 {
        self.total as f64 / self.operations.max(1) as f64
    }
}

impl fmt::Display for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            by,
            name,
            total,
            operations,
        } = self;
        write!(f, "{PREFIX}{by} | {name} | {total} / {operations}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Sample;

    #[test]
    fn a_sample_reads_back_as_it_was_written() {
        let sample = Sample {
            by: "std threads",
            name: "spawn + join",
            total: 1500,
            operations: 1000,
        };
        let text = sample.to_string();
        assert_eq!(text, "toro-bench: std threads | spawn + join | 1500 / 1000");
        assert_eq!(Sample::parse(&text), Some(sample));
        assert_eq!(sample.each(), 1.5);
    }

    #[test]
    fn other_lines_are_no_samples() {
        for line in [
            "",
            "toro-bench: ",
            "toro-bench: a | b | c / 2",
            "a | b | 1 / 2",
        ] {
            assert_eq!(Sample::parse(line), None, "{line}");
        }
    }
}
