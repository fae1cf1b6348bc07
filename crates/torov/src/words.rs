//! The words of the command line, and what is made of them: the help, the manual page, completions for shells.

use std::fmt::Write as _;

use crate::options::Verb;

/// What the program is.
const SUMMARY: &str = "Runs an ordinary static Linux program as a virtual machine, with only the system calls that its profile allows.";

/// The verbs.
pub(crate) const VERBS: [(&str, Verb, &str); 13] = [
    ("run", Verb::Run, "runs the program"),
    (
        "learn",
        Verb::Learn,
        "runs it with everything allowed and writes the smallest profile that would do",
    ),
    (
        "explain",
        Verb::Explain,
        "runs it, then says what was denied and which line would allow it",
    ),
    ("trace", Verb::Trace, "runs it and shows each call"),
    (
        "stats",
        Verb::Stats,
        "runs it, then shows how often each call was made and how long it took",
    ),
    (
        "snapshot",
        Verb::Snapshot,
        "runs it until a call that --at names, and keeps it in the file of --output",
    ),
    (
        "restore",
        Verb::Restore,
        "runs a kept program from there on: torov restore [OPTIONS] [PROFILE] FILE",
    ),
    (
        "bench",
        Verb::Bench,
        "measures it from start to end, or without a program what a call costs: natively, under strace -f, and here",
    ),
    (
        "convert",
        Verb::Convert,
        "writes the profile as TOML; also reads the JSON of the original ToroV",
    ),
    ("doctor", Verb::Doctor, "says what this machine can do"),
    ("presets", Verb::Presets, "lists the presets for `allow`"),
    ("man", Verb::Man, "writes the manual page"),
    (
        "completions",
        Verb::Completions,
        "writes completions: torov completions bash, zsh or fish",
    ),
];

/// The options: letter, name, value, meaning.
const OPTIONS: [(&str, &str, &str, &str); 18] = [
    (
        "a",
        "allow",
        "NAMES",
        "allows more: names of calls and presets, separated by commas",
    ),
    (
        "m",
        "mount",
        "H:G[:rw]",
        "shows the folder H of the host at G, read-only unless :rw is said",
    ),
    (
        "e",
        "env",
        "NAME=VALUE",
        "sets a variable of the program's environment; none is passed on",
    ),
    (
        "o",
        "output",
        "FILE",
        "where learn, trace and stats write, instead of standard error; the file of snapshot",
    ),
    (
        "",
        "memory",
        "SIZE",
        "how much memory the program may use (64MiB)",
    ),
    ("", "wall", "TIME", "how long it may take, as in 30s"),
    ("", "cpu", "TIME", "how much processor time it may use"),
    (
        "",
        "ring",
        "MODE",
        "calls without leaving the virtual machine: auto, on or off",
    ),
    (
        "",
        "at",
        "CALL[:N]",
        "before which call snapshot stops, the Nth time it is made, as in accept or read:3",
    ),
    (
        "",
        "listen",
        "ADDRESS",
        "restore: a program for each connection to HOST:PORT or a path, which is its input and output",
    ),
    (
        "",
        "spare",
        "N",
        "how many machines of --listen are ready before they are wanted (2)",
    ),
    (
        "",
        "accept",
        "",
        "restore: as one of --listen, for a listening socket that is the standard input",
    ),
    (
        "",
        "core",
        "FILE",
        "where a core file goes if the program fails; the file is empty if it does not",
    ),
    (
        "",
        "gdb",
        "ADDRESS",
        "waits for gdb there before the first instruction: :PORT, HOST:PORT or a path",
    ),
    ("", "json", "", "stats as JSON"),
    (
        "",
        "no-jail",
        "",
        "without the monitor's own seccomp filter, Landlock rules and namespaces",
    ),
    ("h", "help", "", "this text"),
    ("V", "version", "", "the version"),
];

const PROFILES: &str = "PROFILE is a file that ends in .toml or .json. Without one, the presets @start @stdio @time @threads @signals @identity hold.";

const STATUSES: &str = "Exit status: the program's; 128 + N if signal N ended it; 124 after --wall; 125 if torov failed, 126 if the program cannot be run, 127 if it is not there.";

const SYNOPSES: [&str; 2] = [
    "torov VERB [OPTIONS] [PROFILE] [-- PROGRAM ARGUMENTS...]",
    "torov VERB [OPTIONS] PROGRAM ARGUMENTS...",
];

/// `text` in lines of at most 120 letters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last + 1 + word.len() > 120 {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// What `--help` prints.
pub(crate) fn help() -> String {
    let mut text = format!(
        "{SUMMARY}\n\nUsage: {}\n       {}\n\nVerbs:\n",
        SYNOPSES[0], SYNOPSES[1]
    );
    for (name, _, what) in VERBS {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<11} {what}");
    }
    let _ = write!(text, "\n{}\n\nOptions:\n", wrapped(PROFILES));
    for (letter, name, value, what) in OPTIONS {
        let letter = match letter {
            "" => "    ".to_owned(),
            letter => format!("-{letter}, "),
        };
        let name = format!("{name} {value}");
        let _ = writeln!(text, "  {letter}--{name:<16} {what}");
    }
    let _ = write!(text, "\n{}\n", wrapped(STATUSES));
    text
}

/// The manual page, in the macros of man(7).
pub(crate) fn manual() -> String {
    let plain = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(".TH TOROV 1 \"\" \"torov {version}\"\n.SH NAME\n");
    let (first, rest) = SUMMARY.split_at(1);
    let summary = first.to_lowercase() + rest.trim_end_matches('.');
    let _ = write!(text, "torov \\- {}\n.SH SYNOPSIS\n", plain(&summary));
    for synopsis in SYNOPSES {
        let _ = write!(text, "{}\n.br\n", plain(synopsis));
    }
    text.push_str(".SH VERBS\n");
    for (name, _, what) in VERBS {
        let _ = write!(text, ".TP\n.B {name}\n{}\n", plain(what));
    }
    text.push_str(".SH OPTIONS\n");
    for (letter, name, value, what) in OPTIONS {
        let letter = match letter {
            "" => String::new(),
            letter => format!("\\-{letter}, "),
        };
        let (name, what) = (plain(name), plain(what));
        let _ = write!(text, ".TP\n.B {letter}\\-\\-{name} {value}\n{what}\n");
    }
    let (profiles, statuses) = (plain(PROFILES), plain(STATUSES));
    let _ = write!(
        text,
        ".SH FILES\n{profiles}\n.SH \"EXIT STATUS\"\n{statuses}\n"
    );
    text
}

/// Completions for a shell, if it is one of the three.
pub(crate) fn completions(shell: &str) -> Option<String> {
    let verbs: Vec<&str> = VERBS.iter().map(|(name, ..)| *name).collect();
    let verbs = verbs.join(" ");
    let long: Vec<String> = OPTIONS
        .iter()
        .map(|(_, name, ..)| format!("--{name}"))
        .collect();
    Some(match shell {
        "bash" => format!(
            "_torov() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}}\n    COMPREPLY=()\n    \
             if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W \"{verbs}\" -- \"$word\"))\n    \
             elif [[ $word == -* ]]; then\n        COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))\n    fi\n}}\n\
             complete -o default -F _torov torov\n",
            long.join(" ")
        ),
        "zsh" => {
            let mut text = "#compdef torov\n_arguments \\\n    '1:verb:((".to_owned();
            for (name, _, what) in VERBS {
                let _ = write!(text, "{name}\\:\"{}\" ", what.replace([':', '`'], ""));
            }
            text.push_str("))' \\\n");
            for (_, name, value, what) in OPTIONS {
                let what = what.replace(['[', ']', ':', '\''], "");
                let value = if value.is_empty() {
                    ""
                } else {
                    ":value:_files"
                };
                let _ = writeln!(text, "    '--{name}[{what}]{value}' \\");
            }
            text.push_str("    '*:program:_files'\n");
            text
        }
        "fish" => {
            let mut text = String::new();
            for (name, _, what) in VERBS {
                let _ = writeln!(
                    text,
                    "complete -c torov -n __fish_use_subcommand -a {name} -d '{what}'"
                );
            }
            for (letter, name, value, what) in OPTIONS {
                let letter = match letter {
                    "" => String::new(),
                    letter => format!(" -s {letter}"),
                };
                let needs = if value.is_empty() { "" } else { " -r" };
                let what = what.replace('\'', "\\'");
                let _ = writeln!(
                    text,
                    "complete -c torov{letter} -l {name}{needs} -d '{what}'"
                );
            }
            text
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{OPTIONS, VERBS, completions, help, manual};

    #[test]
    fn every_word_is_in_every_text() {
        let shells = ["bash", "zsh", "fish"].map(|shell| completions(shell).unwrap());
        for text in shells.iter().chain([&help(), &manual()]) {
            for (verb, ..) in VERBS {
                assert!(text.contains(verb), "{verb}: {text}");
            }
            for (_, name, ..) in OPTIONS {
                let plain = text.replace('\\', "");
                assert!(plain.contains(name), "{name}: {text}");
            }
        }
        assert_eq!(completions("tcsh"), None);
    }

    #[test]
    fn no_line_of_the_help_is_too_long() {
        assert!(
            help().lines().all(|line| line.chars().count() <= 120),
            "{}",
            help()
        );
    }
}
