//! The debugger inside an image: the real gdb, while requests go on, and packets that no gdb would send.

mod cores;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build::Image;
use crate::gdb::{self, Bridge, Over, Way};
use crate::qemu::{Machine, Running};
use crate::run::Wish;
use crate::setup::{self, Tool};
use crate::test::Depth;
use crate::test::client::Client;
use crate::test::gdb::Gdb;
use crate::test::server;
use crate::test::tally::Tally;
use crate::workspace::{Package, Workspace};

/// A case may take so long.
const TIMEOUT: Duration = Duration::from_secs(900);

/// What has to happen soon may take so long, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The statement of `web-server` that the session stops at: each request comes there.
const STATEMENT: &str = "let place = place(path);";

const SESSION: &str = "e2e: gdb debugs web-server under load with";

/// Beside the serial port of a pc: the machines interrupt the debugger in different ways.
const WAYS: &[(&str, Over, Machine)] = &[
    (
        "e2e: gdb debugs web-server over a console",
        Over::Console,
        Machine::Microvm,
    ),
    (
        "e2e: gdb debugs web-server over vsock",
        Over::Vsock,
        Machine::Q35,
    ),
];
const PACKETS: &str = "e2e: the debugger lives through damaged packets";
const OFF: &str = "e2e: a debugger that was not asked for is silent";

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    let session = |cores: u32| format!("{SESSION} {cores} cores");
    let cores = depth.pick(&[2][..], &[1, 2], &[1, 2, 4]);
    let wanted = cores.iter().any(|&cores| tally.wants(&session(cores)))
        || WAYS.iter().any(|(name, ..)| tally.wants(name))
        || tally.wants(PACKETS)
        || tally.wants(OFF);
    if !wanted {
        return;
    }
    let built = setup::ensure(&[Tool::Gdb]).and_then(|()| {
        let package = workspace.appliance(server::NAME)?.clone();
        let image = gdb::build(workspace, &package)?;
        Ok((package, image))
    });
    let (package, image) = match built {
        Ok(built) => built,
        Err(error) => return tally.record("e2e: web-server is built for gdb", Err(error)),
    };
    for &cores in cores {
        let (workspace, package, image) = (workspace.clone(), package.clone(), image.clone());
        let at = At {
            over: Over::Serial,
            machine: Machine::Pc,
            cores,
        };
        tally.case(&session(cores), TIMEOUT, move || {
            debugs(&workspace, &package, &image, at)
        });
    }
    for &(name, over, machine) in WAYS {
        let (workspace, package, image) = (workspace.clone(), package.clone(), image.clone());
        let at = At {
            over,
            machine,
            cores: 2,
        };
        tally.case(name, TIMEOUT, move || {
            if over == Over::Vsock {
                setup::ensure(&[Tool::VhostDeviceVsock])?;
            }
            debugs(&workspace, &package, &image, at)
        });
    }
    {
        let (workspace, package, image) = (workspace.clone(), package.clone(), image.clone());
        tally.case(OFF, TIMEOUT, move || is_off(&workspace, &package, &image));
    }
    let (workspace, count) = (workspace.clone(), depth.pick(300, 2000, 50_000));
    tally.case(PACKETS, TIMEOUT * 10, move || {
        lives_through(&workspace, &package, &image, count)
    });
}

/// Where a web server runs, and how its debugger is reached.
#[derive(Clone, Copy, Debug)]
struct At {
    over: Over,
    machine: Machine,
    cores: u32,
}

/// A web server with a debugger inside.
struct Debugged {
    running: Running,
    _bridge: Option<Bridge>,
    address: SocketAddr,
    socket: PathBuf,
}

impl Debugged {
    fn start(
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
struct Load {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    not_found: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    fn start(server: SocketAddr) -> Self {
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            while !shared.is_over.load(Ordering::SeqCst) {
                let answer =
                    Client::connect(server).and_then(|mut client| client.get("/index.html"));
                match answer {
                    Ok(answer) if answer.status == 200 => &shared.answered,
                    Ok(_) => &shared.not_found,
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

    /// Waits until so many more requests were answered.
    fn goes_on(&self, more: usize) -> Result<()> {
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

/// The line of [`STATEMENT`], as gdb names it.
fn place(package: &Package) -> Result<String> {
    let path = package.folder().join("src/files.rs");
    let text = std::fs::read_to_string(&path)?;
    let index = text.lines().position(|line| line.trim() == STATEMENT);
    let index = index.with_context(|| format!("`{STATEMENT}` is not in {}", path.display()))?;
    Ok(format!("files.rs:{}", index + 1))
}

/// The whole session.
fn debugs(workspace: &Workspace, package: &Package, image: &Image, at: At) -> Result<()> {
    let place = place(package)?;
    let mut server = Debugged::start(workspace, package, image, at, ",wait")?;
    let load = Load::start(server.address);
    let command = gdb::command(workspace, image, &server.socket);
    let (mut gdb, said) = Gdb::start(&command)?;
    ensure!(!said.contains("rror"), "gdb cannot connect:\n{said}");
    gdb.check("backtrace", &["toro_rt::start::toro_start"])?;
    session(&mut gdb, &load, &place, at.cores).with_context(|| server.running.tail())?;
    gdb.check("detach", &["detached"])?;
    drop(gdb);
    load.goes_on(20)?;
    // Another gdb finds the image as it runs, and leaves it so.
    let (mut gdb, said) = Gdb::start(&command)?;
    ensure!(!said.contains("rror"), "gdb cannot connect again:\n{said}");
    gdb.check("info threads", &["\"net\"", "\"boot\""])?;
    gdb.check("detach", &["detached"])?;
    load.goes_on(20)?;
    server.running.check_alive()
}

fn session(gdb: &mut Gdb, load: &Load, place: &str, cores: u32) -> Result<()> {
    // A breakpoint in the service, with its callers, its variables and its lines.
    gdb.check(&format!("break {place}"), &["Breakpoint 1 at"])?;
    gdb.check("continue", &["hit Breakpoint 1", place])?;
    let callers = [
        "web_server::",
        place,
        "toro_net::",
        "toro_sched::thread::enter",
    ];
    gdb.check("backtrace", &callers)?;
    gdb.check("print path", &["/index.html"])?;
    gdb.check("next", &["\t"])?;
    gdb.check("print place", &["$2 = "])?;
    gdb.check("step", &[])?;
    gdb.check("stepi", &[])?;
    gdb.check("x/2i $pc", &["=>"])?;
    gdb.check("info registers rip xmm0", &["rip", "v4_float"])?;
    threads(gdb, cores)?;
    // Memory that the code reads: the request becomes one for a file that is not there.
    gdb.check("continue", &["hit Breakpoint 1"])?;
    gdb.check("set language c", &[])?;
    gdb.check(
        "set var *(unsigned char*)(*(unsigned long*)&path) = 88",
        &[],
    )?;
    gdb.check("set language auto", &[])?;
    gdb.check("print path", &["\"Xindex.html\""])?;
    // The server may look for a page that says so, and then comes the next request.
    gdb.check("continue", &["hit Breakpoint 1"])?;
    gdb.check("continue", &["hit Breakpoint 1"])?;
    ensure!(
        load.counts.not_found.load(Ordering::SeqCst) > 0,
        "the request was answered as if nothing had been changed"
    );
    // A variable that is watched: interrupts that have arrived.
    gdb.check("delete", &[])?;
    gdb.check(
        "watch toro_arch::core_local::CORES[0].pending",
        &["Hardware watchpoint 2"],
    )?;
    gdb.check(
        "continue",
        &["Hardware watchpoint 2", "Old value", "New value"],
    )?;
    gdb.check("delete", &[])?;
    gdb.check(
        &format!("hbreak {place}"),
        &["Hardware assisted breakpoint 3"],
    )?;
    gdb.check("continue", &["hit Breakpoint 3", place])?;
    gdb.check("continue", &["hit Breakpoint 3", place])?;
    gdb.check("delete", &[])?;
    // What is not there cannot be read, and nothing breaks.
    gdb.check("x/x 0", &["Cannot access memory"])?;
    gdb.check("x/x 0x800000000000", &["Cannot access memory"])?;
    for (command, expected) in [
        ("monitor heap", "bytes in use"),
        ("monitor irqs", "core 0: APIC"),
        ("monitor threads", "net"),
        ("monitor heap 7", "which core?"),
        ("monitor nonsense", "commands:"),
    ] {
        gdb.check(command, &[expected])?;
    }
    // Ctrl-C, while requests go on.
    gdb.begin("continue")?;
    load.goes_on(20)?;
    gdb.interrupt()?;
    let said = gdb.end("Ctrl-C")?;
    ensure!(said.contains("SIGINT"), "Ctrl-C stops nothing:\n{said}");
    threads(gdb, cores)?;
    cores::look(gdb, cores)
}

/// Every core and every thread has its name, its state and its frames.
fn threads(gdb: &mut Gdb, cores: u32) -> Result<()> {
    gdb.check("info threads", &["\"net\"", "\"boot\""])?;
    (0..cores).try_for_each(|core| cores::thread_on(gdb, core).map(drop))?;
    let said = gdb.check("thread apply all backtrace", &["toro_sched::"])?;
    let first = said.matches("#0 ").count();
    ensure!(first > cores as usize, "a thread has no frame:\n{said}");
    Ok(())
}

/// Packets as gdb sends them, none of which changes what the image does when it goes on without gdb.
const ORDINARY: &[&str] = &[
    "?",
    "qSupported:multiprocess+;swbreak+;hwbreak+;xmlRegisters=i386",
    "vMustReplyEmpty",
    "vCont?",
    "Hg1",
    "Hc-1",
    "qC",
    "T1",
    "g",
    "p10",
    "m100000,40",
    "m0,8",
    "mffffffffffffffff,10",
    "Z0,100200,1",
    "z0,100200,1",
    "Z2,200000,8",
    "z2,200000,8",
    "qXfer:features:read:target.xml:0,ffb",
    "qXfer:threads:read::0,ffb",
    "qRcmd,68656170",
    "qRcmd,74687265616473",
    "qAttached:1",
    "qTStatus",
    "QStartNoAckMode",
];

/// What changes memory, registers, or who runs: sent with a wrong sum only.
const HARMFUL: &[u8] = b"MXGPDkcCsSvR";

/// A deterministic source of numbers (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    /// One of the ordinary packets with a few bytes changed, put in or left out.
    fn packet(&mut self) -> Vec<u8> {
        let mut text = ORDINARY[self.below(ORDINARY.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(text.len() + 1);
            match self.below(5) {
                0 if at < text.len() => text[at] = self.byte(),
                1 => text.insert(at, self.byte()),
                2 if at < text.len() => drop(text.remove(at)),
                3 => text.truncate(at),
                _ => {
                    let more = text.clone();
                    text.extend_from_slice(&more);
                }
            }
        }
        text
    }
}

/// A connection to the debugger, without gdb.
struct Wire {
    stream: UnixStream,
    /// What has come and was not looked at.
    left: Vec<u8>,
}

impl Wire {
    fn connect(server: &Debugged) -> Result<Self> {
        let stream = UnixStream::connect(&server.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let left = Vec::new();
        Ok(Self { stream, left })
    }

    fn send(&mut self, text: &[u8], is_sound: bool) -> Result<()> {
        let sum = text
            .iter()
            .fold(u8::from(!is_sound), |sum, byte| sum.wrapping_add(*byte));
        let packet = [b"$", text, format!("#{sum:02x}").as_bytes()].concat();
        self.stream
            .write_all(&packet)
            .context("the debugger takes nothing")
    }

    /// Waits until `wanted` has come.
    fn wait(&mut self, wanted: &[u8]) -> Result<()> {
        let mut room = [0; 4096];
        loop {
            if let Some(at) = self
                .left
                .windows(wanted.len())
                .position(|piece| piece == wanted)
            {
                self.left.drain(..at + wanted.len());
                return Ok(());
            }
            let len = self
                .stream
                .read(&mut room)
                .context("the debugger says nothing")?;
            if len == 0 {
                bail!("the machine has ended");
            }
            self.left.extend_from_slice(&room[..len]);
        }
    }
}

/// Sends `count` packets, most of them damaged, and looks after each few whether the debugger answers; the server serves afterwards.
fn lives_through(
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    count: usize,
) -> Result<()> {
    let at = At {
        // Long answers leave a serial port byte by byte, each of which an emulator stops for.
        over: Over::Console,
        machine: Machine::Pc,
        cores: 2,
    };
    let mut server = Debugged::start(workspace, package, image, at, "")?;
    let load = Load::start(server.address);
    load.goes_on(1)?;
    let mut wire = Wire::connect(&server)?;
    talk(&mut wire, &mut server.running, count).with_context(|| server.running.tail())?;
    wire.send(b"D", true)?;
    wire.wait(b"$OK#9a")?;
    drop(wire);
    load.goes_on(20)?;
    server.running.check_alive()
}

/// The image has a debugger and the machine a port for it, but the command line does not say so.
fn is_off(workspace: &Workspace, package: &Package, image: &Image) -> Result<()> {
    let mut wish = Wish::of(package, Machine::Pc)?;
    wish.on_free_ports()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, wish.ports[0].host));
    let name = format!("toro-{}-off.gdb", std::process::id());
    let socket = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&socket);
    let mut vm = wish.vm(workspace, package, image)?;
    let backend = format!("socket,id=gdb,path={},server=on,wait=off", socket.display());
    vm.extra.extend(["-chardev".to_owned(), backend]);
    let port = "isa-serial,index=1,chardev=gdb".to_owned();
    vm.extra.extend(["-device".to_owned(), port]);
    let mut running = Running::start(&vm.command())?;
    let load = Load::start(address);
    load.goes_on(1).with_context(|| running.tail())?;
    let mut stream = UnixStream::connect(&socket)?;
    let _ = std::fs::remove_file(&socket);
    // Ctrl-C, and the question why it has stopped.
    stream.write_all(b"\x03$?#3f")?;
    // A debugger would hold the server now.
    load.goes_on(20).with_context(|| running.tail())?;
    stream.set_nonblocking(true)?;
    let answer = stream.read(&mut [0; 64]);
    let is_silent = matches!(&answer, Err(error) if error.kind() == ErrorKind::WouldBlock);
    ensure!(is_silent, "it answers: {answer:?}");
    let listens = |line: &String| line.contains(gdb::LISTENS);
    ensure!(!running.lines().iter().any(listens), "{}", running.tail());
    running.check_alive()
}

/// Sends the packets.
fn talk(wire: &mut Wire, running: &mut Running, count: usize) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let text = random.packet();
        let is_harmful = text.iter().any(|byte| b"$#\x03".contains(byte))
            || text.first().is_some_and(|first| HARMFUL.contains(first));
        wire.send(&text, !is_harmful)?;
        if number % 20 == 19 || number + 1 == count {
            // Bytes of the description that no packet above asks for.
            wire.send(b"qXfer:features:read:target.xml:2,3", true)?;
            wire.wait(b"$mxml#").with_context(|| {
                format!(
                    "after packet {number}, {:?}",
                    String::from_utf8_lossy(&text)
                )
            })?;
            running.check_alive()?;
        }
    }
    Ok(())
}
