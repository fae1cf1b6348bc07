//! The debugger: `gdb=ttyS1` on the command line starts it, and nothing else does.
//!
//! It talks over a serial port, or over a device of its own: `gdb=console1`, `gdb=vsock0:1234`. Behind the port may follow what it waits for:
//! `gdb=ttyS1,wait` waits for gdb before the service starts, `gdb=ttyS1,failure` when something has gone wrong, if gdb is not attached then.

mod monitor;
mod ports;

use alloc::boxed::Box;
use core::fmt;

use log::{error, info};
use toro_dev::owner::DeviceName;
use toro_gdbstub::{Port, SerialPort};

use self::ports::DeviceError;
use crate::environment;
use crate::places::Place;
use crate::spare::Wanted;

/// `SIGABRT`, which gdb shows for a panic.
const ABORT: u8 = 6;

/// Where it talks.
#[derive(Clone, Copy, Debug)]
enum At {
    Serial(usize),
    Device(Wanted),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(number) => write!(f, "ttyS{number}"),
            Self::Device(wanted) => write!(f, "{wanted}"),
        }
    }
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    at: At,
    waits_before_main: bool,
    waits_at_failure: bool,
}

/// Reads `gdb=`; `Err` with the word that makes no sense.
fn wish() -> Option<Result<Wish, &'static str>> {
    let text = environment::value("gdb")?;
    let mut words = text.split(',');
    let port = words.next().unwrap_or("");
    let at = match port.strip_prefix("ttyS").map(str::parse) {
        Some(Ok(number)) => Some(At::Serial(number)),
        Some(Err(_)) => None,
        None => Wanted::parse(port).map(At::Device),
    };
    let Some(at) = at else {
        return Some(Err(port));
    };
    let mut wish = Wish {
        at,
        waits_before_main: false,
        waits_at_failure: false,
    };
    for word in words {
        match word {
            "wait" => wish.waits_before_main = true,
            "failure" => wish.waits_at_failure = true,
            _ => return Some(Err(word)),
        }
    }
    Some(Ok(wish))
}

/// The device that it has for itself, if it does not talk over a serial port.
pub(crate) fn device() -> Option<Wanted> {
    match wish()?.ok()?.at {
        At::Device(wanted) => Some(wanted),
        At::Serial(_) => None,
    }
}

/// Starts it at a serial port, if the command line asks for that.
pub(crate) fn start() {
    match wish() {
        Some(Err(word)) => error!(
            "gdb: `{word}` makes no sense; a port from ttyS0 to ttyS3 or a device as in console1 or vsock0:1234, then `wait` or `failure`, as in gdb=ttyS1,wait"
        ),
        Some(Ok(wish)) => {
            if let At::Serial(number) = wish.at {
                match SerialPort::open(number) {
                    Ok(port) => listen(wish, Box::leak(Box::new(port))),
                    Err(reason) => error!("gdb: {reason}"),
                }
            }
        }
        None => {}
    }
}

/// Starts it at a device of its own, if the command line asks for that; `find` knows where the device is.
pub(crate) fn start_at_device(find: &dyn Fn(DeviceName) -> Option<Place>) {
    if let Some(Ok(wish)) = wish()
        && let At::Device(wanted) = wish.at
    {
        match ports::open(wanted, find) {
            Ok(port) => listen(wish, port),
            Err(DeviceError::Missing(name)) => {
                error!("gdb: this machine has no {name}; give it one");
            }
            Err(DeviceError::Unusable(reason)) => error!("gdb={wanted}: {reason}"),
        }
    }
}

fn listen(wish: Wish, port: &'static dyn Port) {
    let kill = || crate::exit::exit(crate::exit::ExitCode::Failure);
    toro_gdbstub::start(port, wish.waits_at_failure, monitor::answer, kill);
    info!("gdb: listens at {}", wish.at);
}

/// Waits for gdb, if the command line says so and it has not come yet.
pub(crate) fn wait() {
    if let Some(Ok(wish)) = wish()
        && wish.waits_before_main
        && !toro_gdbstub::is_attached()
    {
        info!("gdb: waits at {} before main", wish.at);
        toro_gdbstub::stop_here(0);
    }
}

/// Shows a panic to gdb if it wants to see it. It was reported already.
pub(crate) fn show_failure() {
    if toro_gdbstub::is_wanted_at_failure() {
        toro_gdbstub::stop_here(ABORT);
    }
}
