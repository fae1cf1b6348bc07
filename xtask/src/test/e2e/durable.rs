//! `durable-log` on FAT and on a raw disk: kills of QEMU, and every disk that a power cut may leave.
//!
//! A first life runs on a disk whose writes and flushes QEMU records ([`recording`]); from the record, disks are rebuilt as a cut would have
//! left them and examined here, by the crates that the appliance is made of ([`examine`]); a sample of them is booted. Then QEMU is killed in the middle of appends,
//! again and again, and the next life has to find what was acknowledged.

mod examine;
mod recording;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::examine::Kind;
use self::recording::Recording;
use super::TIMEOUT;
use crate::build::{self, Image, Profile};
use crate::qemu::{Disk, Forward, Machine, Running};
use crate::run::{Disks, Wish};
use crate::test::Depth;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const NAME: &str = "durable-log";

/// From start to the first connection, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// No answer may take longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Records of the life that is recorded.
const RECORDS: u64 = 60;
/// The disk that is recorded: rebuilt thousands of times, so small.
const CUT_MEBIBYTES: u32 = 2;
/// The disk of the lives that are killed: all that fifty of them append fits.
const KILL_MEBIBYTES: u32 = 4;
/// Most that is appended in one life that is killed.
const BURST: u64 = 40;

/// Runs both, on both kinds of disk.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    let cases = [Kind::Fat, Kind::Raw].map(|kind| {
        let name = |what: &str| format!("e2e: durable-log on {} {what}", kind.name());
        (
            kind,
            name("loses nothing in a power cut"),
            name("loses nothing when QEMU is killed"),
        )
    });
    if !cases
        .iter()
        .any(|(_, cut, kill)| tally.wants(cut) || tally.wants(kill))
    {
        return;
    }
    let image = match build::build(workspace, NAME, Profile::Release) {
        Ok(image) => image,
        Err(error) => return tally.record("e2e: durable-log", Err(error)),
    };
    for (kind, cut, kill) in cases {
        let bench = Bench {
            workspace: workspace.clone(),
            image: image.clone(),
            kind,
        };
        let other = bench.clone();
        tally.case(&cut, TIMEOUT * 4, move || {
            power_cuts(&bench, depth.pick(50, 100, 5_000), depth.pick(1, 1, 20))
        });
        tally.case(&kill, TIMEOUT * 4, move || {
            kills(&other, depth.pick(1, 2, 50))
        });
    }
}

/// What a life is made of.
#[derive(Clone)]
struct Bench {
    workspace: Workspace,
    image: Image,
    kind: Kind,
}

impl Bench {
    /// A file of this kind's tests.
    fn path(&self, suffix: &str) -> Result<PathBuf> {
        let folder = self.workspace.target("disk")?;
        Ok(folder.join(format!("{NAME}-{}-{suffix}", self.kind.name())))
    }

    /// A new disk of that many MiB.
    fn disk(&self, suffix: &str, mebibytes: u32) -> Result<Disk> {
        let folder = self.workspace.target("disk")?;
        let name = format!("{NAME}-{}-{suffix}", self.kind.name());
        let recipe = format!("{mebibytes}M{}", self.kind.format());
        Disk::scratch(&recipe, &folder, &name, Path::new("."))
    }

    /// Boots on `disk` and waits until it takes connections.
    fn boot(&self, disk: Disk) -> Result<Life> {
        let package = self.workspace.appliance(NAME)?;
        let mut wish = Wish::of(package, Machine::Microvm)?;
        let forward = Forward::from_free_port(7000)?;
        wish.ports = vec![forward];
        wish.disks = Disks::Given(vec![disk]);
        self.kind.append().clone_into(&mut wish.append);
        let vm = wish.vm(&self.workspace, package, &self.image)?;
        let mut running = Running::start(&vm.command())?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while !running
            .lines()
            .iter()
            .any(|line| line.contains("listening"))
        {
            running.check_alive()?;
            ensure!(
                Instant::now() < deadline,
                "it is not up in time\n{}",
                running.tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Life {
            running,
            answers: BufReader::new(stream.try_clone()?),
            stream,
        })
    }
}

/// An appliance that runs, and a client.
struct Life {
    running: Running,
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Life {
    fn say(&mut self, line: &str) -> Result<()> {
        self.stream.write_all(line.as_bytes())?;
        Ok(self.stream.write_all(b"\n")?)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        let len = self.answers.read_line(&mut line);
        ensure!(
            len.context("no answer came")? > 0,
            "it has hung up\n{}",
            self.running.tail()
        );
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line)?;
        self.hear()
    }

    /// How many records there are.
    fn count(&mut self) -> Result<u64> {
        let count = self.ask("count")?;
        Ok(count.strip_prefix("count ").context("no count")?.parse()?)
    }

    /// The newest of `count` records are what was appended.
    fn check_newest(&mut self, count: u64) -> Result<()> {
        for number in (0..count).rev().take(50) {
            let expected = format!("record {}", examine::record(number));
            let found = self.ask(&format!("get {number}"))?;
            ensure!(found == expected, "record {number} is {found}");
        }
        Ok(())
    }

    /// Appends record `number` and waits until that counts.
    fn append(&mut self, number: u64) -> Result<()> {
        let answer = self.ask(&format!("append {}", examine::record(number)))?;
        ensure!(
            answer == format!("ok {number}"),
            "record {number}: {answer}"
        );
        Ok(())
    }
}

/// A disk as a power cut left it.
struct Cut {
    /// Where in the record it was cut.
    place: String,
    disk: Vec<u8>,
    /// So many records were acknowledged.
    required: u64,
}

/// Rebuilds `cuts` disks from the record of a life, examines each, and boots on `boots` of them.
fn power_cuts(bench: &Bench, cuts: usize, boots: usize) -> Result<()> {
    let mut disk = bench.disk("cut", CUT_MEBIBYTES)?;
    let before = fs::read(&disk.path)?;
    let log = bench.path("cut.log")?;
    // As large as it may become; sparse.
    File::create(&log)?.set_len(1 << 30)?;
    disk.log = Some(log.clone());
    let path = disk.path.clone();
    let mut life = bench.boot(disk)?;
    for number in 0..RECORDS {
        life.append(number)?;
    }
    drop(life);
    let outcome = examine_cuts(bench.kind, before, &Recording::read(&log)?, cuts, boots);
    fs::remove_file(&log)?;
    for cut in outcome? {
        boot_after(bench, &cut).with_context(|| format!("booted after a {}", cut.place))?;
    }
    let end =
        examine::replayed(bench.kind, fs::read(&path)?, false).context("the disk at the end")?;
    ensure!(end == RECORDS, "{end} of {RECORDS} records at the end");
    Ok(())
}

/// The appliance itself finds on the disk what was acknowledged, and appends behind it.
fn boot_after(bench: &Bench, cut: &Cut) -> Result<()> {
    let disk = bench.disk("boot", CUT_MEBIBYTES)?;
    fs::write(&disk.path, &cut.disk)?;
    let mut life = bench.boot(disk)?;
    let count = life.count()?;
    ensure!(
        count >= cut.required,
        "{count} records, {} were acknowledged",
        cut.required
    );
    life.append(count)?;
    life.check_newest(count + 1)
}

/// Examines `cuts` disks and returns `boots` of them.
fn examine_cuts(
    kind: Kind,
    before: Vec<u8>,
    recording: &Recording,
    cuts: usize,
    boots: usize,
) -> Result<Vec<Cut>> {
    let spans = recording.spans();
    ensure!(
        spans.len() as u64 > RECORDS,
        "{} flushes for {RECORDS} records",
        spans.len()
    );
    let mut random = Random(0x7063_7574);
    let (mut disk, mut chosen, mut examined) = (before, Vec::new(), 0);
    // The record that was sent last when a write with it was seen: all before it were acknowledged.
    let mut sent = 0;
    for (nth, span) in spans.iter().enumerate() {
        // Each span has its share of the cuts, one at least while they last.
        let share = cuts * (nth + 1) / spans.len() - cuts * nth / spans.len();
        for round in 0..share {
            let end = usize::try_from(random.below(span.len() as u64 + 1))?;
            let seen = span[..end].iter().filter_map(|write| write.newest);
            let required = seen.fold(sent, u64::max);
            let mut rebuilt = disk.clone();
            let keep = random.below(3);
            for write in &span[..end] {
                // All, none, or any sectors of them.
                write.apply(&mut rebuilt, || {
                    keep == 2 || (keep == 1 && random.below(2) == 0)
                });
            }
            let context = || {
                format!(
                    "cut in span {nth} of {}, behind {end} writes, round {round}",
                    spans.len()
                )
            };
            if (examined * boots + cuts / 2) / cuts > chosen.len() {
                chosen.push(Cut {
                    place: context(),
                    disk: rebuilt.clone(),
                    required,
                });
            }
            examined += 1;
            let with_checker = (nth + round) % 10 == 0;
            let found = examine::replayed(kind, rebuilt, with_checker).with_context(context)?;
            if found < required {
                bail!(
                    "{}: {found} records, {required} were acknowledged",
                    context()
                );
            }
        }
        for write in *span {
            sent = sent.max(write.newest.unwrap_or(0));
            write.apply(&mut disk, || true);
        }
    }
    Ok(chosen)
}

/// Kills QEMU in the middle of appends, `lives` times on the same disk.
fn kills(bench: &Bench, lives: u64) -> Result<()> {
    let disk = bench.disk("kill", KILL_MEBIBYTES)?;
    let mut random = Random(0x6b69_6c6c);
    let mut acknowledged = 0;
    for life in 0..=lives {
        let mut running = bench.boot(disk.clone())?;
        let count = running.count()?;
        ensure!(
            count >= acknowledged,
            "life {life}: {count} records, {acknowledged} were acknowledged"
        );
        running
            .check_newest(count)
            .with_context(|| format!("life {life}"))?;
        acknowledged = count;
        if life == lives {
            break;
        }
        // More is under way than is waited for.
        for number in count..count + BURST {
            running.say(&format!("append {}", examine::record(number)))?;
        }
        for _ in 0..random.below(BURST) {
            let answer = running.hear()?;
            ensure!(
                answer == format!("ok {acknowledged}"),
                "life {life}: {answer}"
            );
            acknowledged += 1;
        }
    }
    let bytes = fs::read(&disk.path)?;
    let found = examine::replayed(bench.kind, bytes, true)?;
    ensure!(
        found >= acknowledged,
        "{found} records, {acknowledged} were acknowledged"
    );
    Ok(())
}

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
