//! The log: lines from everywhere, to every sink.
//!
//! A line goes to each [`Sink`] at once; [`init`] brings the first, the serial console. Formatting is done by whoever logs, into
//! the sinks, without a buffer or an allocation, so that a line written while everything else is broken still arrives.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

use log::{LevelFilter, Metadata, Record};
use toro_sync::SpinLock;

/// Where log lines go.
pub trait Sink: Send {
    /// Takes some bytes of the log, in order. May block for as long as the device takes.
    fn write(&mut self, bytes: &[u8]);
}

/// As many sinks as an image can have.
const SINKS: usize = 4;

type Sinks = [Option<&'static mut dyn Sink>; SINKS];

static LOG: Log = Log {
    sinks: SpinLock::new([const { None }; SINKS]),
};

struct Log {
    /// Guards the sinks, and keeps the lines of two cores apart. Nothing else is locked while it is held.
    sinks: SpinLock<Sinks>,
}

struct Broadcast<'a>(&'a mut Sinks);

impl Write for Broadcast<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for sink in self.0.iter_mut().flatten() {
            sink.write(text.as_bytes());
        }
        Ok(())
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            log::Level::Error => "error",
            log::Level::Warn => "warn",
            log::Level::Info => "info",
            log::Level::Debug => "debug",
            log::Level::Trace => "trace",
        };
        write(format_args!("{level}: {}\n", record.args()));
    }

    fn flush(&self) {}
}

/// Starts the log with its first sink, at level `warn`.
///
/// # Panics
/// Panics on a second call.
pub fn init(sink: &'static mut dyn Sink) {
    log::set_logger(&LOG).expect("the log starts once");
    log::set_max_level(LevelFilter::Warn);
    add_sink(sink);
}

/// Adds a sink. Returns `false` if there are as many as there can be.
pub fn add_sink(sink: &'static mut dyn Sink) -> bool {
    let mut sinks = LOG.sinks.lock();
    let free = sinks.iter_mut().find(|slot| slot.is_none());
    free.map(|slot| *slot = Some(sink)).is_some()
}

/// The words for the levels, from none to all; the place of each is the number of its level.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Sets the level from a word (`off`, `error`, `warn`, `info`, `debug`, `trace`); `false` if it is none of them.
pub fn set_level(word: &str) -> bool {
    let place = LEVELS.iter().position(|level| *level == word);
    let level = place.and_then(|place| LevelFilter::iter().nth(place));
    level.map(log::set_max_level).is_some()
}

/// The word for the level.
pub fn level() -> &'static str {
    LEVELS[log::max_level() as usize]
}

/// Writes text to every sink, as it is: what `println!` ends in.
pub fn write(text: fmt::Arguments<'_>) {
    let mut sinks = LOG.sinks.lock();
    // A sink reports no errors, so writing can only fail in a `Display` of the caller's.
    let _ = Broadcast(&mut sinks).write_fmt(text);
}

/// Writes text though another core, or a line cut short by a failure, may hold the log: for the last words.
///
/// Returns whether the log could be had. If not, whoever holds it is gone for good, and so is the log.
pub fn write_emergency(text: fmt::Arguments<'_>) -> bool {
    // A sink reports no errors, so writing can only fail in a `Display` of the caller's.
    with_emergency(|out| _ = out.write_fmt(text))
}

/// Lets `write` have the log as [`write_emergency`] does, and keeps all others out until it returns.
pub fn with_emergency(write: impl FnOnce(&mut dyn Write)) -> bool {
    for _ in 0..1_000_000 {
        if let Some(mut sinks) = LOG.sinks.try_lock() {
            write(&mut Broadcast(&mut sinks));
            return true;
        }
        core::hint::spin_loop();
    }
    write(&mut EmergencySerial);
    false
}

/// The serial port itself, past a log whose holder is gone.
struct EmergencySerial;

impl Write for EmergencySerial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        toro_arch::serial::write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_set_by_its_word_is_told_by_it() {
        for (place, word) in LEVELS.into_iter().enumerate() {
            assert!(set_level(word));
            assert_eq!(log::max_level() as usize, place);
            assert_eq!(level(), word);
        }
        assert!(!set_level("loud"));
        assert_eq!(level(), "trace");
    }
}
