//! `torov bench`: how long a program takes from its start to its end, natively, under `strace -f` and in a virtual machine; without
//! a program, what a call costs.

mod calls;

use std::env;
use std::process::{Command as Process, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::options::Command;
use crate::start;

/// How often each way is taken; the ways take turns, so that what else the machine does meets all of them.
const ROUNDS: usize = 21;

/// Measures the program of `command` and prints a table.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let own = env::current_exe().map_err(|error| Failure::own(format!("where am I? {error}")))?;
    let own = own.display().to_string();
    if command.program.is_empty() && command.profile.is_none() {
        return calls::run(&own);
    }
    let words = start::program_of(command)?;
    // What stands behind the verb is handed on as it is.
    let rest: Vec<String> = env::args().skip(2).collect();
    let by_torov = |ring: &str| {
        let ring = format!("--ring={ring}");
        let mut words = vec![own.clone(), "run".to_owned(), ring];
        words.extend(rest.iter().cloned());
        words
    };
    let strace = ["strace", "-f", "-o", "/dev/null"]
        .map(str::to_owned)
        .to_vec();
    let ways = [
        ("native", words.clone()),
        ("strace -f", [strace, words].concat()),
        ("torov --ring=off", by_torov("off")),
        ("torov --ring=auto", by_torov("auto")),
    ];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, words), times) in ways.iter().zip(&mut times) {
            times.extend(once(words)?);
        }
    }
    println!(
        "{:<18} {:>11} {:>11}   of {ROUNDS} runs",
        "", "median ms", "least ms"
    );
    for ((name, _), mut times) in ways.into_iter().zip(times) {
        times.sort_unstable();
        match (times.get(times.len() / 2), times.first()) {
            (Some(median), Some(least)) => println!(
                "{name:<18} {:>11.3} {:>11.3}",
                millis(*median),
                millis(*least)
            ),
            _ => println!("{name:<18} it is not installed"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Runs `words` to their end with nothing to read and nowhere to write. `None` if the program is not there.
fn once(words: &[String]) -> Result<Option<Duration>, Failure> {
    let mut process = Process::new(&words[0]);
    process.args(&words[1..]).env_clear();
    process.envs(env::var_os("PATH").map(|path| ("PATH", path)));
    process
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begin = Instant::now();
    let output = match process.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output.map_err(|error| Failure::own(format!("{}: {error}", words[0])))?,
    };
    let took = begin.elapsed();
    // Its own status is its own affair; that it was not run at all is ours.
    match output.status.code() {
        Some(125..=127) | None => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(Failure::own(format!(
                "`{}` ended with {}: {errors}",
                words.join(" "),
                output.status
            )))
        }
        Some(_) => Ok(Some(took)),
    }
}

#[cfg(test)]
mod tests {
    use super::once;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_run_is_measured_whatever_its_status() {
        assert!(once(&words("true")).unwrap().is_some());
        assert!(once(&words("false")).unwrap().is_some());
    }

    #[test]
    fn what_is_not_there_is_no_measurement() {
        assert!(once(&words("/no/such/program x")).unwrap().is_none());
        assert!(once(&words("sh -c exit\t126")).is_err());
    }
}
