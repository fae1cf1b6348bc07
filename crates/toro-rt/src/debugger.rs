//! The debugger: `gdb=ttyS1` on the command line starts it, and nothing else does.
//!
//! Behind the port may follow what it waits for: `gdb=ttyS1,wait` waits for gdb before the service starts, `gdb=ttyS1,failure` when
//! something has gone wrong, if gdb is not attached then.

use core::fmt;

use log::{error, info};
use toro_arch::core_local;
use toro_arch::trap::{FIRST_IRQ, IRQS};
use toro_boot::BootInfo;
use toro_gdbstub::StartError;

/// `SIGABRT`, which gdb shows for a panic.
const ABORT: u8 = 6;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    port: usize,
    waits_before_main: bool,
    waits_at_failure: bool,
}

/// Reads `gdb=`; `Err` with the word that makes no sense.
fn wish(info: &BootInfo) -> Option<Result<Wish, &str>> {
    let text = info.command_line().value("gdb")?;
    let mut wish = Wish::default();
    for (index, word) in text.split(',').enumerate() {
        match (index, word) {
            (0, _) => match word.strip_prefix("ttyS").map(str::parse) {
                Some(Ok(port)) => wish.port = port,
                _ => return Some(Err(word)),
            },
            (_, "wait") => wish.waits_before_main = true,
            (_, "failure") => wish.waits_at_failure = true,
            _ => return Some(Err(word)),
        }
    }
    Some(Ok(wish))
}

/// Starts it, if the command line asks for it.
pub(crate) fn start(info: &BootInfo) {
    let wish = match wish(info) {
        None => return,
        Some(Err(word)) => {
            return error!(
                "gdb: `{word}` makes no sense; a port from ttyS0 to ttyS3, then `wait` or `failure`, as in gdb=ttyS1,wait"
            );
        }
        Some(Ok(wish)) => wish,
    };
    let kill = || crate::exit::exit(crate::exit::ExitCode::Failure);
    match toro_gdbstub::start(wish.port, wish.waits_at_failure, monitor, kill) {
        Ok(()) => info!("gdb: listens at ttyS{}", wish.port),
        Err(reason @ StartError::NoPort(_)) => {
            error!("gdb: {reason}; give it one (a second -serial), or name another");
        }
        Err(reason) => error!("gdb: {reason}"),
    }
}

/// Waits for gdb, if the command line says so and it has not come yet.
pub(crate) fn wait(info: &BootInfo) {
    if let Some(Ok(wish)) = wish(info)
        && wish.waits_before_main
        && !toro_gdbstub::is_attached()
    {
        info!("gdb: waits at ttyS{} before main", wish.port);
        toro_gdbstub::stop_here(0);
    }
}

/// Shows a panic to gdb if it wants to see it. It was reported already.
pub(crate) fn show_failure() {
    if toro_gdbstub::is_wanted_at_failure() {
        toro_gdbstub::stop_here(ABORT);
    }
}

/// Answers `monitor COMMAND`. The image may have been stopped anywhere, so only what needs no lock is told.
fn monitor(command: &str, out: &mut dyn fmt::Write) {
    let written = match command {
        "heap" => heap(out),
        "irqs" => irqs(out),
        #[cfg(feature = "trace")]
        "trace" => trace(out),
        #[cfg(feature = "net")]
        "sockets" => sockets(out),
        #[cfg(feature = "initrd")]
        "mounts" => mounts(out),
        _ => writeln!(out, "commands: {COMMANDS}"),
    };
    // gdb's console takes everything.
    let _ = written;
}

const COMMANDS: &str =
    "threads, heap, irqs, sockets (with the unit net), mounts (with initrd), trace (with trace)";

/// How many events of this core are shown.
#[cfg(feature = "trace")]
const EVENTS: usize = 32;

/// The last events of this core, and how long before now each was.
#[cfg(feature = "trace")]
fn trace(out: &mut dyn fmt::Write) -> fmt::Result {
    let mut written = match toro_trace::is_on() {
        true => Ok(()),
        false => writeln!(
            out,
            "no events are noted; trace=on on the command line has them noted"
        ),
    };
    let now = toro_arch::tsc::read();
    toro_trace::latest(core_local::id(), EVENTS, |event| {
        // Both counts without the byte that events do not have.
        let before = toro_time::elapsed_in(now.wrapping_sub(event.ticks) << 8 >> 8);
        let (micros, kind) = (before.as_micros(), event.kind.name());
        written =
            written.and_then(|()| writeln!(out, "-{micros:>8} us  {kind:<10} {}", event.value));
    });
    written
}

fn heap(out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "core {}: {}", core_local::id(), toro_mem::stats())
}

fn irqs(out: &mut dyn fmt::Write) -> fmt::Result {
    (0..toro_sched::cores()).try_for_each(|core| {
        let (apic, pending) = (core_local::apic_id(core), core_local::pending_on(core));
        writeln!(out, "core {core}: APIC {apic}, arrived and not yet taken:")?;
        (0..IRQS)
            .filter(|bit| pending >> bit & 1 != 0)
            .try_for_each(|bit| writeln!(out, "  vector {}", usize::from(FIRST_IRQ) + bit))
    })
}

#[cfg(feature = "net")]
fn sockets(out: &mut dyn fmt::Write) -> fmt::Result {
    let Some(stats) = toro_net::try_stats() else {
        return writeln!(
            out,
            "this core has no network, or is in the middle of its work"
        );
    };
    writeln!(
        out,
        "{} connections open, {} half open, {} in TIME-WAIT; {} accepted, {} reset, {} timed out\n\
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
    )
}

#[cfg(feature = "initrd")]
fn mounts(out: &mut dyn fmt::Write) -> fmt::Result {
    let mut written = Ok(());
    let is_whole = toro_vfs::try_mount_points(|path| {
        written = written.and_then(|()| writeln!(out, "/{}", path.trim_start_matches('/')));
    });
    if !is_whole {
        writeln!(out, "this core is in the middle of a change")?;
    }
    written
}
