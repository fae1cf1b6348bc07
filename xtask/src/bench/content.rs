//! The files that `bench files` reads: one large one, and a folder of small ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::pages::Page;

/// The folder of the small files.
pub(super) const FOLDER: &str = "small";
/// How many small files there are, and the bytes of each.
pub(super) const SMALL: (u32, usize) = (100, 1024);
/// Bytes of the large file.
pub(super) const LARGE: u64 = 32 << 20;

/// All of them.
pub(super) fn all() -> Vec<Page> {
    let byte = |at: u64| u8::try_from(at * 31 % 251).expect("below 256");
    let large = Page {
        name: "big.bin".to_owned(),
        content: (0..LARGE).map(byte).collect(),
    };
    let small = (0..SMALL.0).map(|number| Page {
        name: format!("{FOLDER}/{number:04}"),
        content: vec![b'x'; SMALL.1],
    });
    std::iter::once(large).chain(small).collect()
}

/// Writes them below `folder`.
pub(super) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join(FOLDER))?;
    for page in all() {
        let path = folder.join(&page.name);
        fs::write(&path, &page.content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
