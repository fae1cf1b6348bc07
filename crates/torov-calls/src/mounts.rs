//! [`Mounts`]: which folders of the host the guest sees, and where.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use torov_abi::Errno;
use torov_host as host;
use torov_policy::Mode;

/// Devices that every program may open if its policy lets it open anything there.
const DEVICES: [&str; 4] = ["null", "zero", "urandom", "random"];

/// The folders that the guest sees. All else does not exist for it.
#[derive(Debug, Default)]
pub struct Mounts {
    /// The longest path first.
    mounts: Vec<Mounted>,
    devices: Option<OwnedFd>,
}

#[derive(Debug)]
struct Mounted {
    guest: String,
    root: OwnedFd,
    mode: Mode,
}

/// A path of the guest as the host finds it.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// Below which folder.
    pub(crate) root: BorrowedFd<'a>,
    /// The rest of the path, `.` for the folder itself.
    pub(crate) path: CString,
    /// Whether it may be changed.
    pub(crate) mode: Mode,
}

impl Mounts {
    /// Nothing but a few devices, which lie below `devices`.
    #[must_use]
    pub fn new(devices: Option<OwnedFd>) -> Self {
        Self {
            mounts: Vec::new(),
            devices,
        }
    }

    /// Shows the folder `root` at `guest`, an absolute path.
    pub fn add(&mut self, guest: &str, root: OwnedFd, mode: Mode) {
        let guest = normalise("/", guest);
        self.mounts.push(Mounted { guest, root, mode });
        self.mounts
            .sort_by_key(|mount| std::cmp::Reverse(mount.guest.len()));
    }

    /// The folders of the host, for what binds the monitor to them.
    pub fn roots(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Mode)> {
        self.mounts
            .iter()
            .map(|mount| (mount.root.as_fd(), mount.mode))
    }

    /// The devices that every program may open, as far as the host has them.
    #[must_use]
    pub fn devices(&self) -> Vec<OwnedFd> {
        let root = self.devices.iter();
        let all = root.flat_map(|root| DEVICES.map(|name| (root, name)));
        let opened = all.filter_map(|(root, name)| {
            let name = text(name).ok()?;
            host::open_beneath(root.as_fd(), &name, 0x20_0000, 0).ok()
        });
        opened.collect()
    }

    /// Finds a normalised path.
    ///
    /// # Errors
    /// `ENOENT` if no mount shows it.
    pub(crate) fn find(&self, path: &str) -> Result<Found<'_>, Errno> {
        let below = |mount: &&Mounted| rest_below(path, &mount.guest).is_some();
        if let Some(mount) = self.mounts.iter().find(below) {
            let rest = rest_below(path, &mount.guest).unwrap_or_default();
            return found(mount.root.as_fd(), rest, mount.mode);
        }
        let device = path
            .strip_prefix("/dev/")
            .filter(|name| DEVICES.contains(name));
        match (device, &self.devices) {
            (Some(name), Some(root)) => found(root.as_fd(), name, Mode::Rw),
            _ => Err(Errno::ENOENT),
        }
    }

    /// Whether a path only leads to mounts: it is a folder, and nothing of the host.
    pub(crate) fn is_above(&self, path: &str) -> bool {
        let path = plain(path);
        let mut mounts = self.mounts.iter();
        let leads = |mount: &Mounted| rest_below(&mount.guest, path).is_some();
        self.find(path).is_err() && (path == "/" || path == "/dev" || mounts.any(leads))
    }

    /// Opens the folder that holds `path`, and returns it with the last name.
    ///
    /// # Errors
    /// As `open`; `EBUSY` for a mount itself, `EROFS` below one that may not be changed.
    pub(crate) fn parent_to_change(&self, path: &str) -> Result<(OwnedFd, CString), Errno> {
        let (parent, name) = self.parent(path)?;
        if self.find(path)?.mode == Mode::Ro {
            return Err(Errno::EROFS);
        }
        Ok((parent, name))
    }

    /// Opens the folder that holds `path`, and returns it with the last name.
    ///
    /// # Errors
    /// As `open`; `EBUSY` for a mount itself.
    pub(crate) fn parent(&self, path: &str) -> Result<(OwnedFd, CString), Errno> {
        let found = self.find(path)?;
        let inside = found.path.to_str().map_err(|_| Errno::EINVAL)?;
        let end = &path[plain(path).len()..];
        let inside = if end == "/" {
            inside.trim_end_matches('/')
        } else {
            inside
        };
        if inside == "." && end != "/." {
            return Err(Errno::EBUSY);
        }
        let (folder, name) = inside.rsplit_once('/').unwrap_or((".", inside));
        let name = if end == "/" {
            format!("{name}/")
        } else {
            name.to_owned()
        };
        let folder = text(folder)?;
        let flags = 0x20_0000 | 0x1_0000; // O_PATH, O_DIRECTORY
        let parent = host::open_beneath(found.root, &folder, flags, 0)?;
        Ok((parent, text(&name)?))
    }
}

fn found<'a>(root: BorrowedFd<'a>, rest: &str, mode: Mode) -> Result<Found<'a>, Errno> {
    let path = text(if rest.is_empty() { "." } else { rest })?;
    Ok(Found { root, path, mode })
}

fn text(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

/// What follows `top` in `path`, if it is below.
fn rest_below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(top.trim_end_matches('/'))?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

/// `path` from the folder `from`, without `.`, `..`, doubled and trailing slashes. Nothing leads above `/`.
pub(crate) fn normalise(from: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{from}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The same, with the end of `path` as it is where that says that it is a folder: `/`, or `/.`. What that means for each call
/// the host knows.
pub(crate) fn named(from: &str, path: &str) -> String {
    let end = match path {
        "." => "/.",
        _ if path.ends_with("/.") => "/.",
        _ if path.ends_with('/') => "/",
        _ => "",
    };
    let plain = normalise(from, path);
    if plain == "/" { plain } else { plain + end }
}

/// A path without what [`named`] has left at its end.
pub(crate) fn plain(path: &str) -> &str {
    let cut = path.strip_suffix("/.").or(path.strip_suffix('/'));
    cut.filter(|rest| !rest.is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use torov_abi::Errno;
    use torov_policy::Mode;

    use super::{Mounts, named, normalise, plain};

    #[test]
    fn paths_become_absolute_and_plain() {
        for (from, path, expected) in [
            ("/", "a", "/a"),
            ("/x", "../../../etc", "/etc"),
            ("/x", "/a/./b//c/", "/a/b/c"),
            ("/x/y", ".", "/x/y"),
            ("/", "..", "/"),
        ] {
            assert_eq!(normalise(from, path), expected, "{from} {path}");
        }
    }

    #[test]
    fn the_end_of_a_path_is_kept() {
        for (path, expected) in [
            ("a", "/x/a"),
            ("a/", "/x/a/"),
            ("a//", "/x/a/"),
            ("a/.", "/x/a/."),
            (".", "/x/."),
            ("..", "/"),
            ("/", "/"),
            ("/..//.", "/"),
        ] {
            assert_eq!(named("/x", path), expected, "{path}");
            assert_eq!(plain(expected), normalise("/x", path), "{path}");
        }
    }

    #[test]
    fn the_innermost_mount_counts() {
        let folder = || File::open("/").unwrap().into();
        let mut mounts = Mounts::new(None);
        mounts.add("/data", folder(), Mode::Ro);
        mounts.add("/data/out/", folder(), Mode::Rw);
        let find = |path| {
            mounts
                .find(path)
                .map(|found| (found.path.into_string().unwrap(), found.mode))
        };
        assert_eq!(find("/data"), Ok((".".to_owned(), Mode::Ro)));
        assert_eq!(find("/data/x/y"), Ok(("x/y".to_owned(), Mode::Ro)));
        assert_eq!(find("/data/out/x"), Ok(("x".to_owned(), Mode::Rw)));
        assert_eq!(find("/data/outer"), Ok(("outer".to_owned(), Mode::Ro)));
        assert_eq!(find("/database"), Err(Errno::ENOENT));
        assert_eq!(find("/"), Err(Errno::ENOENT));
        assert_eq!(find("/dev/null"), Err(Errno::ENOENT));
        assert!(mounts.is_above("/") && !mounts.is_above("/data") && !mounts.is_above("/dat"));
        assert_eq!(
            mounts.parent_to_change("/data/x").unwrap_err(),
            Errno::EROFS
        );
        assert_eq!(
            mounts.parent_to_change("/data/out").unwrap_err(),
            Errno::EBUSY
        );
    }
}
