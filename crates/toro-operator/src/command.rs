//! [`Command`]: what a line asks for.

use core::fmt;
use core::net::Ipv4Addr;

/// What `help` answers.
pub const HELP: &str = "\
ps             the threads of every core, and what they wait for
mem            the memory of every core
netstat        listeners, connections and counters of every core
ping ADDRESS   whether a machine answers
mounts         what is mounted
log            the last lines of the log
level [LEVEL]  the level of the log: off, error, warn, info, debug, trace
trace [WORD]   what was traced lately; start begins and stop ends that
uptime         how long the image has run
shutdown       ends the image in order
help           this
";

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Nothing.
    Empty,
    /// What can be asked.
    Help,
    /// The threads.
    Threads,
    /// The memory.
    Memory,
    /// The network.
    Network,
    /// Whether that machine answers.
    Ping(Ipv4Addr),
    /// What is mounted.
    Mounts,
    /// The last lines of the log.
    Log,
    /// The level of the log; with a word, another one.
    Level(Option<&'a str>),
    /// What was traced; or to begin or end that.
    Trace(Option<bool>),
    /// Since when the image runs.
    Uptime,
    /// The end.
    Shutdown,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<'a> {
    /// There is no command of this name.
    Unknown(&'a str),
    /// This word makes no sense there, or is too many.
    Word(&'a str),
    /// The command needs a word.
    Missing(&'static str),
}

impl<'a> Command<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// Fails if it is not exactly one command.
    pub fn parse(line: &'a str) -> Result<Self, CommandError<'a>> {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else {
            return Ok(Self::Empty);
        };
        let command = match name {
            "help" | "?" => Self::Help,
            "ps" => Self::Threads,
            "mem" => Self::Memory,
            "netstat" => Self::Network,
            "ping" => {
                let word = words.next().ok_or(CommandError::Missing("an address"))?;
                Self::Ping(word.parse().map_err(|_| CommandError::Word(word))?)
            }
            "mounts" => Self::Mounts,
            "log" => Self::Log,
            "level" => Self::Level(words.next()),
            "trace" => Self::Trace(match words.next() {
                None => None,
                Some("start") => Some(true),
                Some("stop") => Some(false),
                Some(word) => return Err(CommandError::Word(word)),
            }),
            "uptime" => Self::Uptime,
            "shutdown" => Self::Shutdown,
            _ => return Err(CommandError::Unknown(name)),
        };
        words
            .next()
            .map_or(Ok(command), |word| Err(CommandError::Word(word)))
    }

    /// Whether it changes something.
    pub fn is_control(&self) -> bool {
        matches!(
            self,
            Self::Level(Some(_)) | Self::Trace(Some(_)) | Self::Shutdown
        )
    }
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no command `{name}`; help lists them"),
            Self::Word(word) => write!(f, "`{word}` makes no sense there; help says what does"),
            Self::Missing(what) => write!(f, "it needs {what}"),
        }
    }
}

impl core::error::Error for CommandError<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Command<'_>, CommandError<'_>>) {
        assert_eq!(Command::parse(line), expected, "{line:?}");
    }

    #[test]
    fn lines_are_commands_or_say_why_not() {
        check("  ", Ok(Command::Empty));
        check("ps", Ok(Command::Threads));
        check("\tps  \r", Ok(Command::Threads));
        check("ps aux", Err(CommandError::Word("aux")));
        check(
            "ping 10.0.2.2",
            Ok(Command::Ping(Ipv4Addr::new(10, 0, 2, 2))),
        );
        check("ping", Err(CommandError::Missing("an address")));
        check("ping here", Err(CommandError::Word("here")));
        check("level", Ok(Command::Level(None)));
        check("level debug", Ok(Command::Level(Some("debug"))));
        check("level debug now", Err(CommandError::Word("now")));
        check("trace", Ok(Command::Trace(None)));
        check("trace stop", Ok(Command::Trace(Some(false))));
        check("trace all", Err(CommandError::Word("all")));
        check("PS", Err(CommandError::Unknown("PS")));
    }

    #[test]
    fn only_what_changes_something_is_control() {
        let is_control = |line| Command::parse(line).expect("a command").is_control();
        assert!(is_control("shutdown") && is_control("level info") && is_control("trace start"));
        for line in [
            "",
            "help",
            "ps",
            "mem",
            "netstat",
            "ping 1.2.3.4",
            "mounts",
            "log",
            "level",
            "trace",
        ] {
            assert!(!is_control(line), "{line}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for line in HELP.lines() {
            let name = line.split_ascii_whitespace().next().expect("a name");
            let outcome = Command::parse(name);
            assert!(!matches!(outcome, Err(CommandError::Unknown(_))), "{name}");
        }
    }
}
