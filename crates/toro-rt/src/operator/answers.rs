//! What the operator is told.

use alloc::string::String;
use core::fmt::Write;
use core::net::Ipv4Addr;

use toro_sched::{Doing, Seen};

/// The most sockets of a core that are listed.
#[cfg(feature = "net")]
const SOCKETS: usize = 1000;

/// What `ask` writes on each core, one after the other.
fn of_each_core(ask: impl Fn(&mut String) + Send + Sync + 'static) -> String {
    let asked = toro_sched::on_each_core("operator", move || {
        let mut text = String::new();
        ask(&mut text);
        text
    });
    let mut all = String::new();
    for (core, text) in asked.unwrap_or_default().into_iter().enumerate() {
        let _ = match text {
            Ok(text) => write!(all, "core {core}: {text}"),
            Err(_) => writeln!(all, "core {core}: no memory to ask it"),
        };
    }
    all
}

pub(super) fn threads() -> String {
    of_each_core(|text| {
        let stats = toro_sched::stats();
        let idle = stats.idle.as_millis();
        let _ = writeln!(
            text,
            "{} threads, {} switches, {idle} ms idle",
            stats.threads, stats.switches
        );
        let mut show = |thread: &Seen<'_>| {
            let (state, reason) = match thread.doing {
                Doing::Running => ("runs", ""),
                Doing::Ready => ("ready", ""),
                Doing::Ended => ("ended", ""),
                Doing::Idling(reason) | Doing::Waiting(reason) => ("waits", reason),
            };
            let _ = writeln!(text, "{:6} {:16} {state} {reason}", thread.id, thread.name);
        };
        let core = toro_sched::current().core();
        // SAFETY: 1. it is the running core.
        unsafe { toro_sched::threads_of(core, &mut show) };
    })
}

pub(super) fn memory() -> String {
    of_each_core(|text| {
        let _ = writeln!(text, "{}", toro_mem::stats());
    })
}

#[cfg(feature = "net")]
pub(super) fn network() -> String {
    of_each_core(|text| {
        if !toro_net::is_init() {
            text.push_str("no network\n");
            return;
        }
        let stats = toro_net::stats();
        let _ = match toro_net::addresses() {
            Some(addresses) => write!(text, "{}", addresses.ip),
            None => write!(text, "no address"),
        };
        let drops: u64 = stats.drops.iter().sum();
        let _ = writeln!(
            text,
            "; {} frames in, {} out, {drops} dropped, {} segments sent again; {} connections open, {} half open, {} in TIME-WAIT",
            stats.frames_in,
            stats.frames_out,
            stats.retransmits,
            stats.open,
            stats.half_open,
            stats.time_wait
        );
        if let Some(name) = toro_net::hostname() {
            let _ = writeln!(text, "called      {name}");
        }
        #[cfg(feature = "ipv6")]
        for address in toro_net::addresses6().own {
            let _ = writeln!(text, "address     {address}");
        }
        for socket in toro_net::sockets(SOCKETS) {
            let _ = writeln!(text, "{socket}");
        }
    })
}

#[cfg(feature = "net")]
pub(super) fn ping(address: Ipv4Addr) -> String {
    let mut text = String::new();
    let _ = match toro_net::ping(address, core::time::Duration::from_secs(3)) {
        Ok(time) => writeln!(text, "{address} answers after {} us", time.as_micros()),
        Err(reason) => writeln!(text, "{address}: {reason}"),
    };
    text
}

#[cfg(not(feature = "net"))]
pub(super) fn network() -> String {
    String::from("this image is built without the unit net\n")
}

#[cfg(not(feature = "net"))]
pub(super) fn ping(_: Ipv4Addr) -> String {
    network()
}

#[cfg(feature = "files")]
pub(super) fn mounts() -> String {
    of_each_core(|text| {
        text.push('\n');
        let mut show = |path: &str| {
            let _ = writeln!(text, "  /{}", path.trim_start_matches('/'));
        };
        toro_vfs::mount_points(&mut show);
    })
}

#[cfg(not(feature = "files"))]
pub(super) fn mounts() -> String {
    String::from("this image is built without files\n")
}

#[cfg(feature = "trace")]
pub(super) fn trace() -> String {
    let mut text = String::new();
    let state = if toro_trace::is_on() { "on" } else { "off" };
    let _ = writeln!(text, "tracing is {state}");
    for core in 0..toro_sched::cores() {
        let mut counts = [0_u64; toro_trace::Kind::ALL.len()];
        toro_trace::latest(core, toro_trace::EVENTS, |event| {
            let place = toro_trace::Kind::ALL
                .iter()
                .position(|&kind| kind == event.kind);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        });
        let all = toro_trace::count(core);
        let _ = write!(text, "core {core}: {all} events, of the last ");
        let _ = write!(text, "{}", counts.iter().sum::<u64>());
        for (kind, count) in toro_trace::Kind::ALL.iter().zip(counts) {
            if count > 0 {
                let _ = write!(text, ", {count} {}", kind.name());
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(feature = "trace")]
pub(super) fn set_trace(wants: bool) -> Result<(), &'static str> {
    use toro_trace::Client;

    if !wants {
        crate::trace::end(Client::Operator);
        return Ok(());
    }
    let begun = crate::trace::begin(Client::Operator);
    begun
        .then_some(())
        .ok_or("there is no memory for the events")
}

#[cfg(not(feature = "trace"))]
pub(super) fn trace() -> String {
    String::from("this image is built without the unit trace\n")
}

#[cfg(not(feature = "trace"))]
pub(super) fn set_trace(_: bool) -> Result<(), &'static str> {
    Err("this image is built without the unit trace")
}
