//! Symbolic links are followed here: the library would believe their length and take that much memory.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ext4_view::Ext4;
use toro_vfs::FileError;

use crate::error::translate;

/// Most links on the way to a file.
const MOST_LINKS: usize = 40;

/// Longest target, and most names that wait to be looked up.
const LONGEST: u64 = 4096;
const MOST_NAMES: usize = 4096;

/// The path without any link, with a slash in front.
pub(crate) fn resolve(ext: &Ext4, path: &str) -> Result<String, FileError> {
    let mut found = String::new();
    let mut links = 0;
    let mut names: Vec<String> = path.split('/').rev().map(String::from).collect();
    while let Some(name) = names.pop() {
        match &*name {
            "" | "." => continue,
            ".." => {
                found.truncate(found.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let next = format!("{found}/{name}");
        let metadata = ext.symlink_metadata(&next).map_err(translate)?;
        if !metadata.is_symlink() {
            found = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS || metadata.len() > LONGEST {
            return Err(FileError::Corrupt);
        }
        let target = ext.read_link(&next).map_err(translate)?;
        let target = target.as_path();
        let target = target.to_str().map_err(|_| FileError::InvalidPath)?;
        if target.starts_with('/') {
            found.clear();
        }
        names.extend(target.split('/').rev().map(String::from));
        if names.len() > MOST_NAMES {
            return Err(FileError::Corrupt);
        }
    }
    if found.is_empty() {
        found.push('/');
    }
    Ok(found)
}
