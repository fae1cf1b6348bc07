//! `cargo xtask trace`: boots an appliance as `run` does and writes down what happens on its cores.
//!
//! Events come from a console port (`toro_abi::trace`) and are kept until the end, for names may come late. Then [`chrome`] makes of
//! them what Perfetto and Chromium read, and [`flame`] what the timer's interrupt has sampled, as folded stacks and a flame graph.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use toro_abi::trace::{Decoder, Event, Greeting, Piece, Source};

use crate::build::{Extras, Image};
use crate::qemu::Monitor;
use crate::run;
use crate::run::listener::{self, Listener, Listening};

mod chrome;
mod flame;
mod names;

/// The unit, and the console port through which it tells what happens.
pub(crate) const PORT: &str = "trace";

/// No image has more cores.
const MAX_CORES: usize = 64;

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
#[group(id = "tracing")]
pub(crate) struct Args {
    /// Where the events go, as JSON for https://ui.perfetto.dev or chrome://tracing. Without it, and without a flame graph, a file in the
    /// current folder, named after the appliance.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End the appliance after so many seconds of tracing; without it Ctrl-C does.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Where a flame graph of the time of all cores goes, as SVG: the cores are interrupted often and asked where they are.
    #[arg(long, value_name = "FILE")]
    flame: Option<PathBuf>,
    /// Where the stacks behind a flame graph go, a line each with how often it was seen.
    #[arg(long, value_name = "FILE")]
    folded: Option<PathBuf>,
    /// How often a second a core is asked.
    #[arg(long, value_name = "HZ", default_value_t = 997, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    #[command(flatten)]
    run: run::Args,
}

/// What came from an image.
#[derive(Debug)]
struct Recording {
    greeting: Greeting,
    chunks: Vec<Chunk>,
}

impl Recording {
    /// How many cores there are.
    fn cores(&self) -> usize {
        let seen = self.chunks.iter().map(|chunk| chunk.core + 1).max();
        let told = usize::try_from(self.greeting.cores).unwrap_or(usize::MAX);
        // What a broken stream tells is not believed.
        told.min(MAX_CORES).max(seen.unwrap_or(0))
    }

    /// The events of a core that came from `source`, in order.
    fn events(&self, core: usize, source: Source) -> impl Iterator<Item = &Event> {
        let is_wanted = move |chunk: &&Chunk| chunk.core == core && chunk.source == source;
        self.chunks
            .iter()
            .filter(is_wanted)
            .flat_map(|chunk| &chunk.events)
    }
}

/// Events of one core, in order.
#[derive(Debug)]
struct Chunk {
    core: usize,
    source: Source,
    /// How many were overwritten before these.
    lost: u64,
    events: Vec<Event>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mut outputs = Outputs {
        events: args.output.clone(),
        flame: args.flame.clone(),
        folded: args.folded.clone(),
        rate: args.rate,
        seconds: args.seconds.map(Duration::from_secs),
    };
    if outputs.events.is_none() && !outputs.samples() {
        outputs.events = Some(format!("{}.trace.json", args.run.appliance()).into());
    }
    for path in outputs.paths() {
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    run::boot(&args.run, Some(&outputs))
}

/// Where it all goes.
#[derive(Clone, Debug)]
struct Outputs {
    events: Option<PathBuf>,
    flame: Option<PathBuf>,
    folded: Option<PathBuf>,
    rate: u32,
    seconds: Option<Duration>,
}

impl Outputs {
    /// Whether the cores are sampled.
    fn samples(&self) -> bool {
        self.flame.is_some() || self.folded.is_some()
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.events, &self.flame, &self.folded]
            .into_iter()
            .flatten()
    }

    /// Writes what is wanted of `recording`, and says what there is.
    fn write(&self, recording: &Recording, image: &Image) -> Result<String> {
        let mut said = Vec::new();
        if let Some(path) = &self.events {
            let mut out = BufWriter::new(create(path)?);
            let summary = chrome::write(recording, &mut out)?;
            out.flush()?;
            said.push(format!(
                "{summary} in {}; https://ui.perfetto.dev opens it",
                path.display()
            ));
        }
        if self.samples() {
            let debug = fs::read(&image.debug)?;
            let stacks = flame::Stacks::of(recording, &debug)?;
            if let Some(path) = &self.folded {
                fs::write(path, stacks.folded())
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            if let Some(path) = &self.flame {
                stacks.draw(BufWriter::new(create(path)?))?;
            }
            said.push(stacks.summary());
        }
        Ok(said.join("\n"))
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

impl Listener for Outputs {
    fn unit(&self) -> &'static str {
        PORT
    }

    fn pick(&self, extras: &mut Extras) {
        extras.trace = true;
    }

    fn words(&self) -> String {
        match self.samples() {
            true => format!("sample={}", self.rate),
            false => String::new(),
        }
    }

    fn takes_output(&self) -> bool {
        false
    }

    fn listen(&self, socket: PathBuf, image: &Image, monitor: &Path) -> Result<Listening> {
        let (outputs, image, monitor) = (self.clone(), image.clone(), monitor.to_owned());
        Ok(thread::spawn(move || {
            let stream = listener::connect(&socket)?;
            let recording = record(stream, outputs.seconds);
            if outputs.seconds.is_some() {
                // The machine may have ended by itself.
                let _ = Monitor::connect(&monitor)
                    .and_then(|mut machine| machine.ask("system_powerdown"));
            }
            outputs.write(&recording?, &image)
        }))
    }
}

/// Takes what comes from `stream` until it ends, or for `limit` from its beginning on.
fn record(mut stream: UnixStream, limit: Option<Duration>) -> Result<Recording> {
    /// How often the time is looked at.
    const LOOK: Duration = Duration::from_millis(50);
    stream.set_read_timeout(Some(LOOK))?;
    let (mut decoder, mut greeting, mut chunks) = (Decoder::default(), None, Vec::new());
    let (mut bytes, mut end) = (vec![0; 256 << 10], None);
    while end.is_none_or(|end| Instant::now() < end) {
        let len = match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if is_pause(&error) => continue,
            Err(error) => return Err(error).context("cannot read the events"),
        };
        decoder.push(&bytes[..len]);
        while let Some(piece) = decoder.next_piece()? {
            match piece {
                Piece::Greeting(greets) => {
                    greeting = Some(greets);
                    end = limit.map(|limit| Instant::now() + limit);
                }
                Piece::Chunk {
                    core,
                    source,
                    lost,
                    events,
                } => chunks.push(Chunk {
                    core,
                    source,
                    lost,
                    events,
                }),
            }
        }
    }
    let Some(greeting) = greeting else {
        bail!("the image ended before it had traced anything");
    };
    Ok(Recording { greeting, chunks })
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
