//! A VM that is being measured: started with the arguments that all sides share, watched, stopped.
//!
//! QEMU's process dies with ours even if we are killed (`setpriv --pdeathsig`), which holds for the thread
//! that starts it: start VMs from the main thread.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::guests::Hardware;
use super::probe::Question;
use super::proc::{self, CpuTime};
use crate::netns::Tap;
use crate::process;
use crate::qemu::{self, Boot, FileServer, Machine, Memory, Net};
use crate::vsock::Backend;

/// Everything that makes one VM.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// What progress lines and results call it.
    pub(crate) name: String,
    /// The machine type.
    pub(crate) machine: Machine,
    /// The ELF to boot.
    pub(crate) kernel: PathBuf,
    /// The boot module or first file system.
    pub(crate) initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub(crate) append: String,
    /// Its memory.
    pub(crate) memory: Memory,
    /// Its processors.
    pub(crate) cores: u32,
    /// Whether its time stamp counter counts instructions, all processors in turns: `-icount`.
    pub(crate) counts: bool,
    /// The tap that its network card is plugged into, if it has a card.
    pub(crate) tap: Option<Tap>,
    /// What shows that it serves.
    pub(crate) question: Question,
    /// Its disks, folders and sockets.
    pub(crate) hardware: Hardware,
    /// How often it may fail to boot before that counts.
    pub(crate) failures_forgiven: u32,
}

/// A running VM.
#[derive(Debug)]
pub(crate) struct Vm {
    child: Child,
    started: Instant,
    console: Arc<Console>,
    /// What runs beside QEMU, and as long.
    _servers: Vec<FileServer>,
    _backend: Option<Backend>,
}

/// What came out of the serial port so far, each line with the time of its end.
#[derive(Debug, Default)]
struct Console {
    state: Mutex<ConsoleState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ConsoleState {
    lines: Vec<(Duration, String)>,
    closed: bool,
}

impl Vm {
    /// Starts `guest`, with a TCG plugin if `plugin` names one; returns as soon as QEMU is executed.
    pub(crate) fn start(guest: &Guest, plugin: Option<&str>) -> Result<Self> {
        let machine = machine(guest, plugin);
        let (servers, backend) = {
            let _core = proc::OnClientCore::enter()?;
            let backend = guest.hardware.vsock.as_ref().map(Backend::start);
            (machine.serve()?, backend.transpose()?)
        };
        let qemu = machine.command();
        let mut command = process::mortal(qemu.get_program());
        command.args(qemu.get_args());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().context("cannot start QEMU")?;
        let console = Arc::new(Console::default());
        let output = child.stdout.take().expect("standard output is a pipe");
        let watcher = Arc::clone(&console);
        thread::spawn(move || watcher.follow(output, started));
        Ok(Self {
            child,
            started,
            console,
            _servers: servers,
            _backend: backend,
        })
    }

    /// When QEMU was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Id of QEMU's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// False once QEMU has ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until QEMU has ended; false if it still runs `timeout` after its start.
    pub(crate) fn wait_for_end(&mut self, timeout: Duration) -> bool {
        while self.is_running() {
            if self.started.elapsed() > timeout {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Waits for a line on the console that holds `text`: from the start of QEMU to the line's end.
    ///
    /// `None` if QEMU ends or `timeout` has passed since its start.
    pub(crate) fn wait_for_line(&self, text: &str, timeout: Duration) -> Option<Duration> {
        let mut state = self
            .console
            .state
            .lock()
            .expect("the watcher does not panic");
        loop {
            let found = state.lines.iter().find(|(_, line)| line.contains(text));
            if let Some((time, _)) = found {
                return Some(*time);
            }
            let left = timeout.checked_sub(self.started.elapsed())?;
            if state.closed {
                return None;
            }
            let waited = self.console.changed.wait_timeout(state, left);
            state = waited.expect("the watcher does not panic").0;
        }
    }

    /// The lines that the console has shown.
    pub(crate) fn console(&self) -> Vec<String> {
        let state = self
            .console
            .state
            .lock()
            .expect("the watcher does not panic");
        state.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// CPU time that QEMU has used.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        CpuTime::of(self.pid())
    }

    /// Puts the vCPU on a core of its own; see [`proc::pin_vm`].
    pub(crate) fn pin(&self) -> Result<()> {
        proc::pin_vm(self.pid())
    }

    /// Stops the whole VM where it stands, so that it takes no time from another one.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a paused VM go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Ends the VM and fails with what it had to say: its last console lines and QEMU's complaints.
    pub(crate) fn fail<T>(mut self, what: &str) -> Result<T> {
        let ended = self.child.try_wait().ok().flatten();
        let ended = ended.map_or(String::new(), |status| {
            format!("QEMU had ended with {status}")
        });
        self.kill();
        let mut complaints = ended;
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut complaints);
        }
        let lines = self.console();
        let last = lines[lines.len().saturating_sub(10)..].join("\n  ");
        bail!("{what}\n  {last}\n  {}", complaints.trim())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid())?;
        kill(Pid::from_raw(pid), signal).context("QEMU has ended by itself")
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Console {
    fn follow(&self, output: impl Read, started: Instant) {
        let mut reader = BufReader::new(output);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|len| len > 0)
        {
            let time = started.elapsed();
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            let mut state = self.state.lock().expect("no holder of the lock panics");
            state.lines.push((time, line));
            self.changed.notify_all();
            bytes.clear();
        }
        self.state
            .lock()
            .expect("no holder of the lock panics")
            .closed = true;
        self.changed.notify_all();
    }
}

/// QEMU with the machine that all sides share: the plainest CPU.
fn machine(guest: &Guest, plugin: Option<&str>) -> qemu::Vm {
    let boot = Boot::Kernel {
        elf: guest.kernel.clone(),
        initrd: guest.initrd.clone(),
        append: guest.append.clone(),
    };
    // The names of threads tell the vCPU from the rest of QEMU.
    let mut extra = vec!["-name".to_owned(), "bench,debug-threads=on".to_owned()];
    extra.extend(
        plugin
            .into_iter()
            .flat_map(|plugin| ["-plugin".to_owned(), plugin.to_owned()]),
    );
    if guest.counts {
        extra.extend(["-icount", "shift=0,sleep=off"].map(str::to_owned));
    }
    qemu::Vm {
        memory: guest.memory,
        cores: guest.cores,
        net: guest
            .tap
            .map_or(Net::None, |tap| Net::Tap(tap.name(), tap.queues())),
        cpu: Some("qemu64".to_owned()),
        extra,
        disks: guest.hardware.disks.clone(),
        console_ports: guest.hardware.console_ports.clone(),
        shares: guest.hardware.shares.clone(),
        vsock: guest.hardware.vsock.clone(),
        ..qemu::Vm::new(guest.machine, boot)
    }
}
