//! `cargo xtask trace`: what it writes down of a server under load, and of a function that keeps its core.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::TIMEOUT;
use super::shutdown::Started;
use crate::test::chromium;
use crate::test::client::Client;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const EVENTS: &str = "e2e: a trace of a server under load is whole and in order";
const SAMPLES: &str = "e2e: a flame graph shows the function that keeps the core";

/// The image that knows such a function, and its name.
const BUSY: (&str, &str) = ("test-trace", "test_trace::keep_the_core");

/// Requests on one connection.
const REQUESTS: usize = 500;

/// Runs both.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for (name, case) in [
        (EVENTS, events as fn(&Workspace) -> Result<()>),
        (SAMPLES, samples),
    ] {
        let workspace = workspace.clone();
        tally.case(name, TIMEOUT, move || case(&workspace));
    }
}

fn events(workspace: &Workspace) -> Result<()> {
    let path = workspace.target("test")?.join("trace.json");
    let _ = fs::remove_file(&path);
    let output = path.to_str().context("a path that is no text")?;
    let mut run = Started::new(workspace, &["trace", "--cores", "2", "--output", output])?;
    let mut client = Client::connect(run.address)?;
    for _ in 0..REQUESTS {
        client.get("/")?.expect(200)?;
    }
    drop(client);
    run.interrupt()?;
    let status = run.ended()?;
    ensure!(status.code() == Some(0), "it ended with {status}");
    let text = fs::read_to_string(&path)?;
    let trace: Value = serde_json::from_str(&text)?;
    let entries = trace["traceEvents"]
        .as_array()
        .context("no array of events")?;
    let entries: Vec<Entry> = entries.iter().map(Entry::of).collect::<Result<_>>()?;
    in_order(&entries)?;
    let names = titles(&entries)?;
    slices(&entries, &names)?;
    requests(&entries)?;
    let kinds: BTreeSet<&str> = entries.iter().map(|entry| entry.name).collect();
    for kind in [
        "irq",
        "packet in",
        "packet out",
        "wake net",
        "heap",
        "idle",
        "net",
    ] {
        ensure!(kinds.contains(kind), "no `{kind}` among {kinds:?}");
    }
    browser(workspace, &text, entries.len())
}

/// A browser parses it, and finds in it what the readers of the format ask for.
fn browser(workspace: &Workspace, text: &str, count: usize) -> Result<()> {
    let folder = workspace.target("test")?;
    let page = folder.join("trace.html");
    // In a string of JSON the two are the same, and a page may not hold the first.
    let text = text.replace("</", "<\\/");
    fs::write(
        &page,
        include_str!("trace.html").replacen("TRACE", &text, 1),
    )?;
    let url = format!("file://{}", page.display());
    let shown = chromium::show(&folder, &url, &["--dump-dom"])?;
    let shown = String::from_utf8_lossy(&shown);
    let wanted = format!("<p id=\"verdict\">{count} events are valid</p>");
    ensure!(shown.contains(&wanted), "no `{wanted}` in\n{shown:.2000}");
    Ok(())
}

/// What every event has.
struct Entry<'a> {
    phase: &'a str,
    name: &'a str,
    /// Microseconds.
    time: f64,
    track: (u64, u64),
    all: &'a Value,
}

impl<'a> Entry<'a> {
    fn of(all: &'a Value) -> Result<Self> {
        let number = |key: &str| all[key].as_u64();
        let entry = || {
            Some(Self {
                phase: all["ph"].as_str()?,
                name: all["name"].as_str()?,
                time: all["ts"].as_f64()?,
                track: (number("pid")?, number("tid")?),
                all,
            })
        };
        entry().with_context(|| format!("{all} is no event"))
    }
}

fn in_order(entries: &[Entry<'_>]) -> Result<()> {
    for pair in entries.windows(2) {
        let (first, second) = (&pair[0], &pair[1]);
        ensure!(
            first.time <= second.time,
            "{} comes before {}",
            first.all,
            second.all
        );
    }
    Ok(())
}

/// The names of the tracks.
fn titles<'a>(entries: &[Entry<'a>]) -> Result<BTreeMap<(u64, u64), &'a str>> {
    let mut names = BTreeMap::new();
    let mut cores = Vec::new();
    for entry in entries.iter().filter(|entry| entry.phase == "M") {
        let name = entry.all["args"]["name"].as_str().context("a name")?;
        match entry.name {
            "process_name" => cores.push(name),
            _ => ensure!(
                names.insert(entry.track, name).is_none(),
                "{:?} has two names",
                entry.track
            ),
        }
    }
    ensure!(cores == ["core 0", "core 1"], "{cores:?}");
    for (core, wanted) in [(0, "net"), (0, "boot"), (0, "trace"), (1, "trace")] {
        let mut of_core = names.iter().filter(|((pid, _), _)| *pid == core);
        ensure!(
            of_core.any(|(_, name)| *name == wanted),
            "core {core} has no thread `{wanted}`: {names:?}"
        );
    }
    Ok(names)
}

/// A core runs one thread at a time, or none, under the thread's own name.
fn slices(entries: &[Entry<'_>], names: &BTreeMap<(u64, u64), &str>) -> Result<()> {
    let mut ends = BTreeMap::new();
    for slice in entries.iter().filter(|entry| entry.phase == "X") {
        let length = slice.all["dur"].as_f64().context("a slice has a length")?;
        ensure!(length >= 0.0, "{}", slice.all);
        let end: &mut f64 = ends.entry(slice.track.0).or_default();
        // Times are nanoseconds, told in microseconds.
        ensure!(
            slice.time > *end - 0.000_5,
            "{} begins before {end}",
            slice.all
        );
        *end = slice.time + length;
        let expected = match slice.track {
            (_, 0) => Some("idle"),
            track => names.get(&track).copied(),
        };
        ensure!(
            expected == Some(slice.name),
            "{} is the thread {expected:?}",
            slice.all
        );
    }
    ensure!(ends.len() == 2, "{} cores ran", ends.len());
    Ok(())
}

/// Every request has its beginning and its end.
fn requests(entries: &[Entry<'_>]) -> Result<()> {
    let mut open = BTreeMap::new();
    let mut count = 0;
    for entry in entries.iter().filter(|entry| entry.all["cat"] == "request") {
        let id = entry.all["id"].as_u64().context("a request has a number")?;
        ensure!(entry.name == "http", "{}", entry.all);
        match entry.phase {
            "b" => ensure!(
                open.insert(id, entry.time).is_none(),
                "{} begins twice",
                entry.all
            ),
            "e" => {
                let begun = open.remove(&id);
                ensure!(
                    begun.is_some_and(|begun| begun <= entry.time),
                    "{} did not begin",
                    entry.all
                );
                count += 1;
            }
            phase => bail!("a request has the phase {phase}"),
        }
    }
    ensure!(open.is_empty(), "{open:?} do not end");
    // The last moments before the end of the machine are not in the trace.
    ensure!(count >= REQUESTS / 5, "{count} requests of {REQUESTS}");
    Ok(())
}

fn samples(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target("test")?;
    let (folded, flame) = (folder.join("folded.txt"), folder.join("flame.svg"));
    let output = Command::new(env::current_exe()?)
        .arg("trace")
        .arg("--folded")
        .arg(&folded)
        .arg("--flame")
        .arg(&flame)
        .args([BUSY.0, "--cores", "1", "--", "busy"])
        .stdin(Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}:\n{told}", output.status);
    let (mut all, mut inside) = (0, 0);
    for line in fs::read_to_string(&folded)?.lines() {
        let (stack, count) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        let count: u64 = count.parse().with_context(|| line.to_owned())?;
        all += count;
        if stack.split(';').any(|function| function == BUSY.1) {
            ensure!(stack.starts_with("boot;"), "in the wrong thread: {line}");
            inside += count;
        }
    }
    // It samples itself 200 times in that function, the last moments of which are not in the trace.
    ensure!(
        inside > 100 && inside * 2 > all,
        "{inside} of {all} samples:\n{told}"
    );
    let drawing = fs::read_to_string(&flame)?;
    ensure!(
        drawing.contains("<svg") && drawing.contains(BUSY.1),
        "this is no flame graph:\n{drawing}"
    );
    Ok(())
}
