//! Running other programs: a failure names the program, what it was asked and how it ended.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

/// The cargo that called this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command for `program`, which dies with the thread that starts it, even if this program is killed.
pub(crate) fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// Runs `command` to its end with the console of this program.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` in silence and returns what it printed; a failure shows what it complained about.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether some process listens at the UNIX socket `path`. To connect and see might take the only place that there is.
pub(crate) fn is_listening(path: &Path) -> bool {
    /// The flags of a socket that accepts connections.
    const ACCEPTS: &str = "00010000";
    let list = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = path.to_string_lossy();
    // Number, references, protocol, flags, type, state, inode, path.
    let is_it = |line: &str| {
        line.split_whitespace().nth(3) == Some(ACCEPTS) && line.ends_with(&format!(" {path}"))
    };
    list.lines().any(is_it)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,.:/@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::{is_listening, quoted};

    #[test]
    fn who_listens_is_seen_without_connecting() {
        let path = std::env::temp_dir().join(format!("toro-listening-{}", std::process::id()));
        assert!(!is_listening(&path));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_listening(&path));
        drop(listener);
        let _ = std::fs::remove_file(&path);
        assert!(!is_listening(&path));
    }

    #[test]
    fn words_are_quoted_as_a_shell_wants_them() {
        assert_eq!(quoted("a-b=c,d:/e"), "a-b=c,d:/e");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("a b"), "'a b'");
    }
}
