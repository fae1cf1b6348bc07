//! QEMU while it runs, and how it is brought to an end.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::qemu::{Monitor, Verdict};

/// The exit status of a program that a second Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// How often the end of QEMU is looked for.
const POLL: Duration = Duration::from_millis(10);

/// After a second Ctrl-C QEMU has so long to end by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs QEMU on this console until it ends. The first Ctrl-C or SIGTERM asks the image to end, the second ends the virtual machine.
pub(super) fn run(command: &mut Command, name: &str, monitor: &Path) -> Result<ExitCode> {
    let interrupts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&interrupts);
    ctrlc::set_handler(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    })?;
    // In a group of its own, so that Ctrl-C reaches this program alone; such a group must not read from the terminal.
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start QEMU; `cargo xtask setup` installs it")?;
    let mut asked = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        match interrupts.load(Ordering::SeqCst) {
            0 => {}
            1 if asked => {}
            1 => {
                asked = true;
                eprintln!(
                    "\n{name} is asked to end; Ctrl-C again ends the virtual machine at once"
                );
                if let Err(error) = press_power_button(monitor) {
                    eprintln!("it cannot be asked: {error:#}");
                    interrupts.fetch_add(1, Ordering::SeqCst);
                }
            }
            _ => {
                end(&mut child)?;
                eprintln!("\nthe virtual machine was ended");
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        thread::sleep(POLL);
    };
    match Verdict::from_status(status) {
        Verdict::Success => Ok(ExitCode::SUCCESS),
        verdict => bail!("{verdict}"),
    }
}

/// What ACPI tells the image.
fn press_power_button(monitor: &Path) -> Result<()> {
    Monitor::connect(monitor)?.ask("system_powerdown").map(drop)
}

/// Asks QEMU to end, so that it cleans up, and insists after a while.
fn end(child: &mut Child) -> Result<ExitStatus> {
    // A failure means that it has ended already.
    let _ = kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    Ok(child.wait()?)
}
