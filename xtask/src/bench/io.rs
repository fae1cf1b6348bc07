//! The client of `bench devices` and `bench files`: has a guest move data, over TCP or vsock, and measures that.
//!
//! Both guests listen at [`PORT`] and take one line for each connection, as `appliances/bench-io/src/command.rs` tells and `linux_io.c` does
//! the same. What streams carry goes through this client; disks and files are moved inside the guest, which says when it is done.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::rounds::{Effort, Latency, Outcome, Peer};
use super::{Common, proc};
use crate::qemu::Machine;

/// Where the guests listen.
pub(super) const PORT: u16 = 7000;
/// A guest that says nothing for so long is dead.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that the client writes and reads at a time where the load does not say it.
const PIECE: usize = 64 << 10;

/// The arguments of both verbs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// The machine type of both guests.
    #[arg(long, value_enum, default_value = "q35")]
    pub(super) machine: Machine,
}

/// The way that a stream takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Tcp,
    Vsock,
}

/// What is done, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The guest writes.
    Send(Way),
    /// The guest reads.
    Receive(Way),
    /// The guest sends back what it gets, piece by piece.
    Echo(Way),
    /// Requests to the first disk.
    Disk {
        is_write: bool,
        depth: u32,
        is_random: bool,
    },
    /// Pieces of a file within so many bytes from its start.
    File {
        is_write: bool,
        path: &'static str,
        span: u64,
        is_random: bool,
    },
    /// Open, read and close of small files.
    Opens { folder: &'static str, files: u32 },
}

/// A load: so many operations of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) work: Work,
    /// Bytes of an operation.
    pub(super) len: u64,
    /// Operations of a quick run.
    pub(super) count: u64,
    /// Commands that go before it and are not measured.
    pub(super) before: &'static [&'static str],
}

impl Load {
    /// How many operations make a run.
    fn operations(&self, effort: Effort) -> u64 {
        match (self.is_one_pass(), effort) {
            (true, _) | (_, Effort::Quick) => self.count,
            (_, Effort::Little) => (self.count / 4).max(1),
            (_, Effort::Full) => self.count * 3,
        }
    }

    /// A file that was just made new or forgotten is so only once.
    fn is_one_pass(&self) -> bool {
        matches!(self.work, Work::File { .. }) && !self.before.is_empty()
    }

    /// The line that the guest gets.
    fn command(&self, count: u64) -> String {
        let len = self.len;
        let order = |is_random| if is_random { "random" } else { "sequential" };
        let verb = |is_write| if is_write { "write" } else { "read" };
        match self.work {
            Work::Send(_) => format!("send {len} {count}"),
            Work::Receive(_) => format!("receive {len} {count}"),
            Work::Echo(_) => format!("echo {len} {count}"),
            Work::Disk {
                is_write,
                depth,
                is_random,
            } => format!(
                "disk {} {len} {depth} {count} {}",
                verb(is_write),
                order(is_random)
            ),
            Work::File {
                is_write,
                path,
                span,
                is_random,
            } => format!(
                "{} {path} {len} {count} {span} {}",
                verb(is_write),
                order(is_random)
            ),
            Work::Opens { folder, files } => format!("opens {folder} {files} {count}"),
        }
    }
}

/// Has the guest do what goes before `load`.
pub(super) fn prepare(load: &Load, peer: &Peer) -> Result<()> {
    for command in load.before {
        let mut connection = Connection::open(Way::Tcp, peer)?;
        connection.say(command)?;
        connection.hear().with_context(|| format!("`{command}`"))?;
    }
    Ok(())
}

/// Puts `load` on the guest at `peer` from the client's core.
pub(super) fn run(load: &Load, peer: &Peer, effort: Effort) -> Result<Outcome> {
    let count = load.operations(effort);
    let command = load.command(count);
    let _core = proc::OnClientCore::enter()?;
    move_data(load, peer, count, &command).with_context(|| format!("`{command}`"))
}

fn move_data(load: &Load, peer: &Peer, count: u64, command: &str) -> Result<Outcome> {
    let way = match load.work {
        Work::Send(way) | Work::Receive(way) | Work::Echo(way) => way,
        _ => Way::Tcp,
    };
    let frames = |peer: &Peer| peer.tap.frames();
    let before = frames(peer)?;
    let mut connection = Connection::open(way, peer)?;
    let started = Instant::now();
    connection.say(command)?;
    let len = usize::try_from(load.len)?;
    let latency = match load.work {
        Work::Send(_) => connection.receive(load.len * count).map(|()| None),
        Work::Receive(_) => connection.send(len, count).map(|()| None),
        Work::Echo(_) => connection.echo(len, count).map(Some),
        _ => Ok(None),
    }?;
    connection.hear()?;
    let seconds = started.elapsed().as_secs_f64();
    let moved = frames(peer)? - before;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (requests, bytes, moved) = (count as f64, (count * load.len) as f64, moved as f64);
    let is_tcp = matches!(load.work, Work::Send(Way::Tcp) | Work::Receive(Way::Tcp));
    Ok(Outcome {
        requests,
        rate: requests / seconds,
        latency,
        throughput: bytes / f64::from(1 << 20) / seconds,
        frames: is_tcp.then_some(moved / seconds),
        errors: 0.0,
    })
}

/// A connection to the guest.
struct Connection {
    stream: BufReader<Box<dyn ReadWrite>>,
}

trait ReadWrite: Read + Write {}

impl<S: Read + Write> ReadWrite for S {}

impl Connection {
    fn open(way: Way, peer: &Peer) -> Result<Self> {
        let stream: Box<dyn ReadWrite> = match way {
            Way::Tcp => {
                let address = SocketAddr::new(peer.tap.guest().into(), PORT);
                let stream = TcpStream::connect_timeout(&address, PATIENCE)
                    .with_context(|| format!("cannot connect to {address}"))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Way::Vsock => {
                let sockets = peer.vsock.context("the guest has no vsock")?;
                let stream: UnixStream = sockets.connect(u32::from(PORT), PATIENCE)?;
                Box::new(stream)
            }
        };
        let stream = BufReader::with_capacity(PIECE, stream);
        Ok(Self { stream })
    }

    fn say(&mut self, command: &str) -> Result<()> {
        let line = format!("{command}\n");
        self.stream.get_mut().write_all(line.as_bytes())?;
        Ok(())
    }

    /// Reads the guest's last line, and the end of the stream.
    fn hear(&mut self) -> Result<()> {
        let mut answer = String::new();
        self.stream.read_line(&mut answer)?;
        match answer.as_str() {
            "done\n" => {}
            "" => bail!("the guest ended the connection"),
            other => bail!("the guest says: {}", other.trim_end()),
        }
        let mut rest = [0];
        ensure!(self.stream.read(&mut rest)? == 0, "more than was asked for");
        Ok(())
    }

    fn receive(&mut self, mut left: u64) -> Result<()> {
        let mut bytes = vec![0; PIECE];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = self.stream.read(&mut bytes[..most])?;
            ensure!(read > 0, "the guest ended {left} bytes early");
            left -= read as u64;
        }
        Ok(())
    }

    fn send(&mut self, len: usize, count: u64) -> Result<()> {
        let bytes = vec![b'y'; len];
        (0..count).try_for_each(|_| Ok(self.stream.get_mut().write_all(&bytes)?))
    }

    /// Returns how long a piece took to come back.
    fn echo(&mut self, len: usize, count: u64) -> Result<Latency> {
        let (sent, mut back) = (vec![b'z'; len], vec![0; len]);
        let mut times = Vec::new();
        for _ in 0..count {
            let started = Instant::now();
            self.stream.get_mut().write_all(&sent)?;
            self.stream.read_exact(&mut back)?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            ensure!(back == sent, "what came back is not what was sent");
        }
        Latency::of(times).context("nothing was sent")
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Load, Way, Work};

    const READ: Load = Load {
        work: Work::Disk {
            is_write: false,
            depth: 32,
            is_random: true,
        },
        len: 4096,
        count: 1000,
        before: &[],
    };

    #[test]
    fn commands_are_what_the_guests_understand() {
        assert_eq!(READ.command(7), "disk read 4096 32 7 random");
        let echo = Load {
            work: Work::Echo(Way::Vsock),
            len: 64,
            ..READ
        };
        assert_eq!(echo.command(9), "echo 64 9");
    }

    #[test]
    fn a_pass_through_a_cold_file_is_never_a_second_one() {
        assert_eq!(READ.operations(Effort::Full), 3000);
        let cold = Load {
            work: Work::File {
                is_write: false,
                path: "/fat/big.bin",
                span: 4_096_000,
                is_random: false,
            },
            before: &["cold /fat:fat:blk0"],
            ..READ
        };
        for effort in [Effort::Little, Effort::Quick, Effort::Full] {
            assert_eq!(cold.operations(effort), 1000);
        }
    }
}
