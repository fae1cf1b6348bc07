//! What gdb is made to do: breakpoints, steps, variables, memory, threads, Ctrl-C.

use anyhow::{Context as _, Result, bail, ensure};

use super::cores;
use super::server::Load;
use crate::test::gdb::Gdb;
use crate::workspace::Package;

/// The statement of `web-server` that the session stops at: each request comes there.
const STATEMENT: &str = "let place = place(path);";

/// The line of [`STATEMENT`], as gdb names it.
pub(super) fn place(package: &Package) -> Result<String> {
    let path = package.folder().join("src/files.rs");
    let text = std::fs::read_to_string(&path)?;
    let index = text.lines().position(|line| line.trim() == STATEMENT);
    let index = index.with_context(|| format!("`{STATEMENT}` is not in {}", path.display()))?;
    Ok(format!("files.rs:{}", index + 1))
}

/// Does what people do with a debugger.
pub(super) fn run(gdb: &mut Gdb, load: &Load, place: &str, cores: u32) -> Result<()> {
    // A breakpoint in the service, with its callers, its variables and its lines.
    gdb.check(&format!("break {place}"), &["Breakpoint 1 at"])?;
    gdb.check("continue", &["hit Breakpoint 1", place])?;
    let callers = [
        "web_server::",
        place,
        "toro_net::",
        "toro_sched::thread::enter",
    ];
    gdb.check("backtrace", &callers)?;
    gdb.check("print path", &["/index.html"])?;
    gdb.check("next", &["\t"])?;
    gdb.check("print place", &["$2 = "])?;
    gdb.check("step", &[])?;
    gdb.check("stepi", &[])?;
    gdb.check("x/2i $pc", &["=>"])?;
    gdb.check("info registers rip xmm0", &["rip", "v4_float"])?;
    threads(gdb, cores)?;
    change_memory(gdb, load)?;
    // A variable that is watched: interrupts that have arrived.
    gdb.check("delete", &[])?;
    gdb.check(
        "watch toro_arch::core_local::CORES[0].pending",
        &["Hardware watchpoint 2"],
    )?;
    gdb.check(
        "continue",
        &["Hardware watchpoint 2", "Old value", "New value"],
    )?;
    gdb.check("delete", &[])?;
    gdb.check(
        &format!("hbreak {place}"),
        &["Hardware assisted breakpoint 3"],
    )?;
    gdb.check("continue", &["hit Breakpoint 3", place])?;
    gdb.check("continue", &["hit Breakpoint 3", place])?;
    gdb.check("delete", &[])?;
    // What is not there cannot be read, and nothing breaks.
    gdb.check("x/x 0", &["Cannot access memory"])?;
    gdb.check("x/x 0x800000000000", &["Cannot access memory"])?;
    for (command, expected) in [
        ("monitor heap", "bytes in use"),
        ("monitor irqs", "core 0: APIC"),
        ("monitor threads", "net"),
        ("monitor heap 7", "which core?"),
        ("monitor nonsense", "commands:"),
    ] {
        gdb.check(command, &[expected])?;
    }
    // Ctrl-C, while requests go on.
    gdb.begin("continue")?;
    load.goes_on(20)?;
    gdb.interrupt()?;
    let said = gdb.end("Ctrl-C")?;
    ensure!(said.contains("SIGINT"), "Ctrl-C stops nothing:\n{said}");
    threads(gdb, cores)?;
    cores::look(gdb, cores)
}

/// How often a request is changed until its client has heard of it: who has waited for too long while gdb held the server hears nothing.
const TRIES: usize = 5;

/// Memory that the code reads: the request becomes one for a file that is not there.
fn change_memory(gdb: &mut Gdb, load: &Load) -> Result<()> {
    for _ in 0..TRIES {
        gdb.check("continue", &["hit Breakpoint 1"])?;
        // It may be that for a page which says that there is no such file.
        if !gdb.run("print path")?.contains("\"/index.html\"") {
            continue;
        }
        gdb.check("set language c", &[])?;
        gdb.check(
            "set var *(unsigned char*)(*(unsigned long*)&path) = 88",
            &[],
        )?;
        gdb.check("set language auto", &[])?;
        gdb.check("print path", &["\"Xindex.html\""])?;
        // The server may look for a page that says so, and then comes the next request.
        gdb.check("continue", &["hit Breakpoint 1"])?;
        gdb.check("continue", &["hit Breakpoint 1"])?;
        if load.not_found() > 0 {
            return Ok(());
        }
    }
    bail!("the request was answered as if nothing had been changed")
}

/// Every core and every thread has its name, its state and its frames.
fn threads(gdb: &mut Gdb, cores: u32) -> Result<()> {
    gdb.check("info threads", &["\"net\"", "\"boot\""])?;
    (0..cores).try_for_each(|core| cores::thread_on(gdb, core).map(drop))?;
    let said = gdb.check("thread apply all backtrace", &["toro_sched::"])?;
    let first = said.matches("#0 ").count();
    ensure!(first > cores as usize, "a thread has no frame:\n{said}");
    Ok(())
}
