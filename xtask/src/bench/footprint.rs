//! What an image takes: bytes of its file, the smallest memory, the host's time and memory while it idles.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::boot::Kits;
use super::guests::{self, Kit};
use super::memory::smallest;
use super::proc;
use super::progress;
use super::report::Report;
use super::vm::Vm;
use crate::netns::Tap;
use crate::qemu::{Machine, Memory};

/// Memory is tried in steps of so many KiB.
const STEP_KIB: u64 = 256;
/// Boots of ours take well under a second; what has not answered by then will not.
const ENOUGH: Duration = Duration::from_secs(3);

/// Measures all of it, on microvm.
pub(super) fn measure(report: &mut Report, kits: &Kits, tap: Tap, quick: bool) -> Result<()> {
    for kit in kits.ours().chain(&kits.linux) {
        let case = case(kit);
        let bytes = kit.image_bytes()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "images are far below 2^52 bytes"
        )]
        report
            .series(case, "image size", "bytes")
            .add(kit.reference(), bytes as f64);
    }
    for kit in kits.ours() {
        memory_floor(report, kit, tap, 64, STEP_KIB, ENOUGH)?;
    }
    if let Some(linux) = kits.linux.as_ref().filter(|_| !quick) {
        memory_floor(report, linux, tap, 256, 1024, guests::patience(linux) / 4)?;
    }
    for kit in kits.web_server.iter().chain(&kits.linux) {
        idle(
            report,
            kit,
            tap,
            Duration::from_secs(if quick { 3 } else { 10 }),
        )?;
    }
    Ok(())
}

/// Linux stands beside `web-server`, whose work it does.
fn case(kit: &Kit) -> &str {
    if kit.reference().is_some() {
        "web-server"
    } else {
        kit.name()
    }
}

fn memory_floor(
    report: &mut Report,
    kit: &Kit,
    tap: Tap,
    most_mib: u64,
    step_kib: u64,
    patience: Duration,
) -> Result<()> {
    let found = smallest(step_kib, most_mib * 1024, |kib| {
        progress(&format!("smallest memory of {}: {kib} KiB", kit.name()));
        works(kit, tap, kib, patience)
    })?;
    match found {
        Some(kib) => {
            #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
            let mib = kib as f64 / 1024.0;
            report
                .series(case(kit), "smallest -m that works", "MiB")
                .add(kit.reference(), mib);
        }
        None => report.fail(format!("{} does not work with {most_mib} MiB", kit.name())),
    }
    Ok(())
}

/// True if the guest answers, or prints its line, with so much memory.
fn works(kit: &Kit, tap: Tap, kib: u64, patience: Duration) -> Result<bool> {
    let mut guest = kit.guest(Machine::Microvm, tap);
    guest.memory = format!("{kib}K").parse::<Memory>()?;
    // Failing is the point here, so once more is enough.
    guest.failures_forgiven = guest.failures_forgiven.min(1);
    if guest.tap.is_some() {
        return Ok(guests::boot_server(&guest, patience, None).is_ok());
    }
    Ok(Vm::start(&guest, None)?
        .wait_for_line("hello", patience)
        .is_some())
}

/// What the host spends on a server that nobody asks anything.
fn idle(report: &mut Report, kit: &Kit, tap: Tap, span: Duration) -> Result<()> {
    progress(&format!("{} idles for {} s", kit.name(), span.as_secs()));
    let guest = kit.guest(Machine::Microvm, tap);
    let (vm, _) = match guests::boot_server(&guest, guests::patience(kit), None) {
        Ok(started) => started,
        Err(error) => {
            report.fail(format!("{error:#}"));
            return Ok(());
        }
    };
    // Connections of the probe are still being closed, and Linux has work left over from its start.
    sleep(Duration::from_secs(3));
    let (before, since) = (vm.cpu_time(), Instant::now());
    sleep(span);
    let used = vm.cpu_time().since(before).total.as_secs_f64();
    let percent = 100.0 * used / since.elapsed().as_secs_f64();
    report
        .series(case(kit), "CPU of the host while idle", "% of a core")
        .add(kit.reference(), percent);
    if let Some(kib) = proc::resident_kib(vm.pid()) {
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
        let mib = kib as f64 / 1024.0;
        report
            .series(case(kit), "memory of QEMU with -m 256M", "MiB")
            .add(kit.reference(), mib);
    }
    Ok(())
}
