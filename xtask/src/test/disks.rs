//! What a test image says of its disks, held against the files behind them, and what is left on them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use toro_abi::digest::{DiskDigest, EMPTY, digest};

use crate::process;
use crate::qemu::{Disk, Format};

/// A case for each disk that the image has told of in `lines`.
pub(super) fn compare(lines: &[String], disks: &[Disk]) -> Vec<(String, Result<(), String>)> {
    let told = lines.iter().filter_map(|line| DiskDigest::parse(line));
    let case = |told: DiskDigest| {
        let name = format!("disk {} holds the same on the host", told.number);
        (
            name,
            check(told, disks).map_err(|error| format!("{error:#}")),
        )
    };
    told.map(case).collect()
}

/// A case for each file system that the image could write: the host finds it whole.
pub(super) fn whole(disks: &[Disk]) -> Vec<(String, Result<(), String>)> {
    let writable = |disk: &&Disk| !disk.is_read_only && disk.failing.is_none();
    let numbered = disks.iter().enumerate();
    let formatted = numbered.filter_map(|(number, disk)| {
        let disk = Some(disk).filter(writable)?;
        Some((number, disk, disk.format?))
    });
    let case = |(number, disk, format): (usize, &Disk, Format)| {
        let outcome = process::output(&mut format.checker(&disk.path));
        let outcome = outcome.and_then(|text| {
            ensure!(
                !text.contains("Dirty bit"),
                "it was not left in order:\n{text}"
            );
            Ok(())
        });
        (
            format!("disk {number} holds a whole file system"),
            outcome.map_err(|error| format!("{error:#}")),
        )
    };
    formatted.map(case).collect()
}

fn check(told: DiskDigest, disks: &[Disk]) -> Result<()> {
    let disk = disks.get(told.number).context("there is no such disk")?;
    let bytes =
        fs::read(&disk.path).with_context(|| format!("cannot read {}", disk.path.display()))?;
    let here = digest(EMPTY, &bytes);
    ensure!(
        here == told.digest,
        "the file {} has digest {here:016x}, the image read {:016x}",
        disk.path.display(),
        told.digest
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::compare;
    use crate::qemu::Disk;

    #[test]
    fn a_disk_that_differs_is_found() {
        let path = std::env::temp_dir().join(format!("toro-disk-{}", std::process::id()));
        fs::write(&path, [0; 512]).unwrap();
        let disk: Disk = path.to_str().unwrap().parse().unwrap();
        let lines = ["other", "toro-disk: 0 1", "toro-disk: 7 1"].map(str::to_owned);
        let cases = compare(&lines, &[disk]);
        fs::remove_file(&path).unwrap();
        assert_eq!(cases.len(), 2);
        assert!(cases.iter().all(|(_, result)| result.is_err()));
    }
}
