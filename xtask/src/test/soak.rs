//! `cargo xtask test --soak 10m`: the torture image for as long as was asked, half of it on each kind of machine.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};

use super::report::Report;
use super::tally::Tally;
use crate::build::{self, Image, Profile};
use crate::qemu::{Machine, Running, Verdict};
use crate::run::Wish;
use crate::workspace::Workspace;

const NAME: &str = "test-torture";

/// The machines, and the numbers of cores.
const MACHINES: [(Machine, u32); 2] = [(Machine::Q35, 4), (Machine::Microvm, 2)];

/// What the image takes beside the time that it was given.
const SLACK: Duration = Duration::from_secs(60);

/// How far apart the lines are that tell how far it is.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long QEMU takes to end when its console has.
const ENDING: Duration = Duration::from_secs(10);

/// What the image's own lines begin with.
const PREFIX: &str = "torture: ";

/// Runs the image on each machine, with `seed` or one from the clock.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, time: Duration, seed: Option<u64>) {
    let image = match build::build(workspace, NAME, Profile::Release) {
        Ok(image) => image,
        Err(error) => return tally.record("soak", Err(error)),
    };
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |since| since.as_secs() % 1_000_000)
    });
    let seconds = (time.as_secs() / MACHINES.len() as u64).max(1);
    for (machine, cores) in MACHINES {
        let name = format!(
            "soak: seed {seed} on {} with {cores} cores for {seconds} s",
            machine.name()
        );
        eprintln!("{name}");
        let (workspace, image) = (workspace.clone(), image.clone());
        let append = format!("-- seed={seed} seconds={seconds}");
        let limit = Duration::from_secs(seconds) + SLACK;
        tally.case(&name, limit + SLACK, move || {
            let machine = (machine, cores);
            passes(&workspace, &image, machine, append, limit)
        });
    }
}

fn passes(
    workspace: &Workspace,
    image: &Image,
    (machine, cores): (Machine, u32),
    append: String,
    limit: Duration,
) -> Result<()> {
    let package = workspace.appliance(NAME)?;
    let mut wish = Wish::of(package, machine)?;
    wish.cores = cores;
    wish.append = append;
    let vm = wish.vm(workspace, package, image)?;
    let mut running = Running::start(&vm.command())?;
    let (report, last) = follow(&running, Instant::now() + limit);
    outcome(&mut running, report).with_context(|| {
        format!("the last word was `{last}`; `cargo xtask test --soak 1m --seed N` begins there")
    })
}

/// Reads the console to its end, and shows a line of the image now and then. Also returns its last one.
fn follow(running: &Running, deadline: Instant) -> (Report, String) {
    let (mut report, mut last) = (Report::default(), String::new());
    let mut due = Instant::now();
    let lines = (0..).map_while(|index| running.line(index, deadline));
    for line in lines {
        report.feed(&line);
        if let Some(words) = line.strip_prefix(PREFIX) {
            words.clone_into(&mut last);
            if Instant::now() >= due {
                eprintln!("    {words}");
                due = Instant::now() + INTERVAL;
            }
        }
    }
    (report, last)
}

/// Whether the machine has ended, and all its cases well.
fn outcome(running: &mut Running, report: Report) -> Result<()> {
    let ended = running.wait(ENDING);
    let verdict = ended.context("the image was given a minute more than it was asked to take")?;
    ensure!(verdict == Verdict::Success, "{verdict}\n{}", running.tail());
    for (name, result) in report.finish("the report ends here") {
        if let Err(why) = result {
            bail!("{name}: {why}");
        }
    }
    Ok(())
}

/// Reads a time such as `90s`, `10m` or `1h`.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write 90s, 10m or 1h");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(
            parse_time(text).ok().map(|time| time.as_secs()),
            seconds,
            "{text}"
        );
    }

    #[test]
    fn times_have_a_unit() {
        check("90s", Some(90));
        check("10m", Some(600));
        check("1h", Some(3600));
        check("10", None);
        check("m", None);
        check("", None);
        check("5\u{e4}", None);
    }
}
