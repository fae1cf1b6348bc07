//! What `monitor COMMAND` in gdb tells of each core, whichever of them stopped the image.

use core::fmt;

use toro_arch::core_local;
use toro_arch::trap::{FIRST_IRQ, IRQS};
#[cfg(any(feature = "net", feature = "files"))]
use toro_sync::LookError;
use toro_sync::StoppedCore;

/// Tells of one core.
type Tell = fn(&StoppedCore, &mut dyn fmt::Write) -> fmt::Result;

/// Answers `monitor COMMAND [CORE]`. The image may have been stopped anywhere, so only what needs no lock and no memory is told.
pub(super) fn answer(command: &str, cores: &[Option<StoppedCore>], out: &mut dyn fmt::Write) {
    // gdb's console takes everything.
    let _ = try_answer(command, cores, out);
}

fn try_answer(
    command: &str,
    cores: &[Option<StoppedCore>],
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    let (command, core) = command.split_once(' ').unwrap_or((command, ""));
    let Some(tell) = teller(command) else {
        return writeln!(out, "commands: {COMMANDS}");
    };
    let all = 0..toro_sched::cores();
    let wanted = match core.trim().parse() {
        Ok(core) if all.contains(&core) => core..core + 1,
        _ if core.is_empty() => all,
        _ => return writeln!(out, "which core? There are {}, from 0 on", all.end),
    };
    for core in wanted {
        match cores.get(core) {
            Some(Some(stopped)) => tell(stopped, out)?,
            _ => writeln!(out, "core {core}: did not stop when it was called")?,
        }
    }
    Ok(())
}

fn teller(command: &str) -> Option<Tell> {
    Some(match command {
        "heap" => heap,
        "irqs" => irqs,
        #[cfg(feature = "trace")]
        "trace" => trace,
        #[cfg(feature = "net")]
        "sockets" => sockets,
        #[cfg(feature = "files")]
        "mounts" => mounts,
        _ => return None,
    })
}

const COMMANDS: &str = "threads, heap, irqs, sockets (with the unit net), mounts (with files), trace (with trace); the number of a core behind one has that \
     core alone shown";

/// How many events of a core are shown.
#[cfg(feature = "trace")]
const EVENTS: usize = 24;

/// The last events of a core, and how long before now each was.
#[cfg(feature = "trace")]
fn trace(stopped: &StoppedCore, out: &mut dyn fmt::Write) -> fmt::Result {
    let core = stopped.core();
    let all = toro_trace::count(core);
    let mut written = match toro_trace::is_on() {
        true => writeln!(out, "core {core}: {all} events, the last of them:"),
        false => writeln!(
            out,
            "core {core}: no events are noted; trace=on on the command line has them noted"
        ),
    };
    let now = toro_arch::tsc::read();
    toro_trace::latest(core, EVENTS, |event| {
        // Both counts without the byte that events do not have.
        let before = toro_time::elapsed_in(now.wrapping_sub(event.ticks) << 8 >> 8);
        let (micros, kind) = (before.as_micros(), event.kind.name());
        written =
            written.and_then(|()| writeln!(out, "-{micros:>8} us  {kind:<10} {}", event.value));
    });
    written
}

fn heap(stopped: &StoppedCore, out: &mut dyn fmt::Write) -> fmt::Result {
    let core = stopped.core();
    match toro_mem::stats_on(stopped) {
        Some(stats) => writeln!(out, "core {core}: {stats}"),
        None => writeln!(out, "core {core}: no heap yet"),
    }
}

fn irqs(stopped: &StoppedCore, out: &mut dyn fmt::Write) -> fmt::Result {
    let core = stopped.core();
    let (apic, pending) = (core_local::apic_id(core), core_local::pending_on(core));
    writeln!(out, "core {core}: APIC {apic}, arrived and not yet taken:")?;
    (0..IRQS)
        .filter(|bit| pending >> bit & 1 != 0)
        .try_for_each(|bit| writeln!(out, "  vector {}", usize::from(FIRST_IRQ) + bit))
}

#[cfg(feature = "net")]
fn sockets(stopped: &StoppedCore, out: &mut dyn fmt::Write) -> fmt::Result {
    let core = stopped.core();
    let mut written = Ok(());
    let looked = toro_net::look(stopped, |stack| written = stack_of(core, stack, out));
    match looked {
        Ok(()) => written,
        Err(LookError::Missing) => writeln!(out, "core {core}: no network"),
        Err(LookError::Changing) => writeln!(
            out,
            "core {core}: stopped in the middle of its network's work; try again behind it"
        ),
    }
}

#[cfg(feature = "net")]
fn stack_of(core: usize, stack: &toro_net::Stack, out: &mut dyn fmt::Write) -> fmt::Result {
    let stats = stack.stats();
    writeln!(
        out,
        "core {core}: {} connections open, {} half open, {} in TIME-WAIT; {} accepted, {} reset, {} timed out\n\
         {} frames in, {} frames out, {} segments sent again",
        stats.open,
        stats.half_open,
        stats.time_wait,
        stats.accepted,
        stats.reset,
        stats.timed_out,
        stats.frames_in,
        stats.frames_out,
        stats.retransmits
    )?;
    stack
        .sockets()
        .try_for_each(|socket| writeln!(out, "  {socket}"))
}

#[cfg(feature = "files")]
fn mounts(stopped: &StoppedCore, out: &mut dyn fmt::Write) -> fmt::Result {
    let core = stopped.core();
    let mut written = writeln!(out, "core {core}:");
    let looked = toro_vfs::mount_points_on(stopped, |path| {
        written = written.and_then(|()| writeln!(out, "  /{}", path.trim_start_matches('/')));
    });
    match looked {
        Ok(()) => written,
        Err(LookError::Missing) => writeln!(out, "  none yet"),
        Err(LookError::Changing) => writeln!(out, "  stopped in the middle of a change"),
    }
}
