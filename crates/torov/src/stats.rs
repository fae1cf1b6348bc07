//! [`Stats`]: how often each call was made, and how long it took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts by the number of the call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats(BTreeMap<u64, Line>);

#[derive(Clone, Debug, Default)]
struct Line {
    count: u64,
    errors: u64,
    total: Duration,
    longest: Duration,
    /// How many took less than 1, 2, 4, ... microseconds.
    histogram: [u64; 24],
}

impl Stats {
    pub(crate) fn add(&mut self, number: u64, result: u64, took: Duration) {
        let line = self.0.entry(number.min(512)).or_default();
        line.count += 1;
        line.errors += u64::from((-4095..0).contains(&result.cast_signed()));
        line.total += took;
        line.longest = line.longest.max(took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bits = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(0);
        line.histogram[bits.min(23)] += 1;
    }

    pub(crate) fn to_json(&self) -> String {
        let calls: Vec<String> = self
            .0
            .iter()
            .map(|(number, line)| json(*number, line))
            .collect();
        format!("{{\"calls\":[{}]}}\n", calls.join(","))
    }
}

fn name(number: u64) -> String {
    torov_abi::name_of(number).map_or_else(|| "unknown".to_owned(), str::to_owned)
}

fn json(number: u64, line: &Line) -> String {
    let histogram: Vec<String> = line.histogram.iter().map(ToString::to_string).collect();
    format!(
        "{{\"name\":\"{}\",\"count\":{},\"errors\":{},\"total_us\":{},\"longest_us\":{},\"below_us_powers_of_2\":[{}]}}",
        name(number),
        line.count,
        line.errors,
        line.total.as_micros(),
        line.longest.as_micros(),
        histogram.join(",")
    )
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<(&u64, &Line)> = self.0.iter().collect();
        lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.total));
        writeln!(
            f,
            "{:>9} {:>7} {:>11} {:>9} {:>9}  call",
            "count", "errors", "total us", "mean us", "max us"
        )?;
        for (number, line) in lines {
            let count = u32::try_from(line.count).unwrap_or(u32::MAX).max(1);
            let mean = line.total / count;
            writeln!(
                f,
                "{:>9} {:>7} {:>11} {:>9.1} {:>9}  {}",
                line.count,
                line.errors,
                line.total.as_micros(),
                mean.as_secs_f64() * 1e6,
                line.longest.as_micros(),
                name(*number)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Stats;

    #[test]
    fn calls_are_counted() {
        let mut stats = Stats::default();
        stats.add(1, 5, Duration::from_micros(3));
        stats.add(1, (-9_i64).cast_unsigned(), Duration::from_micros(5));
        stats.add(u64::MAX, 0, Duration::ZERO);
        let json = stats.to_json();
        assert!(
            json.contains(
                "\"name\":\"write\",\"count\":2,\"errors\":1,\"total_us\":8,\"longest_us\":5"
            ),
            "{json}"
        );
        assert!(json.contains("[0,0,1,1,0"), "{json}");
        assert!(stats.to_string().contains("unknown"));
    }
}
