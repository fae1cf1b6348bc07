//! Runs `redis-benchmark` and reads its report.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::proc;
use super::rounds::{Latency, Outcome};
use crate::process;

/// One run of `redis-benchmark`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// `get` or `set`.
    pub(crate) command: &'static str,
    pub(crate) connections: u32,
    /// Commands under way on each connection.
    pub(crate) pipeline: u32,
}

/// Sends `requests` commands to the server at `address` from the client's core.
pub(crate) fn run(load: Load, address: Ipv4Addr, requests: u64) -> Result<Outcome> {
    let mut command = proc::client("redis-benchmark");
    command.args(["--csv", "-t", load.command]);
    command.args(["-h", &address.to_string()]);
    command.args(["-n", &requests.to_string()]);
    command.args(["-c", &load.connections.to_string()]);
    command.args(["-P", &load.pipeline.to_string()]);
    let text = process::output(&mut command).context(
        "`redis-benchmark` (package redis-tools) did not run; `cargo xtask setup` installs it",
    )?;
    let outcome = parse(&text, load.command)
        .with_context(|| format!("cannot read what redis-benchmark says:\n{text}"))?;
    // It stops at the first error, so all were answered.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    let requests = requests as f64;
    Ok(Outcome {
        requests,
        ..outcome
    })
}

/// `"test","rps","avg_latency_ms","min_…","p50_…","p95_…","p99_…","max_…"`, then a line for each command.
fn parse(text: &str, command: &str) -> Option<Outcome> {
    let name = command.to_ascii_uppercase();
    let line = text
        .lines()
        .map(|line| line.replace('"', ""))
        .find(|line| line.starts_with(&name))?;
    let fields: Vec<f64> = line
        .split(',')
        .skip(1)
        .map_while(|field| field.trim().parse().ok())
        .collect();
    match fields[..] {
        [rate, _, _, p50_ms, _, p99_ms, _] => Some(Outcome {
            rate,
            latency: Some(Latency { p50_ms, p99_ms }),
            ..Outcome::default()
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_a_report() {
        let report = "WARNING: Could not fetch server CONFIG\n\
            \"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\
            \"p99_latency_ms\",\"max_latency_ms\"\n\
            \"GET\",\"7462.69\",\"6.616\",\"0.416\",\"6.415\",\"9.583\",\"12.239\",\"31.103\"\n";
        let outcome = parse(report, "get").expect("a whole report");
        let latency = outcome.latency.expect("redis-benchmark measures it");
        assert_eq!(
            (outcome.rate, latency.p50_ms, latency.p99_ms),
            (7462.69, 6.415, 12.239)
        );
        assert_eq!(parse(report, "set"), None);
    }
}
