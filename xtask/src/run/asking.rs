//! [`Asking`]: Ctrl-\ asks the image what its threads do.

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

use crate::qemu::Monitor;

/// As long as it lives, the key sends the image a non-maskable interrupt, which it answers on its console.
#[derive(Debug)]
pub(super) struct Asking {
    monitor: PathBuf,
}

impl Asking {
    /// Takes the key from now on, for a virtual machine whose monitor will listen at `monitor`.
    ///
    /// To be called before anything else is started, for all that is started inherits that the key is blocked: it would end it.
    pub(super) fn start(monitor: PathBuf) -> Result<Self> {
        let key = SigSet::from(Signal::SIGQUIT);
        key.thread_block()?;
        let path = monitor.clone();
        thread::spawn(move || {
            while key.wait().is_ok() {
                let asked = Monitor::connect(&path).and_then(|mut monitor| monitor.ask("nmi"));
                if let Err(error) = asked {
                    eprintln!("cannot ask the image: {error:#}");
                }
            }
        });
        eprintln!("Ctrl-\\ shows what its threads do");
        Ok(Self { monitor })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // QEMU may have removed it.
        let _ = fs::remove_file(&self.monitor);
    }
}
