//! [`Profile`]: the file that says what a program may do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A whole profile. Every part but the calls has a default.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The program.
    pub app: App,
    /// What it may use up.
    pub limits: Limits,
    /// What it sees of the host's files.
    #[serde(rename = "mount", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// The system calls it may make.
    pub syscalls: Syscalls,
    /// Rules on arguments. A call with rules is allowed only as one of them says.
    #[serde(rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Calls without leaving the virtual machine.
    pub ring: Ring,
    /// How the monitor binds itself.
    pub jail: Jail,
    /// Looking inside.
    pub debug: Debug,
}

/// `[app]`: the program.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct App {
    /// Its file, from the folder of the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<PathBuf>,
    /// Its arguments, without its name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment. Nothing of the monitor's is passed on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The folder that it starts in, `/` if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

/// `[limits]`: what a program may use up.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory, such as `64MiB`, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Time by the clock, such as `30s`. Exit status 124.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<String>,
    /// Processor time, such as `10s`. Exit status 152, as after `SIGXCPU`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Open descriptors, 64 if not said, at most 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fds: Option<u32>,
    /// Threads, 16 if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bytes written to files, pipes and sockets all together, such as `1MiB`. Exit status 137.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// System calls in a second. Faster programs wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<u32>,
}

/// `[[mount]]`: a folder of the host that the program sees.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The folder, from the folder of the profile.
    pub host: PathBuf,
    /// Where the program sees it, an absolute path.
    pub guest: String,
    /// Whether it may be changed.
    #[serde(default)]
    pub mode: Mode,
}

/// Whether a mount may be changed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It may only be read.
    #[default]
    Ro,
    /// It may be changed.
    Rw,
}

/// `[syscalls]`: what a program may ask for.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Syscalls {
    /// What becomes of the rest.
    pub denied: Denied,
    /// Names of calls, and of presets such as `@stdio`.
    pub allow: Vec<String>,
}

/// What becomes of a call that is not allowed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Denied {
    /// It fails with `EPERM`.
    #[default]
    #[serde(rename = "EPERM")]
    NotPermitted,
    /// It fails with `ENOSYS`, as if this Linux did not know it.
    #[serde(rename = "ENOSYS")]
    NoSuchCall,
    /// The program ends, as after `SIGSYS`: exit status 159.
    #[serde(rename = "kill")]
    Kill,
}

/// `[[rule]]`: arguments with which a call is allowed. All that is said must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name of the call.
    pub call: String,
    /// The path is this one, or below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether a path may be opened to change it: `ro` or `rw`. Without it both are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The address of a socket, such as `127.0.0.1:80`, `[::1]:80`, `0.0.0.0:*`, `*:80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addr: Option<String>,
    /// What the descriptor is: `stdio`, `file`, `directory`, `socket`, `pipe`, `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The number of an `ioctl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u32>,
}

/// `[ring]`: calls without leaving the virtual machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Ring {
    /// Whether.
    pub mode: RingMode,
    /// How long the monitor looks for calls after the last one, in microseconds. 50 if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub park_us: Option<u32>,
}

/// Whether there is a ring.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RingMode {
    /// If it is faster here.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// `[jail]`: how the monitor binds itself. All is on unless said.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Jail {
    /// A filter for the monitor's own system calls.
    pub seccomp: bool,
    /// Files below the mounts only.
    pub landlock: bool,
    /// Which names of the host the monitor gives up.
    pub namespaces: Namespaces,
}

/// Which names of the host the monitor gives up.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Namespaces {
    /// None.
    Off,
    /// Users, message queues, the host's name: a tenth of a millisecond.
    #[default]
    Quick,
    /// Mounts as well, and the network where the program may have no socket: about a millisecond.
    All,
}

impl Default for Jail {
    fn default() -> Self {
        Self {
            seccomp: true,
            landlock: true,
            namespaces: Namespaces::default(),
        }
    }
}

/// `[debug]`: looking inside.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Debug {
    /// Where a debugger may connect, such as `127.0.0.1:1234`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gdb: Option<String>,
}

/// A profile that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError(pub String);

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// Reads a profile: TOML, or the original's JSON if it begins with a brace.
    ///
    /// # Errors
    /// What is wrong and in which line.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        if text.trim_start().starts_with('{') {
            return crate::import(text);
        }
        toml::from_str(text).map_err(|error| ProfileError(error.to_string()))
    }

    /// The profile as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field of a profile has a form in TOML")
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, Profile};

    #[test]
    fn a_profile_is_read_and_written() {
        let text = r#"
            [app]
            binary = "./echo"
            env = { LANG = "C" }
            [limits]
            memory = "32MiB"
            [[mount]]
            host = "./data"
            guest = "/data"
            mode = "rw"
            [syscalls]
            denied = "ENOSYS"
            allow = ["read", "@stdio"]
            [[rule]]
            call = "bind"
            addr = "127.0.0.1:50000"
        "#;
        let profile = Profile::parse(text).unwrap();
        assert_eq!(profile.mounts[0].mode, Mode::Rw);
        assert!(profile.jail.seccomp);
        assert_eq!(Profile::parse(&profile.to_toml()), Ok(profile));
    }

    #[test]
    fn errors_name_the_line() {
        let error = Profile::parse("[app]\nbinery = \"x\"\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(error.to_string().contains("binery"), "{error}");
    }
}
