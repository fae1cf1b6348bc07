//! [`Subject`]: what a call is about, and whether a rule means it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::profile::{Mode, Rule};

/// What a call is about, copied out of the guest once. The same copy is judged and then used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Nothing that a rule could name.
    Nothing,
    /// A path, absolute and without `.` and `..`, and whether the call wants to change what is there.
    Path(&'a str, Mode),
    /// An address of a socket.
    Address(SocketAddr),
    /// An open descriptor by its class.
    Class(&'static str),
    /// An `ioctl` on a descriptor of that class.
    Request(u32, &'static str),
}

/// What a rule for a call may speak of.
pub(crate) fn allowed_keys(call: &str) -> &'static [&'static str] {
    match call {
        "open" | "openat" | "openat2" | "creat" => &["path", "mode"],
        "stat" | "lstat" | "newfstatat" | "statx" | "access" | "faccessat" | "faccessat2"
        | "mkdir" | "mkdirat" | "rmdir" | "unlink" | "unlinkat" | "rename" | "renameat"
        | "renameat2" | "readlink" | "readlinkat" | "chdir" | "truncate" | "utimensat"
        | "chmod" | "fchmodat" => &["path"],
        "bind" | "connect" => &["addr"],
        "read" | "write" | "readv" | "writev" | "pread64" | "pwrite64" | "preadv" | "pwritev"
        | "lseek" | "fstat" | "dup" | "dup2" | "dup3" | "fcntl" | "getdents64" | "ftruncate"
        | "fallocate" | "fchmod" | "sendfile" => &["class"],
        "ioctl" => &["request", "class"],
        _ => &[],
    }
}

impl Rule {
    /// The keys that the rule names.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        let named = [
            ("path", self.path.is_some()),
            ("mode", self.mode.is_some()),
            ("addr", self.addr.is_some()),
            ("class", self.class.is_some()),
            ("request", self.request.is_some()),
        ];
        let keys = named.into_iter().filter(|(_, is_named)| *is_named);
        keys.map(|(key, _)| key).collect()
    }

    /// Whether the rule allows its call on `subject`.
    #[must_use]
    pub fn allows(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Nothing => self.keys().is_empty(),
            Subject::Path(path, mode) => {
                let below = self.path.as_deref().is_none_or(|top| is_below(path, top));
                below && (mode == Mode::Ro || self.mode != Some(Mode::Ro))
            }
            Subject::Address(address) => self
                .addr
                .as_deref()
                .is_none_or(|rule| is_address(address, rule)),
            Subject::Class(class) => self.class.as_deref().is_none_or(|rule| rule == class),
            Subject::Request(request, class) => {
                self.request.is_none_or(|rule| rule == request)
                    && self.class.as_deref().is_none_or(|rule| rule == class)
            }
        }
    }
}

fn is_below(path: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    let rest = path.strip_prefix(top);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_address(address: SocketAddr, rule: &str) -> bool {
    let Some((ip, port)) = split(rule) else {
        return false;
    };
    ip.is_none_or(|ip| ip == address.ip()) && port.is_none_or(|port| port == address.port())
}

/// Address and port of a rule, `None` for a star; nothing if it is malformed.
pub(crate) fn split(rule: &str) -> Option<(Option<IpAddr>, Option<u16>)> {
    let (ip, port) = rule.rsplit_once(':')?;
    let ip = match ip {
        "*" => None,
        ip => Some(ip.trim_matches(['[', ']']).parse().ok()?),
    };
    let port = match port {
        "*" => None,
        port => Some(port.parse().ok()?),
    };
    Some((ip, port))
}

/// As a line that explains says it.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Path(path, Mode::Ro) => write!(f, "path = {path:?}"),
            Self::Path(path, Mode::Rw) => write!(f, "path = {path:?}, mode = \"rw\""),
            Self::Address(address) => write!(f, "addr = \"{address}\""),
            Self::Class(class) => write!(f, "class = \"{class}\""),
            Self::Request(request, _) => write!(f, "request = {request:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Subject;
    use crate::profile::{Mode, Rule};

    fn rule(text: &str) -> Rule {
        toml::from_str(&format!("call = \"x\"\n{text}")).unwrap()
    }

    #[test]
    fn paths_are_below_or_not() {
        let rule = rule("path = \"/data\"");
        let allows = |path| rule.allows(Subject::Path(path, Mode::Rw));
        assert!(allows("/data") && allows("/data/x"));
        assert!(!allows("/database") && !allows("/") && !allows("/dat"));
    }

    #[test]
    fn a_rule_for_reading_allows_no_change() {
        let rule = rule("path = \"/\"\nmode = \"ro\"");
        assert!(rule.allows(Subject::Path("/x", Mode::Ro)));
        assert!(!rule.allows(Subject::Path("/x", Mode::Rw)));
    }

    #[test]
    fn addresses_have_stars() {
        let check = |text: &str, address: &str, expected| {
            let rule = rule(&format!("addr = {text:?}"));
            let subject = Subject::Address(address.parse().unwrap());
            assert_eq!(rule.allows(subject), expected, "{text} {address}");
        };
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("127.0.0.1:80", "127.0.0.1:81", false);
        check("127.0.0.1:80", "127.0.0.2:80", false);
        check("127.0.0.1:*", "127.0.0.1:81", true);
        check("*:80", "[::1]:80", true);
        check("[::1]:80", "[::1]:80", true);
        check("nonsense", "127.0.0.1:80", false);
    }
}
