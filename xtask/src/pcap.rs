//! `cargo xtask pcap`: boots an appliance as `run` does and writes down what its network cards receive and send.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result};

use crate::build::{Extras, Image};
use crate::run;
use crate::run::listener::{self, Listener, Listening};

/// The console port through which an image tells what its cards see.
pub(crate) const PORT: &str = "pcap";

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
#[group(id = "capture")]
pub(crate) struct Args {
    /// Where the capture goes, as pcapng; `-` is the standard output, for a program like tshark (the appliance's own output then goes to the
    /// standard error). Without it a file in the current folder, named after the appliance.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    run: run::Args,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let path = match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.pcapng", args.run.appliance())),
    };
    // Before anything is built or booted for nothing.
    let create = |path: &Path| {
        File::create(path).with_context(|| format!("cannot write {}", path.display()))
    };
    let output = (path != Path::new("-")).then(|| create(&path));
    let output = output.transpose()?;
    run::boot(&args.run, Some(&Capture { output }))
}

/// A capture, and where it goes.
struct Capture {
    /// `None` for the standard output.
    output: Option<File>,
}

impl Listener for Capture {
    fn unit(&self) -> &'static str {
        PORT
    }

    fn pick(&self, extras: &mut Extras) {
        extras.pcap = true;
    }

    fn takes_output(&self) -> bool {
        self.output.is_none()
    }

    fn listen(&self, socket: PathBuf, _: &Image, _: &Path) -> Result<Listening> {
        let mut output: Box<dyn Write + Send> = match &self.output {
            None => Box::new(io::stdout()),
            Some(file) => Box::new(file.try_clone()?),
        };
        Ok(thread::spawn(move || {
            let bytes = copy(&socket, &mut output)?;
            Ok(format!("{bytes} bytes of capture"))
        }))
    }
}

/// Copies what comes from `socket`, once it is there, to `output` until QEMU ends. Returns the number of bytes.
fn copy(socket: &Path, output: &mut dyn Write) -> Result<u64> {
    let mut input = listener::connect(socket)?;
    let (mut bytes, mut total) = ([0; 64 << 10], 0);
    loop {
        let len = input.read(&mut bytes)?;
        if len == 0 {
            return Ok(total);
        }
        output
            .write_all(&bytes[..len])
            .context("cannot write the capture")?;
        // Whoever looks on sees frames as they come.
        output.flush()?;
        total += len as u64;
    }
}
