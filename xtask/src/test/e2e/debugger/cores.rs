//! What each core has for itself, shown by whichever of them talks: heap, sockets, mounts, events, and registers that no frame holds.

use anyhow::{Context as _, Result, ensure};

use crate::test::gdb::Gdb;

/// Where a core is outside of its network's work, and comes all the time.
const OUTSIDE: &str = "toro_sched::core_loop::yield_now";

/// How `monitor threads` says that a core is in a thread.
const ON_CORE: &[&str] = &["running", "its core is idle"];

/// Has each core talk in turn, which a step of that core alone does, and looks at all of them.
pub(super) fn look(gdb: &mut Gdb, cores: u32) -> Result<()> {
    // On the first core: it alone has a network, which no other may find in the middle of its work.
    let first = "$gs_base == &toro_arch::core_local::CORES[0]";
    gdb.check(
        &format!("tbreak {OUTSIDE} if {first}"),
        &["Temporary breakpoint"],
    )?;
    gdb.check("continue", &["hit Temporary breakpoint", OUTSIDE])?;
    gdb.check("set scheduler-locking on", &[])?;
    for core in 0..cores {
        let thread = thread_on(gdb, core)?;
        gdb.check(&thread, &[&format!("[Switching to {thread} ")])?;
        let bases =
            format!("print $gs_base == &toro_arch::core_local::CORES[{core}] && $fs_base == 0");
        gdb.check(&bases, &["= true"])?;
        // What is set is what the processor has from then on: it is read anew after the step.
        for (register, value) in [(7, 0x0102_0304_0506_0708_u64 + u64::from(core)), (15, 3)] {
            let half = format!("$ymm{register}.v4_int64[3]");
            gdb.check(&format!("set var {half} = {value}"), &[])?;
            gdb.check("stepi", &[])?;
            gdb.check(&format!("print {half}"), &[&format!("= {value}\n")])?;
        }
        for other in 0..cores {
            shows(gdb, other)?;
        }
    }
    gdb.check("set scheduler-locking replay", &[])?;
    Ok(())
}

/// The thread that `core` is in, as gdb names it.
pub(super) fn thread_on(gdb: &mut Gdb, core: u32) -> Result<String> {
    let said = answer(gdb.run("monitor threads")?);
    let is_in = |line: &&str| {
        line.contains(&format!(" core {core} ")) && ON_CORE.iter().any(|end| line.ends_with(end))
    };
    let line = said.lines().find(is_in);
    let line = line.with_context(|| format!("core {core} is in no thread:\n{said}"))?;
    let id: u64 = line.split_whitespace().next().unwrap_or("").parse()?;
    let said = answer(gdb.run(&format!("thread find ^Thread {id}$"))?);
    // It may tell of new threads first.
    let mut found = said.lines().filter_map(|line| line.strip_prefix("Thread "));
    let number = found.next().and_then(|rest| rest.split(' ').next());
    let number = number.with_context(|| format!("gdb does not know thread {id}:\n{said}"))?;
    Ok(format!("thread {number}"))
}

/// What gdb has said, without its prompts before.
fn answer(said: String) -> String {
    said.trim_start_matches("(gdb) ").to_owned()
}

/// Only the first core has the network and the archive.
fn shows(gdb: &mut Gdb, core: u32) -> Result<()> {
    let (sockets, mounts) = match core {
        0 => (
            &["connections open", "listens     0.0.0.0:80,"][..],
            "  /\n",
        ),
        _ => (&["no network"][..], ""),
    };
    for (command, expected) in [
        ("sockets", sockets),
        ("mounts", &[mounts]),
        ("heap", &["bytes in use"]),
        ("trace", &["events, the last of them:", " us  "]),
    ] {
        let said = answer(gdb.check(&format!("monitor {command} {core}"), expected)?);
        let other = |line: &str| {
            line.starts_with("core ")
                && !line.starts_with(&format!("core {core}: "))
                && line != format!("core {core}:")
        };
        ensure!(
            said.starts_with(&format!("core {core}:")) && !said.lines().any(other),
            "`monitor {command} {core}` is about another core:\n{said}"
        );
    }
    Ok(())
}
