//! The consoles of a core, and the log on the first of them.

use alloc::boxed::Box;

use log::{error, info};
use toro_dev::console::ConsoleDevice as _;
use toro_log::Sink;
use toro_virtio_console::{Config, LogPort, VirtioConsole};

use crate::drivers::Found;

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
