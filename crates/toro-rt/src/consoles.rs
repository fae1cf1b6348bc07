//! The consoles of a core, the log on the first of them, and units that people reach at a port.

use alloc::boxed::Box;

use log::{error, info};
#[cfg(any(feature = "operator", feature = "pcap", feature = "trace"))]
use toro_console::Port;
use toro_dev::console::ConsoleDevice as _;
use toro_log::Sink;
use toro_virtio_console::{Config, LogPort, VirtioConsole};

#[cfg(any(feature = "operator", feature = "pcap", feature = "trace"))]
use crate::drivers;
use crate::drivers::Found;

/// The stack of a unit's thread, in bytes: reports are made on it.
#[cfg(any(feature = "operator", feature = "pcap", feature = "trace"))]
const STACK: usize = 32 << 10;

/// The log's way to a console.
struct ConsoleSink(LogPort);

// SAFETY: what keeps a `LogPort` on one core is the closure that the doorbell of a fake device holds; those of machines are registers. Its
// buffers may be used from any core, and it is freed on none: the log keeps it for good, and lets one core in at a time.
unsafe impl Send for ConsoleSink {}

impl Sink for ConsoleSink {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

/// Starts a console for the core that owns it. The first one shows the log.
pub(crate) fn start(found: Found) {
    let Found { name, transport } = found;
    let mut console = match VirtioConsole::probe(transport, Config::default()) {
        Ok(console) => console,
        Err(reason) => return error!("{name}: the console cannot be used: {reason}"),
    };
    if name.number == 0
        && let Some(log) = console.take_log()
    {
        toro_log::add_sink(Box::leak(Box::new(ConsoleSink(log))));
    }
    info!("{name}: {} ports at most", console.ports());
    if let Err(reason) = toro_console::add(name, Box::new(console)) {
        error!("{name}: {reason}");
    }
}

/// Has `serve` run on a thread of the core that owns the console, with the port that `unit=PORT` on the command line names.
#[cfg(any(feature = "operator", feature = "pcap", feature = "trace"))]
pub(crate) fn serve_at(
    unit: &'static str,
    port: &'static str,
    serve: impl FnOnce(Port) + Send + 'static,
) {
    let Some(core) = drivers::owner_of("console0") else {
        return error!(
            "{unit}={port}: this machine has no console; give it a virtio-serial one with a port {port}"
        );
    };
    let open = move || match Port::open(port) {
        Ok(open) => {
            info!("{unit}: at the console port {port}");
            serve(open);
        }
        Err(reason) => error!("{unit}={port}: {reason}"),
    };
    let started = toro_sched::Builder::new()
        .name(unit)
        .stack_size(STACK)
        .spawn_on(core, open);
    if let Err(reason) = started {
        error!("{unit}: {reason}");
    }
}
