//! Files: read, written, opened; the same calls as in the program for Linux.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use toro::fs::{self, File, FileError, OpenOptions};

use crate::places::Places;

/// What is done with a file: `count` pieces of `len` bytes within its first `span` bytes.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) path: &'a str,
    pub(crate) len: usize,
    pub(crate) count: u64,
    pub(crate) span: u64,
    pub(crate) order: &'a str,
}

impl Load<'_> {
    fn places(&self) -> Result<Places, String> {
        let places = Places::new(self.span, self.len as u64, self.order);
        places.ok_or(String::from("a piece is longer than the file"))
    }

    fn fails(&self) -> impl Fn(FileError) -> String {
        let path = self.path;
        move |error| format!("{path}: {error}")
    }
}

/// Reads pieces of a file that is there.
pub(crate) fn read(load: &Load<'_>) -> Result<(), String> {
    let mut bytes = vec![0; load.len];
    let mut places = load.places()?;
    let file = File::open(load.path).map_err(load.fails())?;
    for _ in 0..load.count {
        let read = file.read_at(&mut bytes, places.next());
        if read.map_err(load.fails())? != load.len {
            return Err(format!("{}: too short", load.path));
        }
    }
    Ok(())
}

/// Writes pieces of a file, made if it is not there, and has them on stable storage in the end.
pub(crate) fn write(load: &Load<'_>) -> Result<(), String> {
    let bytes = vec![b'x'; load.len];
    let mut places = load.places()?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).open(load.path);
    let file = file.map_err(load.fails())?;
    for _ in 0..load.count {
        let written = file.write_at(&bytes, places.next());
        if written.map_err(load.fails())? != load.len {
            return Err(format!("{}: no space", load.path));
        }
    }
    file.sync_data().map_err(load.fails())
}

/// Opens, reads and closes small files of a folder, `count` times.
pub(crate) fn open_many(folder: &str, files: u64, count: u64) -> Result<(), String> {
    let mut bytes = vec![0; 4096];
    for number in 0..count {
        let path = format!("{folder}/{:04}", number % files.max(1));
        let read = File::open(&path).and_then(|mut file| file.read(&mut bytes));
        if read.map_err(|error| format!("{path}: {error}"))? == 0 {
            return Err(format!("{path}: empty"));
        }
    }
    Ok(())
}

/// Makes the small files of a folder.
pub(crate) fn make_many(folder: &str, files: u64, len: usize) -> Result<(), String> {
    let bytes = vec![b'x'; len];
    let fails = |error| format!("{folder}: {error}");
    fs::create_dir_all(folder).map_err(fails)?;
    (0..files).try_for_each(|number| {
        let path = format!("{folder}/{number:04}");
        fs::write(&path, &bytes).map_err(fails)
    })
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &str) -> Result<(), String> {
    match fs::remove_file(path) {
        Ok(()) | Err(FileError::NotFound) => Ok(()),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

/// Mounts a file system anew, as the command line says: nothing of its disk is in memory then.
pub(crate) fn remount(spec: &str) -> Result<(), String> {
    let path = spec.split(':').next().unwrap_or("");
    fs::unmount(path).map_err(|error| format!("{path}: {error}"))?;
    fs::mount(spec).map_err(|error| format!("{spec}: {error}"))
}
