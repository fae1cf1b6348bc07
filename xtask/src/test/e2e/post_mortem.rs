//! Images that fail and leave a core file: plain gdb shows in it what the report said.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use super::TIMEOUT;
use crate::build::{self, Extras, Image, Profile};
use crate::core_file;
use crate::process;
use crate::qemu::{Machine, Running, Vm};
use crate::run::Wish;
use crate::setup::{self, Tool};
use crate::test::tally::Tally;
use crate::vsock::Backend;
use crate::workspace::Workspace;

/// Where the file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Disk,
    Console,
    Socket,
}

/// The port of the host that takes a file.
const PORT: u32 = 7070;

/// A way to fail.
struct Failure {
    name: &'static str,
    appliance: &'static str,
    /// What makes the image fail.
    words: &'static str,
    machine: Machine,
    way: Way,
    /// What the report says, in this order.
    report: &'static [&'static str],
    /// The function that failed, and a statement on the line at which it did.
    function: &'static str,
    statement: &'static str,
    /// The number of its frame: a panic has some of its own before.
    depth: usize,
    /// More commands for gdb, and what each says.
    more: &'static [(&'static str, &'static str)],
}

const FAILURES: &[Failure] = &[
    Failure {
        name: "e2e: the core file of a null dereference",
        appliance: "test-fault",
        words: "-- read-null",
        machine: Machine::Q35,
        way: Way::Disk,
        report: &["page fault reading 0x8", "test_fault::read_null+"],
        function: "test_fault::read_null",
        statement: "let value = unsafe { null.read_volatile() };",
        depth: 2,
        more: &[
            ("print null", "0x8"),
            ("info threads", "\"boot\""),
            ("info registers rip", "test_fault::read_null"),
            ("print/x $ymm3.v32_int8[31]", "= 0x3f"),
            ("print/x $ymm15.v32_int8[16]", "= 0xf0"),
            (
                "print $gs_base == &toro_arch::core_local::CORES[0]",
                "= true",
            ),
            ("x/1xb 0", "Cannot access memory"),
        ],
    },
    Failure {
        name: "e2e: the core file of a stack overflow",
        appliance: "test-fault",
        words: "-- overflow-far",
        machine: Machine::Pc,
        way: Way::Disk,
        report: &[
            "stack overflow in thread",
            "on core 1",
            "test_fault::overflow+",
        ],
        function: "test_fault::overflow",
        statement: "black_box(overflow(&next))",
        // Copying an argument may be what needed the stack, and the checks of a copy call deep where nothing is optimised: the
        // statement is then that of the caller.
        depth: 24,
        more: &[
            ("print (*frame)[0] > 0", "= true"),
            ("info threads", "\"deep\""),
        ],
    },
    Failure {
        name: "e2e: the core file of a division by zero",
        appliance: "test-fault",
        words: "-- divide",
        machine: Machine::Microvm,
        way: Way::Disk,
        report: &["attempt to divide by zero", "test_fault::divide+"],
        function: "test_fault::divide",
        statement: "black_box(1 / by);",
        depth: 8,
        more: &[("print by", "= 0")],
    },
    Failure {
        name: "e2e: the core file of a panic",
        appliance: "test-fault",
        words: "panic=shutdown -- thread",
        machine: Machine::Microvm,
        way: Way::Console,
        report: &["failed on purpose", "test_fault::fail+"],
        function: "test_fault::fail",
        statement: "assert!(black_box(false), \"failed on purpose\");",
        depth: 8,
        more: &[
            ("thread apply all backtrace", "test_fault::join"),
            ("info threads", "\"thread\""),
        ],
    },
    Failure {
        name: "e2e: the core file of a failure in a report",
        appliance: "test-fault",
        words: "-- nested",
        machine: Machine::Pc,
        way: Way::Disk,
        report: &["and another failure while reporting it"],
        function: "test_fault::main",
        statement: "\"nested\" => panic!(\"{}\", FailsToo),",
        depth: 8,
        more: &[],
    },
    Failure {
        name: "e2e: the core file of a thread that does not yield",
        appliance: "test-watchdog",
        // A machine that has much else to do may take a second over its start: that is no stall.
        words: "watchdog=5 -- report",
        machine: Machine::Q35,
        way: Way::Socket,
        report: &["has not yielded for 5 s", "test_watchdog::keep_the_core+"],
        function: "test_watchdog::keep_the_core",
        statement: "",
        depth: 8,
        more: &[
            ("thread apply all backtrace", "toro_sched::wait::sleep"),
            ("print longer", "secs"),
            ("info threads", "\"sleeper\""),
        ],
    },
];

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for failure in FAILURES {
        let workspace = workspace.clone();
        tally.case(failure.name, TIMEOUT, move || {
            is_explained(&workspace, failure)
        });
    }
}

fn is_explained(workspace: &Workspace, failure: &Failure) -> Result<()> {
    setup::ensure(&[Tool::Gdb])?;
    let extras = Extras {
        lines: true,
        core_file: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, failure.appliance, Profile::Debug, extras)?;
    let core = workspace.target("test")?.join(format!(
        "{}-{}.core",
        failure.appliance,
        std::process::id()
    ));
    // What an earlier run left there.
    drop(fs::remove_file(&core));
    let outcome = fails(workspace, failure, &image, &core)
        .and_then(|report| shows(workspace, failure, &image, &core).with_context(|| report));
    drop(fs::remove_file(&core));
    outcome
}

/// Boots the image, which fails. Returns what it reported; its core file is at `core`.
fn fails(workspace: &Workspace, failure: &Failure, image: &Image, core: &Path) -> Result<String> {
    let package = workspace.appliance(failure.appliance)?;
    let mut wish = Wish::of(package, failure.machine)?;
    let device = match failure.way {
        Way::Disk => "blk0".to_owned(),
        Way::Console => "console0".to_owned(),
        Way::Socket => format!("vsock0:{PORT}"),
    };
    wish.append = format!("core={device} log=info {}", failure.words);
    wish.vsock = (failure.way == Way::Socket).then_some(3);
    let mut vm = wish.vm(workspace, package, image)?;
    match failure.way {
        Way::Disk => vm.disks.push(core_file::disk(core, vm.memory)?),
        Way::Console => add_console(&mut vm, core),
        Way::Socket => {}
    }
    let sockets = vm.vsock.clone();
    let backend = sockets.as_ref().map(Backend::start).transpose()?;
    let receiver = sockets.map(|sockets| {
        let (listener, path) = (sockets.listen(PORT)?, PathBuf::from(core));
        anyhow::Ok(thread::spawn(move || -> Result<u64> {
            let (mut stream, _) = listener.accept()?;
            Ok(io::copy(&mut stream, &mut File::create(path)?)?)
        }))
    });
    let receiver = receiver.transpose()?;
    let mut running = Running::start(&vm.command())?;
    running.wait(TIMEOUT / 2)?;
    let report = running.lines().join("\n    | ");
    let mut rest = report.as_str();
    for text in failure.report.iter().chain(&["core: ", " bytes at "]) {
        let found = rest.split_once(text);
        let missing = || format!("`{text}` is not in the report\n    | {report}");
        rest = found.with_context(missing)?.1;
    }
    // With the back end the connection ends, if it has not before.
    drop(backend);
    if let Some(receiver) = receiver {
        receiver.join().expect("it does not panic")?;
    }
    Ok(report)
}

/// A console whose only port is the file.
fn add_console(vm: &mut Vm, core: &Path) {
    let path = core.display().to_string().replace(',', ",,");
    let device = match vm.machine {
        Machine::Microvm => "virtio-serial-device,max_ports=1",
        _ => "virtio-serial-pci,disable-legacy=on,max_ports=1",
    };
    for (option, value) in [
        ("-chardev", format!("file,id=core,path={path}")),
        ("-device", device.to_owned()),
        ("-device", "virtconsole,chardev=core".to_owned()),
    ] {
        vm.extra.extend([option.to_owned(), value]);
    }
}

/// Opens the core file as anybody would, and by the verb.
fn shows(workspace: &Workspace, failure: &Failure, image: &Image, core: &Path) -> Result<()> {
    let found = core_file::Found::read(core)?.context("the core file is empty")?;
    let memory = 160 << 20;
    ensure!(found.len < memory / 4, "{} bytes are kept", found.len);
    let mut gdb = Command::new(Tool::Gdb.program());
    gdb.args(["-nx", "-batch", "-ex", "set width 0"]);
    gdb.arg(&image.debug).arg(core);
    gdb.args(["-ex", "backtrace 25"]);
    let said = process::output(&mut gdb)?;
    let place = place(workspace, failure)?;
    let top = said
        .lines()
        .filter_map(frame)
        .filter(|(number, _)| *number <= failure.depth);
    let is_it = |text: &str| text.contains(failure.function) && text.contains(&place);
    let mut found_it = top.filter(|(_, text)| is_it(text));
    let Some((number, _)) = found_it.next() else {
        let function = failure.function;
        bail!("{function} at {place} is not in the top frames:\n{said}");
    };
    let mut gdb = found.gdb(workspace, &image.debug, core);
    gdb.args([
        "-nx",
        "-batch",
        "-ex",
        "set width 0",
        "-ex",
        &format!("frame {number}"),
    ]);
    for (index, (command, _)) in failure.more.iter().enumerate() {
        gdb.args(["-ex", &format!("echo @{index}\\n"), "-ex", command]);
    }
    gdb.args(["-ex", "echo @end\\n"]);
    let said = gdb.output().context("cannot start gdb")?;
    let said = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    for (index, (command, expected)) in failure.more.iter().enumerate() {
        let (_, behind) = said[0]
            .split_once(&format!("@{index}\n"))
            .unwrap_or_default();
        let answer = behind.split('@').next().unwrap_or("");
        // gdb complains to the other of its outputs.
        ensure!(
            answer.contains(expected) || said[1].contains(expected),
            "`{expected}` is not what gdb says to `{command}`:\n{answer}\n{}",
            said[1]
        );
    }
    ensure!(said[0].contains("@end"), "gdb did not end:\n{}", said[1]);
    Ok(())
}

/// A line of a backtrace: the number of the frame, and the rest.
fn frame(line: &str) -> Option<(usize, &str)> {
    let (number, text) = line.strip_prefix('#')?.split_once(' ')?;
    Some((number.parse().ok()?, text))
}

/// The line of the statement that failed, as gdb names it; empty if none is expected.
fn place(workspace: &Workspace, failure: &Failure) -> Result<String> {
    if failure.statement.is_empty() {
        return Ok("main.rs:".to_owned());
    }
    let package = workspace.appliance(failure.appliance)?;
    let text = fs::read_to_string(package.folder().join("src/main.rs"))?;
    let index = text
        .lines()
        .position(|line| line.trim() == failure.statement);
    let index = index.with_context(|| format!("`{}` is not there", failure.statement))?;
    Ok(format!("main.rs:{}", index + 1))
}
