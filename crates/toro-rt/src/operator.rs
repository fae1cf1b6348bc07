//! The operator's console: `operator=PORT` on the command line answers commands on the console port of that name.
//!
//! One may look, and nothing more, unless the word is `operator=PORT,control`. A thread of the core that owns the console answers; what
//! other cores know they are asked for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use log::{error, info};
use toro_console::{ConsoleError, Port};
use toro_log::Sink;
use toro_operator::{Command, HELP, History, Lines};
use toro_sync::SpinLock;
use toro_time::Instant;

use crate::{consoles, environment, shutdown};

mod answers;

/// How much of the log is kept, in bytes.
const HISTORY: usize = 16 << 10;

const PROMPT: &str = "> ";

/// The log on its way into the history. Locked for single lines.
struct Recorder(Arc<SpinLock<History>>);

impl Sink for Recorder {
    fn write(&mut self, bytes: &[u8]) {
        // Taken is it only while it is copied, which takes no longer than a line; the last words of an image do not wait for that.
        if let Some(mut history) = self.0.try_lock() {
            history.push(bytes);
        }
    }
}

/// Starts the thread, if the command line asks for it.
pub(crate) fn start() {
    let Some(text) = environment::value("operator") else {
        return;
    };
    let (port, is_control) = match text.split_once(',') {
        None => (text, false),
        Some((port, "control")) => (port, true),
        Some((_, word)) => {
            return error!(
                "operator: `{word}` makes no sense; operator=PORT or operator=PORT,control"
            );
        }
    };
    let history = Arc::new(SpinLock::new(History::new(HISTORY)));
    toro_log::add_sink(Box::leak(Box::new(Recorder(Arc::clone(&history)))));
    consoles::serve_at("operator", port, move |port| {
        serve(port, is_control, &history);
    });
}

/// Answers whoever opens the port, one after the other.
fn serve(port: Port, is_control: bool, history: &SpinLock<History>) {
    let console = Console {
        port,
        is_control,
        history,
    };
    // An operator who leaves in the middle of an answer is no error; the port's end is.
    while console.port.wait_for_host().is_ok() {
        let _ = console.talk();
    }
}

/// The port and what may be done there.
struct Console<'a> {
    port: Port,
    is_control: bool,
    history: &'a SpinLock<History>,
}

impl Console<'_> {
    /// Answers until the host closes the port.
    fn talk(&self) -> Result<(), ConsoleError> {
        let mut lines = Lines::default();
        let mut bytes = [0; 256];
        self.port.write_all(PROMPT.as_bytes())?;
        loop {
            let len = self.port.read(&mut bytes)?;
            if len == 0 {
                return Ok(());
            }
            let mut wishes = Vec::new();
            lines.push(&bytes[..len], |line| wishes.push(line.map(String::from)));
            for wish in wishes {
                self.answer(wish.as_deref())?;
                self.port.write_all(PROMPT.as_bytes())?;
            }
        }
    }

    fn answer(&self, line: Option<&str>) -> Result<(), ConsoleError> {
        let command = match line.map(Command::parse) {
            None => return self.say(format_args!("that is no line of text\n")),
            Some(Err(reason)) => return self.say(format_args!("{reason}\n")),
            Some(Ok(command)) => command,
        };
        if command.is_control() && !self.is_control {
            return self.say(format_args!(
                "one may only look here; start the image with operator=PORT,control to allow that\n"
            ));
        }
        match command {
            Command::Empty => Ok(()),
            Command::Help => self.say(format_args!("{HELP}")),
            Command::Threads => self.tell(&answers::threads()),
            Command::Memory => self.tell(&answers::memory()),
            Command::Network => self.tell(&answers::network()),
            Command::Ping(address) => self.tell(&answers::ping(address)),
            Command::Mounts => self.tell(&answers::mounts()),
            Command::Log => {
                let lines = self.history.lock().lines();
                self.tell(&lines)
            }
            Command::Level(None) => self.say(format_args!("{}\n", toro_log::level())),
            Command::Level(Some(word)) => match toro_log::set_level(word) {
                true => Ok(()),
                false => self.say(format_args!(
                    "`{word}` is no level; off, error, warn, info, debug and trace are\n"
                )),
            },
            Command::Trace(None) => self.tell(&answers::trace()),
            Command::Trace(Some(wants)) => match answers::set_trace(wants) {
                Ok(()) => Ok(()),
                Err(reason) => self.say(format_args!("{reason}\n")),
            },
            Command::Uptime => {
                let up = Instant::now().as_nanos() / 1_000_000;
                self.say(format_args!("{}.{:03} s\n", up / 1000, up % 1000))
            }
            Command::Shutdown => {
                info!("the operator ends the image");
                shutdown::end(|deadline| {
                    while Instant::now() < deadline {
                        toro_sched::park_until(deadline);
                    }
                    false
                })
            }
        }
    }

    fn say(&self, text: fmt::Arguments<'_>) -> Result<(), ConsoleError> {
        let mut answer = String::new();
        // A string takes everything.
        let _ = answer.write_fmt(text);
        self.tell(&answer)
    }

    fn tell(&self, text: &str) -> Result<(), ConsoleError> {
        self.port.write_all(text.as_bytes())
    }
}
