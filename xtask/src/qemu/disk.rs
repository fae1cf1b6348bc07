//! [`Disk`]: an image file of the host that the appliance sees as a disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use super::recipe::Recipe;

/// A disk of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The raw image.
    pub(crate) path: PathBuf,
    /// The appliance may only read it.
    pub(crate) is_read_only: bool,
    /// Options of the virtio device, each after a comma.
    pub(crate) options: String,
    /// A file system that it was made with, which a test holds to be whole in the end.
    pub(crate) format: Option<super::Format>,
    /// Requests that fail.
    pub(crate) failing: Option<super::Failing>,
    /// Where every write and flush is recorded, if anywhere: in the form of `dm-log-writes`.
    pub(crate) log: Option<PathBuf>,
}

/// `disk.img`, or `disk.img,ro` for one that is only read.
impl FromStr for Disk {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (path, is_read_only) = match text.strip_suffix(",ro") {
            Some(path) => (path, true),
            None => (text, false),
        };
        if path.is_empty() {
            bail!("a disk needs an image file, as in disk.img or disk.img,ro");
        }
        Ok(Self {
            is_read_only,
            ..Self::new(path.into())
        })
    }
}

impl Disk {
    /// A disk that can be written.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            is_read_only: false,
            options: String::new(),
            format: None,
            failing: None,
            log: None,
        }
    }

    /// Makes an image in `folder`, of what a manifest says ([`Recipe`]); `package` is the folder of that manifest.
    pub(crate) fn scratch(text: &str, folder: &Path, name: &str, package: &Path) -> Result<Self> {
        let recipe: Recipe = text.parse()?;
        let path = folder.join(format!("{name}.img"));
        recipe.make(&path, package)?;
        Ok(Self {
            is_read_only: recipe.is_read_only,
            // The checkers do not look into partitions.
            format: recipe.format.filter(|_| !recipe.has_table),
            failing: recipe.failing,
            ..Self::new(path)
        })
    }

    /// Finds what QEMU would complain about less clearly.
    pub(crate) fn check(&self) -> Result<()> {
        let path = self.path.display();
        if self.path.is_dir() {
            bail!(
                "the disk {path} is a folder; name a raw image, or share the folder with --share {path}"
            );
        }
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
        let file = format!("file.driver=file,file.filename={path}");
        let node = format!("node-name={id},read-only={mode},discard=unmap");
        if let Some(log) = &self.log {
            let log = log.display().to_string().replace(',', ",,");
            return format!(
                "driver=blklogwrites,{node},{file},log.driver=file,log.filename={log},log-sector-size=512,log-super-update-interval=1"
            );
        }
        match &self.failing {
            None => format!("driver=raw,{node},{file}"),
            Some(failing) => format!(
                "driver=blkdebug,{node},image.driver=raw,{}{}",
                file.replace("file.", "image.file."),
                failing.rule()
            ),
        }
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

    #[test]
    fn a_disk_that_fails_has_a_layer_that_makes_it() {
        let mut disk: Disk = "a.img".parse().unwrap();
        disk.failing = Some("write@9".parse().unwrap());
        let backend = disk.backend("blk0");
        for part in [
            "driver=blkdebug,node-name=blk0,",
            ",image.driver=raw,image.file.driver=file,image.file.filename=a.img,",
            "inject-error.0.iotype=write",
            "inject-error.0.sector=9",
        ] {
            assert!(backend.contains(part), "{part} is not in {backend}");
        }
    }
}
