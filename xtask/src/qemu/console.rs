//! [`ConsolePort`]: a named byte stream between an appliance and a socket of the host.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Error, Result, bail};

/// The port of this name is the console: it shows the log.
pub(crate) const CONSOLE: &str = "console";

/// A port, and where its socket is if that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsolePort {
    pub(crate) name: String,
    pub(crate) path: Option<PathBuf>,
}

/// `agent`, or `agent=/tmp/agent.sock`.
impl FromStr for ConsolePort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name, Some(path)),
            None => (text, None),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            bail!(
                "`{name}` is no name for a port: up to 64 letters, digits, dots, dashes and lines"
            );
        }
        if path == Some("") {
            bail!("the port {name} needs the path of a socket behind `=`, or no `=`");
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.map(PathBuf::from),
        })
    }
}

impl ConsolePort {
    /// Puts the socket into `folder`, unless it was said where it is.
    pub(crate) fn placed(&self, folder: &Path, appliance: &str) -> Self {
        let default = || folder.join(format!("{appliance}-{}.sock", self.name));
        Self {
            name: self.name.clone(),
            path: Some(self.path.clone().unwrap_or_else(default)),
        }
    }

    /// The socket, for QEMU's `-chardev`. QEMU does not wait for anyone there.
    pub(crate) fn backend(&self, id: &str) -> String {
        let path = self.path.as_deref().unwrap_or(Path::new("port.sock"));
        // A comma ends an option unless it is doubled.
        let path = path.display().to_string().replace(',', ",,");
        format!("socket,id={id},path={path},server=on,wait=off")
    }

    /// The port, for QEMU's `-device`. Number 0 is the console.
    pub(crate) fn device(&self, id: &str, number: usize) -> String {
        if self.name == CONSOLE {
            format!("virtconsole,chardev={id},nr=0")
        } else {
            format!("virtserialport,chardev={id},name={},nr={number}", self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ConsolePort;

    #[test]
    fn a_port_is_a_name_and_perhaps_a_socket() {
        let port: ConsolePort = "agent.0".parse().unwrap();
        let placed = port.placed(Path::new("/run"), "hello");
        assert!(
            placed
                .backend("port1")
                .contains("path=/run/hello-agent.0.sock,server=on")
        );
        assert!(placed.device("port1", 3).ends_with("name=agent.0,nr=3"));
        let port: ConsolePort = "console=/a,b".parse().unwrap();
        let placed = port.placed(Path::new("/run"), "hello");
        assert!(placed.backend("port1").contains("path=/a,,b,"));
        assert_eq!(placed.device("port1", 3), "virtconsole,chardev=port1,nr=0");
        for wrong in ["", "=/a", "a,b", "a=", "a b"] {
            assert!(wrong.parse::<ConsolePort>().is_err(), "{wrong}");
        }
    }
}
