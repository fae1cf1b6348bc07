//! [`Watch`]: looks on while the program runs, and has the last word.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use torov_abi::Call;
use torov_calls::{Ending, Frozen, Observer, Process};
use torov_host as host;
use torov_policy::{Profile, Subject, time};

use crate::failure::Failure;
use crate::options::{Command, Verb};
use crate::stats::Stats;
use crate::symbols::Symbols;
use crate::{core_file, snapshot, trace};

/// How many different denials are kept.
const MOST: usize = 256;

/// What looks on.
#[derive(Debug)]
pub(crate) struct Watch {
    verb: Verb,
    json: bool,
    profile: Profile,
    output: Option<(PathBuf, Mutex<File>)>,
    /// Whether a snapshot was written.
    is_kept: AtomicBool,
    stats: Mutex<Stats>,
    /// How often each denial happened.
    denied: Mutex<BTreeMap<(u64, String), u64>>,
    unsupported: Mutex<BTreeMap<u64, u64>>,
    core: Option<File>,
    program: Option<Program>,
}

/// What is known of the program that was loaded.
#[derive(Debug)]
pub(crate) struct Program {
    /// None of a program that comes from a snapshot: its file is not known.
    pub(crate) symbols: Option<Symbols>,
    pub(crate) auxiliary: Vec<u8>,
    pub(crate) name: String,
}

impl Watch {
    pub(crate) fn new(command: &Command, profile: &Profile) -> Result<Self, Failure> {
        let core = match &command.core {
            None => None,
            Some(path) => {
                let file = File::create(path);
                let file =
                    file.map_err(|error| Failure::own(format!("{}: {error}", path.display())));
                Some(file?)
            }
        };
        let output = match &command.output {
            None => None,
            Some(path) => {
                if command.verb == Verb::Snapshot {
                    // A file that is there may be mapped by programs that run from it: it is theirs as long as they do.
                    match fs::remove_file(path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(Failure::own(format!("{}: {error}", path.display())));
                        }
                        _ => {}
                    }
                }
                let file = File::create(path);
                let file =
                    file.map_err(|error| Failure::own(format!("{}: {error}", path.display())))?;
                Some((path.clone(), Mutex::new(file)))
            }
        };
        Ok(Self {
            verb: command.verb,
            json: command.json,
            profile: profile.clone(),
            output,
            is_kept: AtomicBool::new(false),
            stats: Mutex::default(),
            denied: Mutex::default(),
            unsupported: Mutex::default(),
            core,
            program: None,
        })
    }

    /// Says which program was loaded.
    pub(crate) fn loaded(&mut self, program: Program) {
        self.program = Some(program);
    }

    /// Leaves a core file, if one is wanted, and says what of the program's memory it could not write.
    fn leave_core(&self, process: &Process, report: &torov_calls::FaultReport) {
        if let (Some(file), Some(program)) = (&self.core, &self.program) {
            let (auxiliary, name) = (&program.auxiliary, &program.name);
            let mut threads = vec![report.remains()];
            threads.extend(process.remains(report.tid));
            let signal = report.signal;
            let dead = core_file::Dead {
                signal,
                threads,
                auxiliary,
                name,
            };
            let written = core_file::write(file, &dead, process.memory());
            if let Err(error) = written {
                eprintln!("torov: the core file is not whole: {error}");
            }
        }
    }

    /// Writes to where the reports go. A report that cannot be written is lost: the program's output comes first.
    fn write(&self, text: &str) {
        let written = match &self.output {
            Some((_, file)) => file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(text.as_bytes()),
            None => io::stderr().write_all(text.as_bytes()),
        };
        let _ = written;
    }

    /// What was denied, and what would allow it.
    fn explanation(&self) -> String {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let unsupported = self
            .unsupported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if denied.is_empty() && unsupported.is_empty() {
            text.push_str("torov: nothing was denied\n");
        }
        for ((number, subject), count) in denied.iter() {
            let Some(name) = torov_abi::name_of(*number) else {
                text.push_str(&format!(
                    "torov: denied {count} x call {number}, which Linux has not\n"
                ));
                continue;
            };
            text.push_str(&format!("torov: denied {count} x {name}\n"));
            if !torov_calls::is_supported(name) {
                text.push_str("    torov does not have it: allowed, it fails with ENOSYS\n");
                continue;
            }
            if subject.is_empty() {
                text.push_str(&format!(
                    "    to allow it, add \"{name}\" to `allow` below [syscalls]\n"
                ));
            } else {
                let lines = subject.replace(", mode", "\n    mode");
                text.push_str(&format!(
                    "    to allow it, add\n    [[rule]]\n    call = \"{name}\"\n    {lines}\n"
                ));
            }
        }
        for (number, count) in unsupported.iter() {
            let name = torov_abi::name_of(*number).unwrap_or("a call that Linux has not");
            text.push_str(&format!(
                "torov: {count} x {name}, which torov does not have: it failed with ENOSYS\n"
            ));
        }
        text
    }
}

impl Observer for Watch {
    fn called(&self, tid: i32, call: &Call, result: u64, took: Duration) {
        match self.verb {
            Verb::Trace => self.write(&trace::line(tid, call, result, took)),
            Verb::Stats => {
                let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
                stats.add(call.number, result, took);
            }
            _ => {}
        }
    }

    fn wants_calls(&self) -> bool {
        matches!(self.verb, Verb::Trace | Verb::Stats)
    }

    fn wants_remains(&self) -> bool {
        self.core.is_some()
    }

    fn denied(&self, number: u64, subject: Subject<'_>) {
        if self.verb == Verb::Trace {
            let name = torov_abi::name_of(number).unwrap_or("?");
            self.write(&format!("torov: denied {name} {subject}\n"));
        }
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (number, subject.to_string());
        if denied.len() < MOST || denied.contains_key(&key) {
            *denied.entry(key).or_default() += 1;
        }
    }

    fn unsupported(&self, number: u64) {
        let mut unsupported = self
            .unsupported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *unsupported.entry(number).or_default() += 1;
    }

    fn frozen(&self, program: &Process, frozen: &Frozen) -> Result<(), String> {
        let (path, file) = self.output.as_ref().ok_or("no file is named")?;
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let auxiliary = self.program.as_ref().map(|program| &program.auxiliary);
        let auxiliary = auxiliary.map_or(&[][..], Vec::as_slice);
        snapshot::write(&file, program.memory(), auxiliary, frozen)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        self.is_kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn ended(&self, program: &Process, ending: &Ending) {
        match self.verb {
            Verb::Snapshot if !self.is_kept.load(Ordering::Relaxed) => {
                tell(ending, None);
                eprintln!("torov: no snapshot was written, and its file is empty");
                process::exit(125);
            }
            Verb::Trace => self.write(&format!("+++ ended with {} +++\n", ending.status())),
            Verb::Explain => self.write(&self.explanation()),
            Verb::Learn => {
                let usage = program.usage().unwrap_or_default();
                self.write(&usage.profile(&self.profile).to_toml());
            }
            Verb::Stats => {
                let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
                self.write(&if self.json {
                    stats.to_json()
                } else {
                    let fast = program.answered_by_ring();
                    format!("{stats}{fast:>9} of them without leaving the virtual machine\n")
                });
            }
            _ => {}
        }
        let symbols = self.program.as_ref();
        let symbols = symbols.and_then(|program| program.symbols.as_ref());
        tell(ending, symbols);
        if let Ending::Fault(report) = ending {
            self.leave_core(program, report);
        }
        process::exit(ending.status().into());
    }
}

/// Says why a program ended, unless it said so itself.
fn tell(ending: &Ending, symbols: Option<&Symbols>) {
    match ending {
        Ending::Exit(_) => {}
        Ending::Fault(report) => {
            eprint!("torov: the program ended by {report}");
            let names = symbols.map_or(Vec::new(), |symbols| symbols.names(&report.frames));
            for (at, frame) in report.frames.iter().enumerate() {
                let name = names.get(at).map_or("", String::as_str);
                let space = if name.is_empty() { "" } else { " " };
                eprintln!("  at {frame:#x}{space}{name}{}", place(report, *frame));
            }
            for area in &report.areas {
                eprintln!(
                    "  {:012x}-{:012x} {} {}",
                    area.start, area.end, area.rights, area.name
                );
            }
        }
        Ending::Signal(signal) => eprintln!("torov: the program ended by {signal}"),
        Ending::Denied(name) => {
            eprintln!(
                "torov: the program ended by SIGSYS: its profile does not allow {name}; see torov explain"
            );
        }
        Ending::Limit(limit, _) => eprintln!("torov: the program reached its limit `{limit}`"),
        Ending::Machine(error) => eprintln!("torov: {error}"),
    }
}

/// In which area an address lies.
fn place(report: &torov_calls::FaultReport, address: u64) -> String {
    let inside = report
        .areas
        .iter()
        .find(|area| (area.start..area.end).contains(&address));
    inside.map_or(String::new(), |area| {
        format!(" ({}+{:#x})", area.name, address - area.start)
    })
}

/// Ends the program when its time is up.
pub(crate) fn limit_time(process: &Arc<Process>, profile: &Profile) -> Result<(), Failure> {
    const MONOTONIC: i32 = 1;
    const PROCESS_CPU: i32 = 2;
    let limits = [
        (&profile.limits.wall, MONOTONIC, "wall", 124),
        (&profile.limits.cpu, PROCESS_CPU, "cpu", 152),
    ];
    for (text, clock, name, status) in limits {
        let Some(limit) = text.as_deref().and_then(time) else {
            continue;
        };
        let process = Arc::clone(process);
        let start = host::clock_get(clock).unwrap_or_default();
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        let spawned = thread.spawn(move || {
            torov_interrupt::shut();
            while host::sleep(clock, start + limit, true).is_err() {}
            process.end(&Ending::Limit(name, status));
        });
        spawned
            .map_err(|error| Failure::own(format!("the limit `{name}` gets no thread: {error}")))?;
    }
    Ok(())
}
