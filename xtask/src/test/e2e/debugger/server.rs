//! The web server that is debugged, and the requests that it answers meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{At, PATIENCE};
use crate::build::Image;
use crate::gdb::{self, Bridge, Way};
use crate::qemu::Running;
use crate::run::Wish;
use crate::test::client::Client;
use crate::workspace::{Package, Workspace};

/// A web server with a debugger inside.
pub(super) struct Debugged {
    pub(super) running: Running,
    _bridge: Option<Bridge>,
    pub(super) address: SocketAddr,
    pub(super) socket: PathBuf,
}

impl Debugged {
    pub(super) fn start(
        workspace: &Workspace,
        package: &Package,
        image: &Image,
        at: At,
        options: &str,
    ) -> Result<Self> {
        let At {
            over,
            machine,
            cores,
        } = at;
        let mut wish = Wish::of(package, machine)?;
        wish.cores = cores;
        wish.append = format!("trace=on {}", wish.append);
        wish.on_free_ports()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, wish.ports[0].host));
        let pid = std::process::id();
        let name = format!("toro-{pid}-{cores}{}{over:?}.gdb", options.len());
        let socket = std::env::temp_dir().join(name);
        let way = Way {
            over,
            socket: &socket,
            options,
        };
        let vm = gdb::vm(&wish, workspace, package, image, way)?;
        let bridge = Bridge::start(&vm, way)?;
        let running = Running::start(&vm.command())?;
        let deadline = Instant::now() + PATIENCE;
        let listens = |line: &String| line.contains(gdb::LISTENS);
        while !running.lines().iter().any(listens) {
            let tail = || running.tail();
            ensure!(Instant::now() < deadline, "no debugger listens\n{}", tail());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            running,
            _bridge: bridge,
            address,
            socket,
        })
    }
}

impl Drop for Debugged {
    fn drop(&mut self) {
        // QEMU may have removed it.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Requests, one after the other, until this value ends.
pub(super) struct Load {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    not_found: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    pub(super) fn start(server: SocketAddr) -> Self {
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            while !shared.is_over.load(Ordering::SeqCst) {
                let answer =
                    Client::connect(server).and_then(|mut client| client.get("/index.html"));
                match answer {
                    Ok(answer) if answer.status == 200 => &shared.answered,
                    Ok(answer) if answer.status == 404 => &shared.not_found,
                    Ok(_) => continue,
                    // The server does not listen yet, or gdb has held it for long.
                    Err(_) => {
                        thread::sleep(Duration::from_millis(20));
                        continue;
                    }
                }
                .fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { counts }
    }

    /// How many requests were answered that there is no such file.
    pub(super) fn not_found(&self) -> usize {
        self.counts.not_found.load(Ordering::SeqCst)
    }

    /// Waits until so many more requests were answered.
    pub(super) fn goes_on(&self, more: usize) -> Result<()> {
        let wanted = self.counts.answered.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + PATIENCE;
        while self.counts.answered.load(Ordering::SeqCst) < wanted {
            ensure!(Instant::now() < deadline, "requests do not go on");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.counts.is_over.store(true, Ordering::SeqCst);
    }
}
