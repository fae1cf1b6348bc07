//! The console: the serial port as the log's first sink.

use toro_arch::serial;
use toro_boot::CommandLine;
use toro_log::Sink;

struct SerialPort;

impl Sink for SerialPort {
    fn write(&mut self, bytes: &[u8]) {
        serial::write(bytes);
    }
}

/// Opens the serial port and starts the log on it, at the level that `log=` names.
pub(crate) fn init(command_line: CommandLine<'_>) {
    serial::init();
    // A value without size: no memory is taken, before there is any.
    toro_log::init(alloc::boxed::Box::leak(alloc::boxed::Box::new(SerialPort)));
    if let Some(level) = command_line.value("log")
        && !toro_log::set_level(level)
    {
        log::warn!("log={level}: not a level; off, error, warn, info, debug and trace are");
    }
}
