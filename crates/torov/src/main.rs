//! `torov`: runs an ordinary static Linux program as a virtual machine, with only the system calls that its profile allows.
//!
//! `options` reads the command line, `start` makes the machine and puts the program into it (`elf`, `load`, `stack`),
//! `guard` binds the monitor itself, and `torov_calls::thread::run` drives the program. `watch` looks on: denials, traces, counts. `doctor` looks at the host.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod bench;
mod core_file;
mod debugger;
mod doctor;
mod elf;
mod failure;
mod guard;
mod load;
mod options;
mod pool;
mod restore;
mod snapshot;
mod stack;
mod start;
mod stats;
mod symbols;
mod trace;
mod watch;
mod words;

use self::failure::Failure;
use self::options::{Command, Verb};

fn main() -> ExitCode {
    let done = options::read().and_then(|command| perform(&command));
    done.unwrap_or_else(|failure| {
        eprintln!("torov: {failure}");
        ExitCode::from(failure.status)
    })
}

fn perform(command: &Command) -> Result<ExitCode, Failure> {
    match command.verb {
        Verb::Help => {
            print!("{}", words::help());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Version => {
            println!("torov {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Verb::Man => {
            print!("{}", words::manual());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Completions => {
            let shell = command.program.first().map_or("", String::as_str);
            let text = words::completions(shell).ok_or_else(|| {
                Failure::own("completions are for bash, zsh or fish: torov completions bash")
            })?;
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Verb::Presets => {
            for (name, what, calls) in torov_policy::PRESETS {
                println!("{name}: {what}\n    {}", calls.join(" "));
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Convert => {
            print!("{}", start::profile(command)?.0.to_toml());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Bench => bench::run(command),
        Verb::Doctor => Ok(doctor::examine()),
        Verb::Restore => restore::run(command),
        Verb::Run | Verb::Learn | Verb::Explain | Verb::Trace | Verb::Stats | Verb::Snapshot => {
            start::run(command)
        }
    }
}
