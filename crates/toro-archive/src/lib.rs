//! A folder of the host becomes the archive that an image mounts: a ustar file, the same for the same files.
//!
//! `cargo xtask run` passes it beside the image. A build script can put it into the image instead:
//!
//! ```no_run
//! // build.rs: writes files.tar
//! toro_archive::embed("files").expect("the folder can be read");
//! ```
//!
//! ```ignore
//! // main.rs
//! static FILES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/files.tar"));
//! toro::fs::mount_archive("/", FILES)?;
//! ```

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::{process, thread};

use anyhow::{Context as _, Result, bail};

/// What went into an archive.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The archive.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// How many files it holds.
    pub files: usize,
}

/// Writes all files below `folder` to a ustar archive at `path`.
///
/// Links are followed; names are relative to `folder`. Whoever reads what was at `path` before goes on with that.
///
/// # Errors
/// Fails if the folder or a file in it cannot be read, a name is too long for ustar, or the archive cannot be written.
pub fn write(folder: &Path, path: &Path) -> Result<Archive> {
    if !folder.is_dir() {
        bail!(
            "the folder {} that should be shared is not there; make it, or name another with --share",
            folder.display()
        );
    }
    let mut unfinished = path.as_os_str().to_owned();
    // Nobody else writes there, in this program or another.
    let writer = format!(".{}-{:?}", process::id(), thread::current().id());
    unfinished.push(writer);
    let unfinished = PathBuf::from(unfinished);
    let context = || format!("cannot write {}", unfinished.display());
    let file = File::create(&unfinished).with_context(context)?;
    let mut builder = tar::Builder::new(BufWriter::new(file));
    let files = append_folder(&mut builder, folder, Path::new(""))?;
    let mut writer = builder.into_inner()?;
    let len = writer.stream_position()?;
    let padding = vec![0; usize::try_from(module_len(len) - len)?];
    writer
        .write_all(&padding)
        .and_then(|()| writer.flush())
        .with_context(context)?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Archive {
        path: path.to_owned(),
        len: module_len(len),
        files,
    })
}

/// The length that a boot module of `len` bytes is padded to, so that it ends early in its last page.
///
/// QEMU loads a boot module flush against the end of memory, page-aligned at its start. The firmware of microvm keeps the
/// ACPI tables at the end of the last page, and a module that reaches so far overwrites them: the guest finds no devices.
pub fn module_len(len: u64) -> u64 {
    const PAGE: u64 = 4096;
    const MOST: u64 = 1024;
    if (1..=MOST).contains(&(len % PAGE)) {
        return len;
    }
    len.next_multiple_of(PAGE) + MOST
}

/// For a build script: writes `FOLDER.tar` to cargo's output folder, and has cargo look at the folder.
///
/// # Errors
/// Fails as [`write`] does, or if this is no build script.
pub fn embed(folder: &str) -> Result<Archive> {
    println!("cargo:rerun-if-changed={folder}");
    let output = std::env::var_os("OUT_DIR").context("only a build script has an OUT_DIR")?;
    write(
        Path::new(folder),
        &Path::new(&output).join(format!("{folder}.tar")),
    )
}

type Builder = tar::Builder<BufWriter<File>>;

fn append_folder(builder: &mut Builder, folder: &Path, name: &Path) -> Result<usize> {
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries.sort();
    let mut files = 0;
    for entry in entries {
        let (path, name) = (folder.join(&entry), name.join(&entry));
        let metadata =
            fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut header = header(&metadata, &name)?;
        if metadata.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_cksum();
            builder.append(&header, std::io::empty())?;
            files += append_folder(builder, &path, &name)?;
        } else {
            let file =
                File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            builder
                .append(&header, file)
                .with_context(|| format!("cannot archive {}", path.display()))?;
            files += 1;
        }
    }
    Ok(files)
}

fn header(metadata: &fs::Metadata, name: &Path) -> Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header
        .set_path(name)
        .with_context(|| format!("the name {} is too long for the archive", name.display()))?;
    header.set_metadata_in_mode(metadata, tar::HeaderMode::Deterministic);
    header.set_size(metadata.len());
    header.set_mtime(modified(metadata));
    header.set_cksum();
    Ok(header)
}

/// Seconds since 1970, 0 if the file system knows none.
fn modified(metadata: &fs::Metadata) -> u64 {
    metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{module_len, write};

    #[test]
    fn a_module_ends_early_in_its_last_page() {
        let padded = [0, 1, 1024, 1025, 3584, 4095, 4096, 4097].map(module_len);
        assert_eq!(padded, [1024, 1, 1024, 5120, 5120, 5120, 5120, 4097]);
    }

    #[test]
    fn holds_every_file_below_the_folder() {
        let folder = std::env::temp_dir().join(format!("toro-archive-{}", std::process::id()));
        let deep = folder.join("www/a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("deep.txt"), "deep").unwrap();
        fs::write(folder.join("www/index.html"), "hi").unwrap();
        let archive = write(&folder.join("www"), &folder.join("www.tar")).unwrap();
        assert_eq!(archive.files, 2);
        let bytes = fs::read(&archive.path).unwrap();
        assert_eq!(bytes.len() as u64, archive.len);
        let names: Vec<_> = tar::Archive::new(bytes.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/deep.txt", "index.html"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_folder_is_named_with_a_remedy() {
        let missing = std::path::Path::new("/nowhere/to/be/found");
        let error = write(missing, &std::env::temp_dir().join("never.tar")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/nowhere/to/be/found") && text.contains("--share"),
            "{text}"
        );
    }
}
