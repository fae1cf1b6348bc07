//! [`import`]: the JSON of the original ToroV becomes a profile.
//!
//! ```text
//! { "Binary": "./hello", "MountPoint": "/srv", "Newpid": "True",
//!   "Debug": { "Allowed": "True", "Port": "1234" },
//!   "Hypercalls": [ { "Name": "Write", "Allowed": "True" } ] }
//! ```
//! Truth is a text or a truth value, names are those of Linux with a capital. `Startaddr` is passed over: where a
//! program starts is written in its ELF header. So is `Newpid`: a program sees no process but itself.

use std::path::PathBuf;

use serde::Deserialize;
use torov_abi::number_of;

use crate::profile::{Mode, Mount, Profile, ProfileError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Original {
    binary: PathBuf,
    #[serde(default, rename = "Startaddr")]
    _start: Option<serde_json::Value>,
    mount_point: Option<PathBuf>,
    #[serde(default, rename = "Newpid")]
    _own_processes: Option<serde_json::Value>,
    debug: Option<OriginalDebug>,
    #[serde(default)]
    hypercalls: Vec<Hypercall>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OriginalDebug {
    #[serde(default)]
    allowed: Truth,
    port: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Hypercall {
    name: String,
    #[serde(default)]
    allowed: Truth,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Truth {
    Value(bool),
    Text(String),
}

impl Default for Truth {
    fn default() -> Self {
        Self::Value(false)
    }
}

impl Truth {
    fn is_true(&self) -> bool {
        match self {
            Self::Value(value) => *value,
            Self::Text(text) => text.eq_ignore_ascii_case("true"),
        }
    }
}

/// Converts the original's JSON.
///
/// # Errors
/// What is wrong with it; a call that Linux has not is wrong too, except for `WriteConsole`, which `Write` replaces.
pub fn import(text: &str) -> Result<Profile, ProfileError> {
    let original: Original =
        serde_json::from_str(text).map_err(|error| ProfileError(error.to_string()))?;
    let mut profile = Profile::default();
    profile.app.binary = Some(original.binary);
    profile.syscalls.allow = vec!["@start".to_owned()];
    for call in original
        .hypercalls
        .iter()
        .filter(|call| call.allowed.is_true())
    {
        let name = match call.name.to_lowercase().as_str() {
            "writeconsole" => "write".to_owned(),
            // The Pascal run-time library asked by this name; C libraries ask for `prlimit64`.
            name => name.to_owned(),
        };
        if number_of(&name).is_none() {
            let message = format!("`{}` in Hypercalls is no system call of Linux", call.name);
            return Err(ProfileError(message));
        }
        if !profile.syscalls.allow.contains(&name) {
            profile.syscalls.allow.push(name);
        }
    }
    if let Some(host) = original.mount_point {
        profile.mounts.push(Mount {
            host,
            guest: "/".to_owned(),
            mode: Mode::Rw,
        });
    }
    if let Some(debug) = original.debug.filter(|debug| debug.allowed.is_true()) {
        let port = debug
            .port
            .map_or("1234".to_owned(), |port| port.to_string());
        profile.debug.gdb = Some(format!("127.0.0.1:{}", port.trim_matches('"')));
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use crate::Profile;

    #[test]
    fn the_original_s_file_becomes_a_profile() {
        let text = r#"{
            "Binary": "./WriteFile", "Startaddr": "400200", "MountPoint": "/srv", "Newpid": "True",
            "Debug": { "Allowed": "True", "Port": "1234" },
            "Hypercalls": [
                { "Name": "Write", "Allowed": "True" }, { "Name": "Open", "Allowed": true },
                { "Name": "WriteConsole", "Allowed": "True" }, { "Name": "Socket", "Allowed": "False" }
            ]
        }"#;
        let profile = Profile::parse(text).unwrap();
        assert_eq!(profile.syscalls.allow, ["@start", "write", "open"]);
        assert_eq!(profile.mounts[0].guest, "/");
        assert_eq!(profile.debug.gdb.as_deref(), Some("127.0.0.1:1234"));
        assert!(Profile::parse(&profile.to_toml()).is_ok());
    }

    #[test]
    fn unknown_calls_are_errors() {
        let text = r#"{ "Binary": "x", "Hypercalls": [{ "Name": "Fly", "Allowed": "True" }] }"#;
        assert!(
            Profile::parse(text)
                .unwrap_err()
                .to_string()
                .contains("`Fly`")
        );
    }
}
