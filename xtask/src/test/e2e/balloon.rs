//! Memory that an image has freed is memory of the host again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::bench::proc;
use crate::build::{self, Extras, Profile};
use crate::qemu::{Forward, Machine, Memory, Running};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const NAME: &str = "e2e: the host gets back what an image has freed";
/// Keeps values in memory.
const IMAGE: &str = "resp";
/// Values and their bytes: 16 MiB in all.
const VALUES: usize = 32;
const VALUE: usize = 512 << 10;
/// What the host gets back of that at least, in KiB: how much is in shorter pieces depends on where the heap lies.
const BACK_KIB: u64 = 6 << 10;
/// No step waits longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the case.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    let workspace = workspace.clone();
    tally.case(NAME, TIMEOUT * 2, move || comes_back(&workspace));
}

fn comes_back(workspace: &Workspace) -> Result<()> {
    let extras = Extras {
        balloon: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, IMAGE, Profile::Release, extras)?;
    let package = workspace.appliance(IMAGE)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    let forward = Forward::from_free_port(6379)?;
    wish.ports = vec![forward];
    wish.cores = 2;
    wish.memory = Memory::MIB * 256;
    wish.balloon = true;
    wish.append.push_str(" log=info");
    let mut running = Running::start(&wish.vm(workspace, package, &image)?.command())?;
    running.wait_for(0, "balloon0: free memory is shown to the host")?;
    running.wait_for(0, "listening")?;
    let resident = |running: &Running| proc::resident_kib(running.pid()).context("QEMU has ended");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
    let mut client = Client::connect(address)?;
    // Twice: what was given back can be used again, and given back again.
    for _ in 0..2 {
        for number in 0..VALUES {
            let name = format!("value{number}");
            client.ask(&[b"SET", name.as_bytes(), &[b'v'; VALUE]], "+OK")?;
        }
        let full = resident(&running)?;
        for number in 0..VALUES {
            client.ask(&[b"DEL", format!("value{number}").as_bytes()], ":1")?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = resident(&running)?;
            if now + BACK_KIB <= full {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "{now} KiB are resident, {full} were\n{}",
                running.tail()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
    client.ask(&[b"SET", b"last", b"one"], "+OK")?;
    running.check_alive()
}

/// A connection to the image.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and expects its answer.
    fn ask(&mut self, words: &[&[u8]], expected: &str) -> Result<()> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).bytes());
            command.extend(*word);
            command.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&command)?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        ensure!(
            answer.trim_end() == expected,
            "it says `{}`",
            answer.trim_end()
        );
        Ok(())
    }
}
