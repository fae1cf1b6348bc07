//! `cargo xtask bench http --units` and `bench kernel --units`: what it costs that an image can be looked into.
//!
//! An image with a unit and one without take turns under the same load, each booted anew, and are compared in guest instructions,
//! which a busy host does not change. The sizes need no run.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread;

use anyhow::Result;

use super::guests::{self, Kit};
use super::http::Wrk;
use super::plugin::Plugin;
use super::report::Report;
use super::rounds::{Client as _, Effort};
use super::wrk::Load;
use super::{Common, kernel, progress};
use crate::build::{self, Extras, Profile};
use crate::netns::{Lab, Tap};
use crate::qemu::{ConsolePort, Machine};
use crate::run::listener;
use crate::trace;
use crate::workspace::Workspace;

/// A way to have an image looked into, and how it is started.
struct Unit {
    /// In the results.
    name: &'static str,
    extras: Pick,
    append: &'static str,
    /// The console port that somebody reads.
    port: Option<&'static str>,
}

/// What is measured under load.
const LOADED: &[Unit] = &[
    Unit {
        name: "trace built in, off",
        extras: |extras| extras.trace = true,
        append: "",
        port: None,
    },
    Unit {
        name: "trace on",
        extras: |extras| extras.trace = true,
        append: "trace=on",
        port: None,
    },
    Unit {
        name: "trace on, read by the host",
        extras: |extras| extras.trace = true,
        append: "trace=trace",
        port: Some(trace::PORT),
    },
    Unit {
        name: "metrics on",
        extras: |extras| extras.metrics = true,
        append: "metrics=9100",
        port: None,
    },
    Unit {
        name: "timestamps",
        extras: |extras| extras.timestamps = true,
        append: "",
        port: None,
    },
];

/// Of those, what an image without network and console can do.
const KERNEL: usize = 2;

/// Picks a unit.
type Pick = fn(&mut Extras);

/// What the images grow by.
const SIZED: &[(&str, Pick)] = &[
    ("trace", |extras| extras.trace = true),
    ("metrics", |extras| extras.metrics = true),
    ("timestamps", |extras| extras.timestamps = true),
    ("large-windows", |extras| extras.large_windows = true),
    ("operator", |extras| extras.operator = true),
    ("pcap", |extras| extras.pcap = true),
    ("dump", |extras| extras.dump = true),
    ("shutdown", |extras| extras.shutdown = true),
    ("core-file", |extras| extras.core_file = true),
    ("gdb", |extras| extras.gdb = true),
];

/// The images whose size is told.
const IMAGES: &[&str] = &["hello", "web-server"];

fn extras(pick: Pick) -> Extras {
    let mut extras = Extras::default();
    pick(&mut extras);
    extras
}

/// Measures the web server.
pub(super) fn http(
    workspace: &Workspace,
    folder: &Path,
    machine: Machine,
    common: &Common,
) -> Result<()> {
    let server = |extras| Kit::server(workspace, folder, "web-server", extras);
    let bare = server(Extras::default())?;
    let mut kits = Vec::new();
    for unit in LOADED {
        let mut kit = server(extras(unit.extras))?;
        kit.also(unit.append);
        if let Some(name) = unit.port {
            let path = folder.join(format!("{name}.sock"));
            let port: ConsolePort = format!("{name}={}", path.display()).parse()?;
            kit.hardware.console_ports.push(port);
        }
        kits.push((unit, kit));
    }
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter_with(1, 1)?;
    let mut report = Report::new("http-units");
    for round in 0..common.runs(5, 2) {
        progress(&format!("round {} of {}", round + 1, common.runs(5, 2)));
        let without = requests(&bare, machine, common, lab.tap(0), &plugin)?;
        for (unit, kit) in &kits {
            let with = requests(kit, machine, common, lab.tap(0), &plugin)?;
            for ((case, with), (_, without)) in with.iter().zip(&without) {
                let series = report.series(case, unit.name, "instructions");
                series.add(None, *with);
                series.add(Some(WITHOUT), *without);
            }
        }
    }
    sizes(workspace, &mut report)?;
    report.note("Guest instructions per request, and bytes of the image; ratio = with the unit / without it.");
    report.write(folder)
}

/// What is compared with.
const WITHOUT: &str = "without";

/// The instructions of a request in each case.
fn requests(
    kit: &Kit,
    machine: Machine,
    common: &Common,
    tap: Tap,
    plugin: &Plugin,
) -> Result<Vec<(&'static str, f64)>> {
    let counter = plugin.counter(kit.name(), false);
    let guest = kit.guest(machine, tap);
    let (vm, _) = guests::boot_server(&guest, guests::patience(kit), Some(&counter.argument))?;
    vm.pin()?;
    let ports = guest.hardware.console_ports.iter();
    for socket in ports.filter_map(|port| port.path.clone()) {
        let mut stream = listener::connect(&socket)?;
        // It ends with the machine.
        thread::spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while stream.read(&mut bytes).is_ok_and(|len| len > 0) {}
        });
    }
    let peer = kit.peer(tap);
    Wrk::run(Wrk::CASES[Wrk::WARM_UP].1, &peer, Effort::Little)?;
    // A long file takes so many packets that rounds differ by more than what is looked for.
    let is_wanted = |name: &str, load: &Load<'_>| common.wants(name) && load.path == "/";
    let cases = Wrk::CASES
        .iter()
        .filter(|(name, load)| is_wanted(name, load));
    cases
        .map(|&(case, load)| {
            let before = counter.executed()?;
            let outcome = Wrk::run(load, &peer, Effort::Little)?;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 instructions")]
            let executed = (counter.executed()? - before) as f64;
            Ok((case, executed / outcome.requests.max(1.0)))
        })
        .collect()
}

/// Measures the workloads of `bench kernel`.
pub(super) fn kernel(
    workspace: &Workspace,
    folder: &Path,
    machine: Machine,
    common: &Common,
) -> Result<()> {
    let image = |extras| build::build_with(workspace, kernel::IMAGE, Profile::Release, extras);
    let count = |path: &Path, words: &str| {
        kernel::run(
            machine,
            path,
            words,
            kernel::Unit::Instructions,
            common.quick,
        )
    };
    let mut report = Report::new("kernel-units");
    progress("counting the instructions of the image");
    let without = count(&image(Extras::default())?.path, "")?;
    for unit in &LOADED[..KERNEL] {
        progress(&format!("the same with {}", unit.name));
        let with = count(&image(extras(unit.extras))?.path, unit.append)?;
        for ((case, with), (_, without)) in with.iter().zip(&without) {
            let series = report.series(case, unit.name, "instructions");
            series.add(None, *with);
            series.add(Some(WITHOUT), *without);
        }
    }
    report.note("Guest instructions per operation; ratio = with the unit / without it. Metrics have no hooks there: their counters are always on.");
    report.write(folder)
}

/// Enters what the images grow by.
fn sizes(workspace: &Workspace, report: &mut Report) -> Result<()> {
    for name in IMAGES {
        let size = |extras| -> Result<f64> {
            let image = build::build_with(workspace, name, Profile::Release, extras)?;
            let len = fs::metadata(&image.path)?.len();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
            let len = len as f64;
            Ok(len)
        };
        let without = size(Extras::default())?;
        for (unit, pick) in SIZED {
            let series = report.series(
                &format!("image of {name}"),
                &format!("with {unit}"),
                "bytes",
            );
            series.add(None, size(extras(*pick))?);
            series.add(Some(WITHOUT), without);
        }
    }
    Ok(())
}
