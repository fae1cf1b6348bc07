//! `cargo xtask core`: opens the core file that a failed image has left, or takes it out of the disk that it was written to.
//!
//! Plain gdb opens it as well: `gdb NAME.debug FILE`. This verb finds the unstripped image by the number of its build, and tells gdb the names
//! of the threads, for which the core files of Linux have no place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use object::LittleEndian;
use object::elf::{ET_CORE, FileHeader64, NT_PRSTATUS};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::qemu::{Disk, Memory};
use crate::setup::{self, Tool};
use crate::workspace::Workspace;
use crate::{process, symbolize};

/// What a disk for a core file has beside the memory of the machine: headers, and the registers of many threads.
const MORE: u64 = 64 << 20;

/// The name of the notes that say for people what there is to say, and their kind.
const TEXT: (&[u8], u32) = (b"TORO", 1);

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The core file, or the disk that holds it.
    file: PathBuf,
    /// Copies the core file there, instead of opening it.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The unstripped image, instead of one that was built here: a `.debug` file.
    #[arg(long, value_name = "FILE")]
    debug: Option<PathBuf>,
    /// Runs the commands of this file instead of asking for some, and ends with the status of gdb.
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    test_script: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let path = args.file.display();
    let found = Found::read(&args.file)?;
    let found = found.with_context(|| format!("{path} holds no core file: nothing has failed"))?;
    if let Some(output) = &args.output {
        let context = || format!("cannot copy {path} to {}", output.display());
        fs::copy(&args.file, output).with_context(context)?;
        shorten(output, found.len)?;
        print!("{}", found.text);
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(&[Tool::Gdb])?;
    let workspace = Workspace::load()?;
    let debug = match &args.debug {
        Some(debug) => debug.clone(),
        None => found.image(&workspace)?,
    };
    let mut gdb = found.gdb(&workspace, &debug, &args.file);
    if let Some(script) = &args.test_script {
        gdb.args(["-batch", "-x"]).arg(script);
    }
    eprintln!("{}", process::shown(&gdb));
    let status = gdb.status().context("cannot start gdb")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What there is to know of a core file.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its length: on a disk, other bytes may follow.
    pub(crate) len: u64,
    /// The numbers of its threads, in the order in which gdb numbers them from 1.
    threads: Vec<u32>,
    /// What the image said of itself: its build, its cores and its threads.
    text: String,
}

impl Found {
    /// Reads what is in `path`; `None` if it is empty, as a disk to which nothing was written.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let context = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(context)?;
        let size = file.metadata().with_context(context)?.len();
        let file = ReadCache::new(file);
        let bytes = |offset, len| object::ReadRef::read_bytes_at(&file, offset, len);
        match bytes(0, 4) {
            Err(()) | Ok([0, 0, 0, 0]) => return Ok(None),
            Ok(_) => {}
        }
        let broken = || {
            format!(
                "{} is no whole core file, as `cargo xtask run APPLIANCE --core FILE` has a failure write it",
                path.display()
            )
        };
        let header = FileHeader64::<LittleEndian>::parse(&file).with_context(broken)?;
        ensure!(header.e_type(LittleEndian) == ET_CORE, broken());
        let program_headers = header.program_headers(LittleEndian, &file);
        let program_headers = program_headers.with_context(broken)?;
        let mut found = Self {
            len: 0,
            threads: Vec::new(),
            text: String::new(),
        };
        for header in program_headers {
            let (offset, len) = header.file_range(LittleEndian);
            let end = offset.checked_add(len).filter(|&end| end <= size);
            found.len = found.len.max(end.with_context(broken)?);
            let notes = header.notes(LittleEndian, &file).with_context(broken)?;
            let Some(mut notes) = notes else {
                continue;
            };
            while let Some(note) = notes.next().with_context(broken)? {
                found.note(note.name(), note.n_type(LittleEndian), note.desc());
            }
        }
        Ok(Some(found))
    }

    fn note(&mut self, name: &[u8], kind: u32, content: &[u8]) {
        if name == b"CORE" && kind == NT_PRSTATUS {
            let id = content.get(32..).and_then(<[u8]>::first_chunk);
            self.threads.extend(id.copied().map(u32::from_le_bytes));
        } else if (name, kind) == TEXT {
            self.text = String::from_utf8_lossy(content).into_owned();
        }
    }

    /// The unstripped image that it comes from, if it was built here.
    fn image(&self, workspace: &Workspace) -> Result<PathBuf> {
        let id = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix("build "));
        let id = id.and_then(|id| u64::from_str_radix(id, 16).ok());
        match id {
            Some(id) => symbolize::find(workspace, id),
            None => bail!("it names no build; name the unstripped image with --debug"),
        }
    }

    /// The name of a thread.
    fn name(&self, id: u32) -> Option<&str> {
        let start = format!("{id} (");
        let mut lines = self.text.lines();
        let named = lines.find_map(|line| line.strip_prefix(&start))?;
        let (name, _) = named.rsplit_once(") of core ")?;
        Some(name)
    }

    /// A gdb that has it open.
    pub(crate) fn gdb(&self, workspace: &Workspace, debug: &Path, core: &Path) -> Command {
        let mut gdb = Command::new(Tool::Gdb.program());
        gdb.arg("-quiet").arg(debug).arg(core);
        let sources = format!("directory {}", workspace.root.display());
        gdb.args(["-ex", &sources, "-ex", "set backtrace limit 200"]);
        for (number, &id) in (1..).zip(&self.threads) {
            if let Some(name) = self.name(id) {
                let command = format!("thread apply {number} -s -q thread name {name}");
                gdb.args(["-ex", &command]);
            }
        }
        gdb
    }
}

/// Makes an empty disk at `path` for what an image with so much memory leaves.
pub(crate) fn disk(path: &Path, memory: Memory) -> Result<Disk> {
    let made = File::create(path).and_then(|file| file.set_len(memory.bytes() + MORE));
    made.with_context(|| format!("cannot make {}", path.display()))?;
    Ok(Disk::new(path.to_owned()))
}

/// Makes the disk at `path` the core file that was written to it, and removes it if there is none.
pub(crate) fn settle(path: &Path) -> Result<()> {
    match Found::read(path)? {
        Some(found) => {
            shorten(path, found.len)?;
            eprintln!(
                "it has left a core file: cargo xtask core {}",
                path.display()
            );
            Ok(())
        }
        None => fs::remove_file(path).context("cannot remove an empty disk"),
    }
}

fn shorten(path: &Path, len: u64) -> Result<()> {
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_len(len))
        .with_context(|| format!("cannot shorten {}", path.display()))
}
