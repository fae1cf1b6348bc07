//! `torov bench` without a program: what a call costs, natively, under `strace -f` and in a virtual machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, process};

use torov_vcpu::tsc;
use torov_vcpu::yardstick::{BATCH, file};

use crate::failure::Failure;

/// Measures and prints the table.
pub(super) fn run(own: &str) -> Result<ExitCode, Failure> {
    let program = Program::try_new()
        .map_err(|error| Failure::own(format!("a program to measure with: {error}")))?;
    let path = program.0.display().to_string();
    let ways = [
        ("native", vec![]),
        ("strace -f", vec!["strace", "-f", "-o", "/dev/null"]),
        ("torov --ring=off", vec![own, "run", "--ring=off", "--"]),
        ("torov --ring=on", vec![own, "run", "--ring=on", "--"]),
    ];
    let (start, count) = (Instant::now(), tsc::read());
    let mut rows = Vec::new();
    for (name, before) in ways {
        let measure = |what| {
            let words = [&before[..], &[&path, what]].concat();
            samples(&words)
        };
        rows.push((name, measure("write")?, measure("batch")?));
    }
    let counts = tsc::read().saturating_sub(count);
    let micros = start.elapsed().as_secs_f64() * 1e6 / count_of(counts);
    println!(
        "write of one byte, in us {:>13} {:>29}",
        "alone",
        format!("one of a batch of {BATCH}")
    );
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "median", "p99", "least", "median", "p99", "least"
    );
    for (name, alone, batch) in rows {
        let alone = shown(alone, micros);
        let batch = shown(batch, micros / f64::from(BATCH));
        println!("{name:<20} {alone} {batch}");
    }
    Ok(ExitCode::SUCCESS)
}

fn count_of(counts: u64) -> f64 {
    // More than a float holds exactly took months.
    f64::from(u32::try_from(counts >> 16).unwrap_or(u32::MAX)) * 65536.0
}

/// Median, the hundredth from above, and the least.
fn shown(samples: Outcome, micros: f64) -> String {
    let mut counts = match samples {
        Outcome::Counts(counts) => counts,
        Outcome::NotThere => return format!("{:<29}", "it is not to be had here"),
        Outcome::NoBatches => return format!("{:>9} {:>9} {:>9}", "-", "-", "-"),
    };
    counts.sort_unstable();
    let at = |part: usize| counts.get(counts.len() * part / 100).copied();
    let [median, late, least] =
        [at(50), at(99), at(0)].map(|count| f64::from(count.unwrap_or(0)) * micros);
    format!("{median:>9.2} {late:>9.2} {least:>9.2}")
}

/// What came of a run.
#[derive(Debug)]
enum Outcome {
    Counts(Vec<u32>),
    /// What it is to be run under is not there.
    NotThere,
    /// It knows of no batches.
    NoBatches,
}

fn samples(words: &[&str]) -> Result<Outcome, Failure> {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::NotThere),
        output => output.map_err(|error| Failure::own(format!("{}: {error}", words[0])))?,
    };
    match output.status.code() {
        Some(0) => {
            let counts = output.stdout.as_chunks::<4>().0;
            Ok(Outcome::Counts(
                counts
                    .iter()
                    .map(|bytes| u32::from_le_bytes(*bytes))
                    .collect(),
            ))
        }
        Some(2) => Ok(Outcome::NoBatches),
        // A host may let nobody trace.
        _ if words[0] == "strace" => Ok(Outcome::NotThere),
        _ => {
            let words = words.join(" ");
            Err(Failure::own(format!(
                "`{words}` ended with {}",
                output.status
            )))
        }
    }
}

/// The program as a file of its own, while it is needed.
struct Program(PathBuf);

impl Program {
    fn try_new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("torov-bench-{}", process::id()));
        let mut options = OpenOptions::new();
        // It must be a new one: the folder is everybody's.
        let mut place = options
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&path)?;
        let program = Self(path);
        place.write_all(file())?;
        Ok(program)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nobody misses it, and a folder that is gone has taken it along.
        let _ = fs::remove_file(Path::new(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Program, samples, shown};

    #[test]
    fn calls_are_measured_and_batches_are_none_on_linux() {
        let program = Program::try_new().unwrap();
        let path = program.0.display().to_string();
        let Outcome::Counts(counts) = samples(&[&path, "write"]).unwrap() else {
            panic!("it measures nothing");
        };
        assert_eq!(counts.len(), torov_vcpu::yardstick::ROUNDS);
        assert!(matches!(
            samples(&[&path, "batch"]).unwrap(),
            Outcome::NoBatches
        ));
        assert!(samples(&[&path]).is_err());
        assert!(matches!(
            samples(&["/no/such/program"]).unwrap(),
            Outcome::NotThere
        ));
    }

    #[test]
    fn a_row_has_the_middle_the_late_and_the_least() {
        let counts = Outcome::Counts((0..100).rev().collect());
        assert_eq!(shown(counts, 0.5), "    25.00     49.50      0.00");
    }
}
