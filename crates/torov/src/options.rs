//! The command line.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::words;
use lexopt::prelude::*;
use torov_policy::RingMode;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Run,
    Learn,
    Explain,
    Trace,
    Stats,
    Snapshot,
    Restore,
    Bench,
    Convert,
    Doctor,
    Presets,
    Man,
    Completions,
    Help,
    Version,
}

/// The command line, read.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) verb: Verb,
    pub(crate) profile: Option<PathBuf>,
    /// The program and its arguments; empty if the profile names it.
    pub(crate) program: Vec<String>,
    pub(crate) allow: Vec<String>,
    pub(crate) mounts: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) memory: Option<String>,
    pub(crate) wall: Option<String>,
    pub(crate) cpu: Option<String>,
    pub(crate) ring: Option<RingMode>,
    pub(crate) at: Option<String>,
    /// Where connections come to restored programs, and how many machines wait for them.
    pub(crate) listen: Option<String>,
    pub(crate) spare: usize,
    /// Standard input is a socket for connections.
    pub(crate) accept: bool,
    pub(crate) core: Option<PathBuf>,
    pub(crate) gdb: Option<String>,
    pub(crate) json: bool,
    pub(crate) no_jail: bool,
}

/// Reads the arguments of this process.
pub(crate) fn read() -> Result<Command, Failure> {
    parse(lexopt::Parser::from_env())
        .map_err(|error| Failure::own(format!("{error}; see torov --help")))
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut command = Command {
        verb: Verb::Help,
        profile: None,
        program: Vec::new(),
        allow: Vec::new(),
        mounts: Vec::new(),
        env: Vec::new(),
        output: None,
        memory: None,
        wall: None,
        cpu: None,
        ring: None,
        at: None,
        listen: None,
        spare: 2,
        accept: false,
        core: None,
        gdb: None,
        json: false,
        no_jail: false,
    };
    match parser.next()? {
        Some(Value(word)) => command.verb = verb(&word.string()?)?,
        Some(Short('V') | Long("version")) => command.verb = Verb::Version,
        None | Some(Short('h') | Long("help")) => return Ok(command),
        Some(other) => return Err(other.unexpected()),
    }
    loop {
        let Some(argument) = parser.next()? else {
            break;
        };
        match argument {
            Short('a') | Long("allow") => {
                let names = parser.value()?.string()?;
                command.allow.extend(names.split(',').map(str::to_owned));
            }
            Short('m') | Long("mount") => command.mounts.push(parser.value()?.string()?),
            Short('e') | Long("env") => command.env.push(parser.value()?.string()?),
            Short('o') | Long("output") => command.output = Some(parser.value()?.into()),
            Long("memory") => command.memory = Some(parser.value()?.string()?),
            Long("wall") => command.wall = Some(parser.value()?.string()?),
            Long("cpu") => command.cpu = Some(parser.value()?.string()?),
            Long("ring") => command.ring = Some(ring(&parser.value()?.string()?)?),
            Long("at") => command.at = Some(parser.value()?.string()?),
            Long("listen") => command.listen = Some(parser.value()?.string()?),
            Long("spare") => command.spare = parser.value()?.parse()?,
            Long("accept") => command.accept = true,
            Long("core") => command.core = Some(parser.value()?.into()),
            Long("gdb") => command.gdb = Some(parser.value()?.string()?),
            Long("json") => command.json = true,
            Long("no-jail") => command.no_jail = true,
            Short('h') | Long("help") => command.verb = Verb::Help,
            Value(word) => {
                let word = word.string()?;
                if is_profile(&word) && command.profile.is_none() {
                    command.profile = Some(word.into());
                } else {
                    command.program.push(word);
                    take_rest(&mut parser, &mut command)?;
                    break;
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(command)
}

/// All that follows is the program's.
fn take_rest(parser: &mut lexopt::Parser, command: &mut Command) -> Result<(), lexopt::Error> {
    for word in parser.raw_args()? {
        command.program.push(word.string()?);
    }
    Ok(())
}

fn ring(word: &str) -> Result<RingMode, lexopt::Error> {
    match word {
        "auto" => Ok(RingMode::Auto),
        "on" => Ok(RingMode::On),
        "off" => Ok(RingMode::Off),
        _ => Err("--ring is auto, on or off".into()),
    }
}

fn is_profile(word: &str) -> bool {
    let path = std::path::Path::new(word);
    path.extension()
        .is_some_and(|extension| extension == "toml" || extension == "json")
}

fn verb(word: &str) -> Result<Verb, lexopt::Error> {
    let known = words::VERBS.iter().find(|(name, ..)| *name == word);
    match known {
        Some((_, verb, _)) => Ok(*verb),
        None if word == "help" => Ok(Verb::Help),
        None => Err(format!("there is no verb `{word}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Verb, parse};

    fn command(line: &str) -> Command {
        parse(lexopt::Parser::from_args(line.split_whitespace())).unwrap()
    }

    #[test]
    fn a_profile_and_what_follows_the_dashes() {
        let command = command("run --memory 8M app.toml -- ./x -a b.toml");
        assert_eq!(command.verb, Verb::Run);
        assert_eq!(command.profile.unwrap().to_str(), Some("app.toml"));
        assert_eq!(command.program, ["./x", "-a", "b.toml"]);
        assert_eq!(command.memory.as_deref(), Some("8M"));
    }

    #[test]
    fn a_program_without_a_profile_keeps_its_options() {
        let command = command("trace -a @files,brk ./x --help -- y");
        assert_eq!(command.verb, Verb::Trace);
        assert_eq!(command.allow, ["@files", "brk"]);
        assert_eq!(command.program, ["./x", "--help", "--", "y"]);
    }

    #[test]
    fn mistakes_are_errors() {
        for line in ["fly", "run --fly", "run --memory"] {
            assert!(
                parse(lexopt::Parser::from_args(line.split_whitespace())).is_err(),
                "{line}"
            );
        }
        assert_eq!(command("").verb, Verb::Help);
        assert_eq!(command("--version").verb, Verb::Version);
    }
}
