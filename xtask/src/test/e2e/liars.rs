//! Devices of the host that lie ([`toro_liar`]) under images as they are: nothing panics, the image says what was wrong where it matters,
//! and what else it does goes on.
//!
//! A machine has many such devices, each with a scenario of its own, and an honest one by which it serves: a lie costs no boot.

mod cards;
mod disks;
mod folders;
mod sockets;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use toro_liar::{Back, Liar};

use crate::qemu::{Running, Vm};
use crate::test::Depth;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// What a lie leads to comes within this time, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(20);

/// How a device lies, and what comes of it.
struct Scenario {
    name: &'static str,
    back: Box<dyn Back>,
    /// Options of QEMU's device, each behind a comma.
    options: &'static str,
    /// What the console says because of it.
    says: Vec<String>,
    /// How many lies it tells at least.
    lies: u32,
    /// How many answers it gets at least.
    answers: u32,
}

impl Scenario {
    /// A device that tells a lie, without more to be seen of it.
    fn new(name: &'static str, back: impl Back + 'static) -> Self {
        Self {
            name,
            back: Box::new(back),
            options: "",
            says: Vec::new(),
            lies: 1,
            answers: 0,
        }
    }

    /// The console says so; `#` stands for the number of the device.
    fn says(mut self, text: &str) -> Self {
        self.says.push(text.to_owned());
        self
    }

    /// QEMU's device has this option.
    fn with(mut self, options: &'static str) -> Self {
        self.options = options;
        self
    }

    /// It tells so many lies, at least.
    fn lies(mut self, lies: u32) -> Self {
        self.lies = lies;
        self
    }

    /// It gets so many answers, at least.
    fn answers(mut self, answers: u32) -> Self {
        self.answers = answers;
        self
    }
}

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    disks::run(workspace, tally, depth);
    folders::run(workspace, tally);
    cards::run(workspace, tally);
    sockets::run(workspace, tally);
}

/// A machine under attack.
struct Siege {
    running: Running,
    /// Where it serves, on this side.
    port: u16,
    attacks: Vec<(Scenario, Liar)>,
}

/// The name of a case.
fn case(kind: &str, name: &str) -> String {
    format!("e2e: a lying {kind}: {name}")
}

/// Adds a liar for each scenario to `vm`. `device` are the words for QEMU, with the number of the device, from `first` on, in place of `#`.
fn arm(
    workspace: &Workspace,
    vm: &mut Vm,
    kind: &str,
    scenarios: Vec<Scenario>,
    first: usize,
    device: &str,
) -> Result<Vec<(Scenario, Liar)>> {
    let size = vm.memory.qemu();
    let memory = format!("memory-backend-memfd,id=ram,size={size},share=on");
    vm.extra
        .extend(["-object", &memory, "-machine", "memory-backend=ram"].map(str::to_owned));
    let folder = workspace.target("run")?;
    let mut attacks = Vec::new();
    for (number, mut scenario) in (first..).zip(scenarios) {
        let number = number.to_string();
        for text in &mut scenario.says {
            *text = text.replace('#', &number);
        }
        let name = format!("liar-{}-{kind}{number}.sock", std::process::id());
        let back = std::mem::replace(&mut scenario.back, Box::new(Spent));
        let liar = Liar::start(&folder.join(name), back)?;
        let path = liar.path().display().to_string().replace(',', ",,");
        let device = device.replace('#', &number);
        vm.extra.extend([
            "-chardev".to_owned(),
            format!("socket,id=liar{number},path={path}"),
        ]);
        for words in device.split(' ') {
            vm.extra.push(words.to_owned());
        }
        let last = vm.extra.last_mut().expect("a device has words");
        last.push_str(scenario.options);
        attacks.push((scenario, liar));
    }
    Ok(attacks)
}

/// What is left of a scenario whose device has been started.
struct Spent;

impl Back for Spent {
    fn features(&self) -> u64 {
        0
    }

    fn work(&mut self, _: &mut toro_liar::Device<'_>) -> std::io::Result<toro_liar::Next> {
        Ok(toro_liar::Next::Disconnect)
    }
}

impl Siege {
    /// Waits until what is expected of every device has happened, one case each.
    fn judge(&mut self, kind: &str, tally: &mut Tally) {
        let deadline = Instant::now() + PATIENCE;
        for (scenario, liar) in &self.attacks {
            let name = case(kind, scenario.name);
            if tally.wants(&name) {
                let outcome = happens(&self.running, scenario, liar, deadline);
                tally.record(&name, outcome);
            }
        }
    }

    /// Fails if the machine has ended, or anything in it has panicked.
    fn check_calm(&mut self) -> Result<()> {
        self.running.check_alive()?;
        for line in self.running.lines() {
            let is_bad = ["panic on core", "panicked", " on core ", "backtrace"]
                .iter()
                .any(|word| line.contains(word) && !line.contains("dedicated"));
            ensure!(
                !is_bad,
                "the console says `{line}`\n{}",
                self.running.tail()
            );
        }
        Ok(())
    }
}

/// Waits for a scenario to take its course.
fn happens(running: &Running, scenario: &Scenario, liar: &Liar, deadline: Instant) -> Result<()> {
    loop {
        match has_happened(&running.lines(), scenario, liar) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                let tail = running.tail();
                return Err(error).with_context(|| format!("not within {PATIENCE:?}\n{tail}"));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

fn has_happened(lines: &[String], scenario: &Scenario, liar: &Liar) -> Result<()> {
    let is_said = |text: &&String| lines.iter().any(|line| line.contains(text.as_str()));
    if let Some(text) = scenario.says.iter().find(|text| !is_said(text)) {
        bail!("the console does not say `{text}`");
    }
    let (lies, answers) = (liar.lies(), liar.answers());
    ensure!(lies >= scenario.lies, "{lies} lies were told");
    ensure!(answers >= scenario.answers, "{answers} answers came");
    Ok(())
}

/// Runs one machine: `besiege` boots it, `serves` says whether it still does what it is for.
fn machine(
    kind: &str,
    names: &[&str],
    tally: &mut Tally,
    besiege: impl FnOnce() -> Result<Siege>,
    serves: impl Fn(&Siege) -> Result<()>,
) {
    let goes_on = case(kind, "the rest keeps serving");
    let is_wanted =
        tally.wants(&goes_on) || names.iter().any(|name| tally.wants(&case(kind, name)));
    if !is_wanted {
        return;
    }
    match besiege() {
        Ok(mut siege) => {
            let first = serves(&siege);
            siege.judge(kind, tally);
            let outcome = first
                .and_then(|()| serves(&siege))
                .and_then(|()| siege.check_calm());
            tally.record(&goes_on, outcome);
        }
        Err(error) => tally.record(&goes_on, Err(error)),
    }
}
