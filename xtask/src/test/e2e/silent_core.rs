//! A core that does not answer: it is named and left out, the others serve, and it may come later.
//!
//! QEMU's own debugger holds the core back: after the boot core has reached the kernel, it alone is let go. Until then the firmware
//! needs them all.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{TIMEOUT, services};
use crate::build::{self, Profile};
use crate::gdb;
use crate::qemu::{Forward, Machine, Running};
use crate::run::Wish;
use crate::setup::{self, Tool};
use crate::test::gdb::Gdb;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const NAME: &str = "e2e: a core that does not answer is left out, and harmless when it comes";

const APPLIANCE: &str = "echo";

/// What has to happen soon may take so long, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the case.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    let workspace = workspace.clone();
    tally.case(NAME, TIMEOUT, move || {
        setup::ensure(&[Tool::Gdb])?;
        let name = format!("toro-{}-silent.gdb", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let outcome = is_left_out(&workspace, &socket);
        // QEMU is killed when the case ends, and leaves its socket behind.
        let _ = std::fs::remove_file(&socket);
        outcome
    });
}

fn is_left_out(workspace: &Workspace, socket: &Path) -> Result<()> {
    let image = build::build(workspace, APPLIANCE, Profile::Release)?;
    let package = workspace.appliance(APPLIANCE)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    let forward = Forward::from_free_port(7)?;
    wish.ports = vec![forward];
    wish.cores = 3;
    let mut vm = wish.vm(workspace, package, &image)?;
    let stub = format!("unix:{},server=on,wait=off", socket.display());
    vm.extra.extend(["-S".to_owned(), "-gdb".to_owned(), stub]);
    let mut running = Running::start(&vm.command())?;
    let deadline = Instant::now() + PATIENCE;
    while !socket.exists() {
        running.check_alive()?;
        ensure!(Instant::now() < deadline, "QEMU's debugger does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    let (mut gdb, said) = Gdb::start(&gdb::command(workspace, &image, socket))?;
    ensure!(!said.contains("rror"), "gdb cannot connect:\n{said}");
    gdb.check("hbreak *toro_start", &["Hardware assisted breakpoint 1 at"])?;
    gdb.check("continue", &["hit Breakpoint 1", "toro_start"])?;
    gdb.check("print $_thread", &["= 1"])?;
    gdb.run("delete")?;
    // The boot core alone.
    gdb.run("set scheduler-locking on")?;
    gdb.begin("continue")?;
    let left_out = |id: u32| format!("the core with APIC id {id} does not answer and is left out");
    for text in [&left_out(1), &left_out(2), "listening"] {
        says(&mut running, text)?;
    }
    services::echoes(forward.host).context("while the others are silent")?;
    gdb.interrupt()?;
    gdb.end("continue")?;
    // Now the others: both startups wait for them.
    gdb.run("set scheduler-locking off")?;
    let late = "hbreak toro_core_left_out";
    gdb.check(late, &["Hardware assisted breakpoint 2 at"])?;
    gdb.check("continue", &["hit Breakpoint 2"])?;
    gdb.check("print $_thread > 1", &["= true"])?;
    gdb.run("delete")?;
    gdb.check("detach", &["detached"])?;
    services::echoes(forward.host).context("after they have come")?;
    running.check_alive()
}

/// Waits for a line with `text`.
fn says(running: &mut Running, text: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !running.lines().iter().any(|line| line.contains(text)) {
        running.check_alive()?;
        let tail = || running.tail();
        ensure!(Instant::now() < deadline, "no `{text}`\n{}", tail());
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
