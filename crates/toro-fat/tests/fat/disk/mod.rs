//! Disks made by `mkfs.fat` and checked by `fsck.fat`, and what mtools say of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use toro_cache::BlockStore;
use toro_fat::{FatFs, Options};
use toro_vfs::{File, FileError, Mounts, OpenOptions};

/// 2023-11-14 22:13:20.
pub(crate) const NOW: u64 = 1_700_000_000;

/// A format and size, as options of `mkfs.fat`; one of each kind.
pub(crate) const FORMATS: [(&str, &[&str], u64); 3] = [
    ("fat12", &["-F", "12"], 2 << 20),
    ("fat16", &["-F", "16", "-s", "2"], 8 << 20),
    ("fat32", &["-F", "32", "-s", "1"], 40 << 20),
];

/// A file in the folder for temporary files, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Image(PathBuf);

impl Image {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("toro-fat-{}-{number}.img", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// A file that holds `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let image = Self::new();
        fs::write(&image.0, bytes).expect("there is room for temporary files");
        image
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs a program of dosfstools or mtools; `None`, with a line that says so, if it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str], image: &Path) -> Option<Output> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let image = image.to_str().expect("temporary folders have plain names");
    let arguments = arguments.iter().map(|word| word.replace("IMAGE", image));
    let output = Command::new(program)
        .env("PATH", path)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("LC_ALL", "C.UTF-8")
        .args(arguments)
        .output();
    if output.is_err() {
        println!("skipped: {program} is not installed (dosfstools, mtools)");
    }
    output.ok()
}

/// The bytes of a new volume.
pub(crate) fn formatted(options: &[&str], len: u64) -> Option<Vec<u8>> {
    let image = Image::new();
    let file = fs::File::create(image.path()).expect("there is room for temporary files");
    file.set_len(len)
        .expect("there is room for temporary files");
    let mut arguments = options.to_vec();
    arguments.push("IMAGE");
    let output = run("mkfs.fat", &arguments, image.path())?;
    assert!(output.status.success(), "{output:?}");
    Some(fs::read(image.path()).expect("it was just written"))
}

/// Panics if `fsck.fat` finds anything.
pub(crate) fn assert_clean(disk: &[u8]) {
    let image = Image::of(disk);
    if let Some(output) = run("fsck.fat", &["-n", "-v", "IMAGE"], image.path()) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("Dirty bit"), "{text}");
    }
}

/// The volume on `store`, mounted at `/`.
pub(crate) fn mounted(store: Rc<dyn BlockStore>) -> (Mounts, Rc<FatFs>) {
    let options = Options {
        cache_bytes: 256 << 10,
        clock: || NOW,
    };
    let file_system = Rc::new(FatFs::mount(store, options).expect("it is a volume"));
    let mut mounts = Mounts::new();
    mounts
        .mount("/", file_system.clone())
        .expect("nothing is mounted");
    (mounts, file_system)
}

/// Opens or creates a file for reading and writing.
pub(crate) fn open(mounts: &Mounts, path: &str) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    mounts.resolve(path)?.open_with(&options)
}
