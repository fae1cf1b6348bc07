//! `trace=PORT` on the command line: whoever opens the console port of that name gets the events of all cores, as
//! `toro_abi::trace` lays them out. `trace=on` notes them for the operator and the debugger only.
//!
//! A thread of the core that owns the console reads the rings of all cores fifty times a second; nobody waits for it.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use log::error;
use toro_abi::trace::{Greeting, write_chunk};
use toro_arch::tsc;
use toro_console::{ConsoleError, Port};
use toro_metrics::Requests;
use toro_time::Instant;
use toro_trace::{Client, EVENTS, Reader, Source};

use crate::{consoles, environment};

/// The time between two looks at the rings, in which they must not fill.
const PERIOD: Duration = Duration::from_millis(20);

/// So many events are taken and sent at a time.
const BATCH: usize = 2048;

/// Starts what the command line asks for.
pub(crate) fn start() {
    match environment::value("trace") {
        None => {}
        Some("on") if begin(Client::Operator) => {}
        Some("on") => error!("trace=on: there is no memory for the events"),
        Some(port) => consoles::serve_at("trace", port, |port| serve(&port)),
    }
}

/// Has events noted for `client`, beginning with the names of what there is; returns whether there is memory for them.
pub(crate) fn begin(client: Client) -> bool {
    let Ok(prepared) = toro_sched::on_each_core("trace", toro_trace::prepare) else {
        return false;
    };
    if !prepared
        .iter()
        .all(|core| core.is_ok_and(|has_rings| has_rings))
    {
        return false;
    }
    toro_trace::want(client, true);
    Requests::trace_names();
    toro_sched::on_each_core("trace", toro_sched::trace_here).is_ok()
}

/// Has no more events noted for `client`.
pub(crate) fn end(client: Client) {
    toro_trace::want(client, false);
    // A core without memory for a thread goes on noting for nobody.
    let _ = toro_sched::on_each_core("trace", toro_sched::trace_here);
}

fn serve(port: &Port) {
    while port.wait_for_host().is_ok() {
        // A reader who leaves in the middle is no error; the port's end is.
        let _ = send(port);
        end(Client::Host);
    }
}

/// Sends events until the host closes the port.
fn send(port: &Port) -> Result<(), ConsoleError> {
    let mut bytes = Vec::new();
    let greeting = Greeting {
        ticks: tsc::read(),
        nanos: Instant::now().as_nanos(),
        scale: u64::try_from(toro_time::elapsed_in(1 << 32).as_nanos()).unwrap_or(u64::MAX),
        cores: toro_sched::cores() as u64,
    };
    greeting.write(&mut bytes);
    port.write_all(&bytes)?;
    let mut reader = Reader::from_now();
    if !begin(Client::Host) {
        error!("trace: there is no memory for the events");
    }
    let mut events = Vec::with_capacity(BATCH);
    while !is_closed(port) {
        for core in 0..toro_sched::cores() {
            for source in [Source::Threads, Source::Sampler] {
                // What is noted meanwhile waits for the next look.
                for _ in 0..EVENTS / BATCH {
                    events.clear();
                    let lost = reader.read(core, source, BATCH, &mut events);
                    if events.is_empty() && lost == 0 {
                        break;
                    }
                    bytes.clear();
                    write_chunk(&mut bytes, core, source, lost, &events);
                    port.write_all(&bytes)?;
                }
            }
        }
    }
    Ok(())
}

/// Waits for the next look, and says whether the host has closed the port.
fn is_closed(port: &Port) -> bool {
    let next = Instant::now() + PERIOD;
    let closed = poll_fn(|cx| match port.poll_read(&mut [0; 64], cx.waker()) {
        Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
        // Nobody listens to readers, but what they say must not keep their leaving from being heard.
        Poll::Ready(Ok(_)) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Pending,
    });
    toro_sched::block_on_until(next, closed).is_some()
}
