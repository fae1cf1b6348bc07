//! `cargo xtask pcap`: boots an appliance as `run` does and writes down what its network cards receive and send.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::run;

/// The console port through which an image tells what its cards see.
pub(crate) const PORT: &str = "pcap";

/// QEMU makes its sockets within this time.
const PATIENCE: Duration = Duration::from_secs(60);

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
    run::boot(&args.run, Some(&path))
}

/// Whether the capture goes to the standard output.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-")
}

/// Copies what comes from `socket`, once it is there, to `output` until QEMU ends. Hands out the number of bytes.
///
/// # Errors
/// Fails if the output cannot be made.
pub(crate) fn follow(socket: PathBuf, output: &Path) -> Result<JoinHandle<Result<u64>>> {
    let mut output: Box<dyn Write + Send> = match is_standard_output(output) {
        true => Box::new(io::stdout()),
        false => {
            let file = File::create(output);
            Box::new(file.with_context(|| format!("cannot write {}", output.display()))?)
        }
    };
    Ok(thread::spawn(move || copy(&socket, &mut output)))
}

fn copy(socket: &Path, output: &mut dyn Write) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut input = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("no socket at {}", socket.display()));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
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
