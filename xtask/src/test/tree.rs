//! A generated tree of files: every size that is likely to go wrong, contents that repeat nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// How many files there are.
const FILES: usize = 220;

/// Lengths around the sizes of segments, buffers, windows and archive blocks.
const LENGTHS: &[usize] = &[
    0,
    1,
    2,
    511,
    512,
    513,
    1023,
    1459,
    1460,
    1461,
    2920,
    4095,
    4096,
    4097,
    8192,
    16_384,
    32_767,
    65_535,
    65_536,
    65_537,
    131_072,
    262_144,
    1 << 20,
    (1 << 20) + 1,
    4 << 20,
    8 << 20,
];

/// Folders and names that need care in URLs.
const FOLDERS: &[&str] = &[
    "",
    "a",
    "a/b",
    "with space",
    "100%",
    "\u{e4}\u{f6}\u{fc}",
    "a/b/c/d/e",
];

/// Files below a folder.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) folder: PathBuf,
    /// Their paths in it.
    pub(super) files: Vec<String>,
}

/// Writes the tree to `folder`, the same each time.
pub(super) fn write(folder: &Path) -> Result<Tree> {
    // Whatever an earlier version left there.
    drop(fs::remove_dir_all(folder));
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let mut files = Vec::new();
    for number in 0..FILES {
        let parent = folder.join(FOLDERS[number % FOLDERS.len()]);
        fs::create_dir_all(&parent)
            .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        let len = LENGTHS.get(number).copied().unwrap_or(number * 97);
        let path = parent.join(format!("file-{number}.bin"));
        fs::write(&path, bytes(len, &mut random))
            .with_context(|| format!("cannot write {}", path.display()))?;
        let below = path
            .strip_prefix(folder)
            .expect("the file was made below the folder");
        files.push(below.to_string_lossy().into_owned());
    }
    fs::write(folder.join("index.html"), "<h1>Toro</h1>\n")?;
    files.push("index.html".to_owned());
    Ok(Tree {
        folder: folder.to_owned(),
        files,
    })
}

/// A path as it stands in a URL: every byte that is not plain is percent-encoded.
pub(super) fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn bytes(len: usize, random: &mut u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        bytes.extend_from_slice(&random.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn paths_are_encoded_for_urls() {
        assert_eq!(encoded("a/b-1.bin"), "a/b-1.bin");
        assert_eq!(encoded("with space/100%"), "with%20space/100%25");
        assert_eq!(encoded("\u{e4}"), "%C3%A4");
    }
}
