//! Runs `wrk` and reads its report.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::proc;
use super::rounds::{Latency, Outcome};
use crate::process;

/// One run of `wrk`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    /// Keep-alive connections, each with one request under way.
    pub(crate) connections: u32,
    /// What is asked for.
    pub(crate) path: &'a str,
}

/// Loads the server at `address` for whole `seconds` from the client's core.
pub(crate) fn run(load: Load<'_>, address: Ipv4Addr, seconds: u64) -> Result<Outcome> {
    let mut command = proc::client("wrk");
    command.args(["-t1", "--latency", "--timeout", "10s"]);
    command
        .arg(format!("-c{}", load.connections))
        .arg(format!("-d{seconds}s"));
    command.arg(format!("http://{address}{}", load.path));
    let text = process::output(&mut command)
        .context("`wrk` (package wrk) did not run; `cargo xtask setup` installs it")?;
    parse(&text).with_context(|| format!("cannot read what wrk says:\n{text}"))
}

fn parse(text: &str) -> Option<Outcome> {
    let after = |key: &str| {
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with(key))?;
        line[key.len()..].split_whitespace().next()
    };
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    Some(Outcome {
        requests: requests.split_whitespace().next()?.parse().ok()?,
        rate: after("Requests/sec:")?.parse().ok()?,
        latency: Some(Latency {
            p50_ms: milliseconds(after("50%")?)?,
            p99_ms: milliseconds(after("99%")?)?,
        }),
        errors: errors(text),
        ..Outcome::default()
    })
}

/// `Socket errors: connect 0, read 2, write 0, timeout 1` and `Non-2xx or 3xx responses: 7`; often there is neither.
fn errors(text: &str) -> f64 {
    let lines = text.lines().map(str::trim);
    let bad = lines.filter(|l| l.starts_with("Socket errors") || l.starts_with("Non-2xx"));
    bad.flat_map(|line| line.split([' ', ',', ':']))
        .filter_map(|word| word.parse::<f64>().ok())
        .sum()
}

/// A time as `wrk` writes it: `512.00us`, `2.90ms`, `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..unit_at].parse().ok()?;
    let unit = match &text[unit_at..] {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        _ => return None,
    };
    Some(value * unit.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{milliseconds, parse};

    const REPORT: &str = "\
Running 2s test @ http://10.77.0.2/
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.12ms  512.00us  12.30ms   92.10%
    Req/Sec     3.20k   120.00     3.40k    80.00%
  Latency Distribution
     50%    2.90ms
     75%    3.30ms
     90%    3.90ms
     99%    6.40ms
  6412 requests in 2.00s, 5.40MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:   3206.11
Transfer/sec:      2.70MB
";

    #[test]
    fn reads_a_report() {
        let outcome = parse(REPORT).expect("a whole report");
        assert_eq!((outcome.requests, outcome.rate), (6412.0, 3206.11));
        let latency = outcome.latency.expect("wrk measures it");
        assert_eq!((latency.p50_ms, latency.p99_ms), (2.9, 6.4));
        // The 2 and the 3 of "Non-2xx or 3xx" are no counts.
        assert_eq!(outcome.errors, 7.0);
        assert_eq!(parse("unable to connect"), None);
    }

    #[test]
    fn reads_times_in_any_unit() {
        assert_eq!(milliseconds("250.00us"), Some(0.25));
        assert_eq!(milliseconds("1.50s"), Some(1500.0));
        assert_eq!(milliseconds("7"), None);
    }
}
