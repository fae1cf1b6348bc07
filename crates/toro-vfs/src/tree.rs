//! Whole trees of directories: created and removed step by step over a [`FileSystem`].

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::file::OpenNode;
use crate::path::PATH_MAX;
use crate::{FileError, FileSystem, FileType, ReadDir};

/// Creates the directory at `path` and those above it that are not there.
pub(crate) fn create_all(file_system: &Rc<dyn FileSystem>, path: &str) -> Result<(), FileError> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([path.len()]).filter(|end| *end > 0) {
        match file_system.create_dir(&path[..end]) {
            // A read-only file system says so before it looks.
            Err(error @ (FileError::AlreadyExists | FileError::ReadOnly)) => {
                let found = OpenNode::open(file_system, &path[..end]).map_err(|_| error)?;
                if !found.metadata()?.is_dir() {
                    return Err(FileError::NotADirectory);
                }
            }
            other => other?,
        }
    }
    Ok(())
}

/// Removes the directory at `path` and all that is below it.
///
/// The names of one directory on the way down are in memory, not those of the tree. A link to a directory is removed, not what is behind it.
pub(crate) fn remove_all(file_system: &Rc<dyn FileSystem>, path: &str) -> Result<(), FileError> {
    if !OpenNode::open(file_system, path)?.metadata()?.is_dir() {
        return Err(FileError::NotADirectory);
    }
    if is_link_removed(file_system, path)? {
        return Ok(());
    }
    let mut waiting = Vec::from([String::from(path)]);
    while let Some(path) = waiting.pop() {
        let inner = remove_files(file_system, &path)?;
        if inner.is_empty() {
            file_system.remove_dir(&path)?;
        } else {
            waiting.push(path);
            waiting.extend(inner);
        }
    }
    Ok(())
}

/// Removes the files of a directory, and returns the paths of the directories in it.
fn remove_files(file_system: &Rc<dyn FileSystem>, path: &str) -> Result<Vec<String>, FileError> {
    let node = OpenNode::open(file_system, path)?;
    if !node.metadata()?.is_dir() {
        return Err(FileError::NotADirectory);
    }
    // All names first: what a cursor means while entries vanish is the file system's affair.
    let entries = ReadDir::new(node).collect::<Result<Vec<_>, _>>()?;
    let mut directories = Vec::new();
    for entry in entries {
        let below = format!("{path}/{}", entry.name());
        // A directory that holds itself would go down without end.
        if below.len() > PATH_MAX {
            return Err(FileError::InvalidPath);
        }
        match entry.file_type() {
            FileType::Directory if is_link_removed(file_system, &below)? => {}
            FileType::Directory => directories.push(below),
            FileType::File => file_system.remove_file(&below)?,
        }
    }
    Ok(directories)
}

/// Removes what looks like a directory if it is a link to one: only that can go as a file.
fn is_link_removed(file_system: &Rc<dyn FileSystem>, path: &str) -> Result<bool, FileError> {
    match file_system.remove_file(path) {
        Ok(()) => Ok(true),
        Err(FileError::IsADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}
