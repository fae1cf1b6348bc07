//! [`Scratch`]: a folder in the memory of this machine, gone when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "toro-bench-";

/// A folder for images of disks, shared files and sockets.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, and removes what runs that were killed have left.
    ///
    /// # Errors
    /// Fails if there is no file system in memory to write to.
    pub(super) fn new() -> Result<Self> {
        let entries = fs::read_dir(MEMORY)
            .with_context(|| format!("{MEMORY} is needed: a file system in memory"))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                // Another run may be doing the same.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = Path::new(MEMORY).join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run removes what is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}
