//! [`Disk`]: an image file of the host that the appliance sees as a disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use super::Memory;

/// A disk of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The raw image.
    pub(crate) path: PathBuf,
    /// The appliance may only read it.
    pub(crate) is_read_only: bool,
    /// Options of the virtio device, each after a comma.
    pub(crate) options: String,
}

/// `disk.img`, or `disk.img,ro` for one that is only read.
impl FromStr for Disk {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (path, is_read_only) = split_mode(text);
        if path.is_empty() {
            bail!("a disk needs an image file, as in disk.img or disk.img,ro");
        }
        Ok(Self {
            path: path.into(),
            is_read_only,
            options: String::new(),
        })
    }
}

impl Disk {
    /// Makes an empty image in `folder`, of what a manifest says: `64M`, or `1M,ro`.
    pub(crate) fn scratch(text: &str, folder: &Path, name: &str) -> Result<Self> {
        let (size, is_read_only) = split_mode(text);
        let size: Memory = size.parse()?;
        let path = folder.join(format!("{name}.img"));
        // What an earlier run left there is gone: sparse, so that only what is written takes room.
        let file = File::create(&path).and_then(|file| file.set_len(size.bytes()));
        file.with_context(|| format!("cannot make the disk {}", path.display()))?;
        Ok(Self {
            path,
            is_read_only,
            options: String::new(),
        })
    }

    /// Finds what QEMU would complain about less clearly.
    pub(crate) fn check(&self) -> Result<()> {
        let path = self.path.display();
        let hint = format!("make one with `truncate -s 64M {path}`");
        let file = File::options()
            .read(true)
            .write(!self.is_read_only)
            .open(&self.path)
            .with_context(|| format!("cannot open the disk {path}; {hint}"))?;
        let len = file.metadata()?.len();
        if len == 0 || len % 512 != 0 {
            bail!("the disk {path} has {len} bytes, which is no number of sectors; {hint}");
        }
        Ok(())
    }

    /// The back end, as `-blockdev` takes it.
    pub(super) fn backend(&self, id: &str) -> String {
        // A comma in a value is doubled.
        let path = self.path.display().to_string().replace(',', ",,");
        let mode = if self.is_read_only { "on" } else { "off" };
        format!(
            "driver=raw,node-name={id},read-only={mode},discard=unmap,file.driver=file,file.filename={path}"
        )
    }
}

fn split_mode(text: &str) -> (&str, bool) {
    match text.strip_suffix(",ro") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::Disk;

    #[test]
    fn a_disk_is_a_file_and_perhaps_a_mode() {
        let disk: Disk = "a,b.img,ro".parse().unwrap();
        assert_eq!(disk.path.to_str(), Some("a,b.img"));
        assert!(disk.is_read_only);
        assert!(
            disk.backend("blk0")
                .ends_with("read-only=on,discard=unmap,file.driver=file,file.filename=a,,b.img")
        );
        assert!(!"a.img".parse::<Disk>().unwrap().is_read_only);
        assert!("".parse::<Disk>().is_err());
        assert!(",ro".parse::<Disk>().is_err());
    }

    #[test]
    fn a_disk_that_is_not_there_is_named_with_a_remedy() {
        let disk: Disk = "/nowhere/disk.img".parse().unwrap();
        let error = format!("{:#}", disk.check().unwrap_err());
        assert!(
            error.contains("/nowhere/disk.img") && error.contains("truncate"),
            "{error}"
        );
    }
}
