//! `hello` on every machine, small memories, and what an idle image costs.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::TIMEOUT;
use crate::build::{self, Image, Profile};
use crate::qemu::{Machine, Memory, Running, Verdict};
use crate::run::Wish;
use crate::test::Depth;
use crate::test::tally::Tally;
use crate::workspace::{Package, Workspace};

/// The name of the case that [`idles`] is.
pub(super) const IDLE: &str = "e2e: an idle server uses under 2 % of a core";

/// The name of the deep case: the same for longer, on two cores, with less.
pub(super) const IDLE_MINUTE: &str = "e2e: a minute idle on two cores uses under 1 % of a core";

/// How often it is looked whether an image is idle.
const LOOKS: usize = 6;

/// From start to power-off, on a busy machine.
const END_TIMEOUT: Duration = Duration::from_secs(300);

/// Boots `hello`.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, _: Depth) {
    let on = |machine: Machine| format!("e2e: hello on {}", machine.name());
    let small = "e2e: hello runs in 2 MiB";
    let tiny = "e2e: too little memory ends with a message";
    let mut names: Vec<String> = Machine::ALL.map(on).to_vec();
    let mountless = "e2e: an image without file systems says that it mounts nothing";
    names.extend([small, tiny, mountless].map(str::to_owned));
    if !names.iter().any(|name| tally.wants(name)) {
        return;
    }
    let hello = workspace.appliance("hello").cloned();
    let built = hello.and_then(|hello| {
        let image = build::build(workspace, "hello", Profile::Release)?;
        Ok((hello, image))
    });
    let (hello, image) = match built {
        Ok(built) => built,
        Err(error) => return tally.record("e2e: hello", Err(error)),
    };
    let case = |machine: Machine, memory: Option<Memory>| {
        let (workspace, hello, image) = (workspace.clone(), hello.clone(), image.clone());
        move || greets(&workspace, &hello, &image, machine, memory)
    };
    for machine in Machine::ALL {
        tally.case(&on(machine), TIMEOUT, case(machine, None));
    }
    tally.case(small, TIMEOUT, case(Machine::Pc, Some(Memory::MIB * 2)));
    let (workspace, hello, image) = (workspace.clone(), hello.clone(), image.clone());
    let (of, package, built) = (workspace.clone(), hello.clone(), image.clone());
    tally.case(tiny, TIMEOUT, move || complains(&of, &package, &built));
    tally.case(mountless, TIMEOUT, move || {
        mounts_nothing(&workspace, &hello, &image)
    });
}

/// It prints its line and powers off.
fn greets(
    workspace: &Workspace,
    hello: &Package,
    image: &Image,
    machine: Machine,
    memory: Option<Memory>,
) -> Result<()> {
    let mut wish = Wish::of(hello, machine)?;
    wish.memory = memory.unwrap_or(wish.memory);
    let vm = wish.vm(workspace, hello, image)?;
    let mut running = Running::start(&vm.command())?;
    let verdict = running.wait(END_TIMEOUT)?;
    let tail = running.tail();
    ensure!(verdict == Verdict::Success, "{verdict}\n{tail}");
    let greeted = running
        .lines()
        .iter()
        .any(|line| line.contains("hello from Toro"));
    ensure!(greeted, "it did not say hello\n{tail}");
    Ok(())
}

/// With no memory behind the image it says so and ends as a failure.
fn complains(workspace: &Workspace, hello: &Package, image: &Image) -> Result<()> {
    let mut wish = Wish::of(hello, Machine::Pc)?;
    // Firmware must find room beside the image, or it writes into it; so a share for each of many cores makes memory scarce.
    (wish.memory, wish.cores) = (Memory::MIB * 2, 32);
    let vm = wish.vm(workspace, hello, image)?;
    let mut running = Running::start(&vm.command())?;
    let verdict = running.wait(END_TIMEOUT)?;
    let tail = running.tail();
    ensure!(verdict == Verdict::Failure, "{verdict}\n{tail}");
    let said = running.lines().iter().any(|line| line.contains("memory"));
    ensure!(said, "it did not name the cause\n{tail}");
    Ok(())
}

/// What asks for a mount is not passed over in silence, and the service runs all the same.
fn mounts_nothing(workspace: &Workspace, hello: &Package, image: &Image) -> Result<()> {
    let mut wish = Wish::of(hello, Machine::Pc)?;
    wish.append = "mount=/data:fat:blk0".to_owned();
    let vm = wish.vm(workspace, hello, image)?;
    let mut running = Running::start(&vm.command())?;
    let verdict = running.wait(END_TIMEOUT)?;
    let tail = running.tail();
    ensure!(verdict == Verdict::Success, "{verdict}\n{tail}");
    for text in ["warn: mount= does nothing", "hello from Toro"] {
        let is_said = running.lines().iter().any(|line| line.contains(text));
        ensure!(is_said, "it did not say `{text}`\n{tail}");
    }
    Ok(())
}

/// The process comes to use no more than `percent` of a core while nobody asks for anything for `watched`.
///
/// What was asked before may have an echo, and the host may charge to a process what was taken from all of them: one that is not
/// idle is found busy each time.
pub(super) fn idles(pid: u32, watched: Duration, percent: u64) -> Result<()> {
    // A tick is 10 ms, so a second has 100.
    let most = percent * watched.as_secs();
    let mut all = Vec::new();
    while all.len() < LOOKS {
        let before = ticks(pid)?;
        thread::sleep(watched);
        let used = ticks(pid)? - before;
        println!("        {used} ticks of 10 ms in {watched:?}");
        if used <= most {
            return Ok(());
        }
        all.push(used);
    }
    bail!("it used {all:?} ticks of 10 ms in {watched:?} each")
}

/// Processor time of a process, in ticks of 10 ms.
fn ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th word behind it.
    let words = stat
        .rsplit_once(')')
        .context("no name in /proc/PID/stat")?
        .1;
    let mut words = words.split_whitespace().skip(11);
    let mut next = || {
        words
            .next()
            .and_then(|word| word.parse::<u64>().ok())
            .context("no time")
    };
    Ok(next()? + next()?)
}
