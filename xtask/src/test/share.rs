//! The host's side of the folder that a test image sees: what it puts there before, and what it must find there afterwards.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use toro_abi::share::{HOST_FILE, HOST_LINKS, ShareDigest, WORK, pattern};

use crate::qemu::Share;

/// The folders of a machine.
#[derive(Debug)]
pub(super) struct Prepared(Vec<PathBuf>);

/// Puts the host's files into each folder.
pub(super) fn prepare(shares: &[Share]) -> Result<Prepared> {
    for share in shares {
        fill(&share.folder).with_context(|| format!("cannot fill {}", share.folder.display()))?;
    }
    Ok(Prepared(
        shares.iter().map(|share| share.folder.clone()).collect(),
    ))
}

fn fill(folder: &Path) -> Result<()> {
    let (name, len) = HOST_FILE;
    let file = folder.join(name);
    fs::create_dir_all(file.parent().context("it lies in a folder")?)?;
    let bytes: Vec<u8> = (0..len).map(pattern).collect();
    fs::write(file, bytes)?;
    for (name, target) in HOST_LINKS {
        symlink(target, folder.join(name))?;
    }
    Ok(())
}

impl Prepared {
    /// A case if the image has told in `lines` what it found. The machine has ended.
    pub(super) fn compare(&self, lines: &[String]) -> Vec<(String, Result<(), String>)> {
        let told = lines.iter().filter_map(|line| ShareDigest::parse(line));
        let compared = told.zip(&self.0).map(|(told, folder)| {
            let outcome = check(told, &folder.join(WORK));
            let name = "the host holds the same files".to_owned();
            (name, outcome.map_err(|error| format!("{error:#}")))
        });
        compared.collect()
    }
}

fn check(told: ShareDigest, folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    files.sort();
    let mut digest = ShareDigest::EMPTY;
    for path in &files {
        let bytes = fs::read(folder.join(path)).with_context(|| path.clone())?;
        digest = digest.file(path, &bytes);
    }
    let folder = folder.display();
    ensure!(
        digest == told,
        "{folder} has {digest} in {} files, the image read {told}",
        files.len()
    );
    Ok(())
}

/// The paths of all files below `folder`, relative to `root`.
fn list(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else {
            let name = path
                .strip_prefix(root)?
                .to_str()
                .context("a name is no text")?;
            files.push(name.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use toro_abi::share::{ShareDigest, WORK};

    use super::{Prepared, prepare};
    use crate::qemu::Share;

    #[test]
    fn a_folder_that_differs_is_found() {
        let folder = std::env::temp_dir().join(format!("toro-share-{}", std::process::id()));
        fs::create_dir_all(folder.join(WORK).join("deep")).unwrap();
        fs::write(folder.join(WORK).join("deep/file"), b"1").unwrap();
        let share = Share {
            folder: folder.clone(),
            socket: "unused".into(),
            remembers: false,
        };
        let prepared: Prepared = prepare(&[share]).unwrap();
        let compared = |digest: ShareDigest| prepared.compare(&[digest.to_string()]);
        let same = compared(ShareDigest::EMPTY.file("deep/file", b"1"));
        let other = compared(ShareDigest::EMPTY.file("deep/file", b"2"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(same.len() == 1 && same[0].1.is_ok(), "{same:?}");
        assert!(other.len() == 1 && other[0].1.is_err());
        assert!(prepared.compare(&["toro-disk: 0 1".to_owned()]).is_empty());
    }
}
