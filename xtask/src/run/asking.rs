//! Ctrl-\ asks the image what its threads do.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

use crate::qemu::Monitor;

/// Takes the key from now on: it sends the image a non-maskable interrupt, which the image answers on its console.
///
/// The monitor of the virtual machine will listen at `monitor`. To be called before anything else is started, for all that is started
/// inherits that the key is blocked: it would end it.
pub(super) fn start(monitor: PathBuf) -> Result<()> {
    let key = SigSet::from(Signal::SIGQUIT);
    key.thread_block()?;
    thread::spawn(move || {
        while key.wait().is_ok() {
            let asked = Monitor::connect(&monitor).and_then(|mut monitor| monitor.ask("nmi"));
            if let Err(error) = asked {
                eprintln!("cannot ask the image: {error:#}");
            }
        }
    });
    eprintln!("Ctrl-\\ shows what its threads do");
    Ok(())
}
