//! [`Model`]: what a file system should hold, as a map from paths to bytes.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use toro_vfs::{FileError, FileType};

use super::Random;

/// The bytes of a file; an open handle keeps them when the name is gone.
pub(super) type Bytes = Rc<RefCell<Vec<u8>>>;

/// All paths, with a slash in front; a directory has no bytes. The root is the empty path.
#[derive(Debug)]
pub(super) struct Model(BTreeMap<String, Option<Bytes>>);

impl Model {
    pub(super) fn new() -> Self {
        Self(BTreeMap::from([(String::new(), None)]))
    }

    /// Every path with its bytes, or with `None` if it is a directory.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        self.0
            .iter()
            .map(|(path, bytes)| (if path.is_empty() { "/" } else { path }, bytes.as_ref()))
    }

    pub(super) fn any_path(&self, random: &mut Random) -> Option<String> {
        let at = random.index(self.0.len());
        let path = self.0.keys().nth(at)?;
        (!path.is_empty()).then(|| path.clone())
    }

    fn find(&self, path: &str) -> Result<&Option<Bytes>, FileError> {
        let path = path.trim_end_matches('/');
        for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            let node = self.0.get(&path[..at]).ok_or(FileError::NotFound)?;
            if at < path.len() && node.is_some() {
                return Err(FileError::NotADirectory);
            }
        }
        Ok(&self.0[path])
    }

    /// Nothing is at `path`, and its directory is there.
    fn check_free(&self, path: &str) -> Result<(), FileError> {
        match self.find(path) {
            Ok(_) => Err(FileError::AlreadyExists),
            Err(FileError::NotFound) => self.check_parent(path),
            Err(error) => Err(error),
        }
    }

    /// The directory of `path` is there.
    pub(super) fn check_parent(&self, path: &str) -> Result<(), FileError> {
        let (parent, _) = path.rsplit_once('/').expect("it has a slash");
        match self.find(parent)? {
            None => Ok(()),
            Some(_) => Err(FileError::NotADirectory),
        }
    }

    fn is_empty(&self, path: &str) -> bool {
        let below = format!("{path}/");
        !self.0.keys().any(|other| other.starts_with(&below))
    }

    pub(super) fn open(
        &mut self,
        path: &str,
        create: bool,
        create_new: bool,
        truncate: bool,
    ) -> Result<Bytes, FileError> {
        let found = self.find(path).cloned();
        match found {
            Ok(_) if create_new => Err(FileError::AlreadyExists),
            Ok(None) => Err(FileError::IsADirectory),
            Ok(Some(bytes)) => {
                if truncate {
                    bytes.borrow_mut().clear();
                }
                Ok(bytes)
            }
            Err(FileError::NotFound) if create || create_new => {
                self.check_free(path)?;
                let bytes = Bytes::default();
                self.0.insert(path.to_owned(), Some(bytes.clone()));
                Ok(bytes)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.check_free(path)?;
        self.0.insert(path.to_owned(), None);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        if self.find(path)?.is_some() {
            return Err(FileError::NotADirectory);
        }
        if !self.is_empty(path) {
            return Err(FileError::DirectoryNotEmpty);
        }
        self.0.remove(path);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &str) -> Result<(), FileError> {
        if self.find(path)?.is_none() {
            return Err(FileError::IsADirectory);
        }
        self.0.remove(path);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        if to.starts_with(&format!("{from}/")) {
            return Err(FileError::InvalidPath);
        }
        let is_directory = self.find(from)?.is_none();
        if from == to {
            return Ok(());
        }
        self.check_parent(to)?;
        match self.find(to) {
            Ok(None) if !is_directory => return Err(FileError::IsADirectory),
            Ok(Some(_)) if is_directory => return Err(FileError::NotADirectory),
            Ok(None) if !self.is_empty(to) => return Err(FileError::DirectoryNotEmpty),
            Ok(_) | Err(FileError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let below = format!("{from}/");
        let moves = |path: &str| path == from || path.starts_with(&below);
        let (moved, stays) = core::mem::take(&mut self.0)
            .into_iter()
            .partition(|(path, _)| moves(path));
        self.0 = stays;
        let moved: BTreeMap<String, _> = moved;
        for (path, bytes) in moved {
            self.0.insert(format!("{to}{}", &path[from.len()..]), bytes);
        }
        Ok(())
    }

    pub(super) fn metadata(&self, path: &str) -> Result<(bool, bool, u64), FileError> {
        Ok(match self.find(path)? {
            None => (true, false, 0),
            Some(bytes) => (false, true, bytes.borrow().len() as u64),
        })
    }

    pub(super) fn entries(&self, path: &str) -> Result<Vec<(String, FileType)>, FileError> {
        if self.find(path)?.is_some() {
            return Err(FileError::NotADirectory);
        }
        let below = format!("{}/", path.trim_end_matches('/'));
        let inside = self.0.iter().filter_map(|(other, bytes)| {
            let name = other.strip_prefix(&below)?;
            let file_type = match bytes {
                None => FileType::Directory,
                Some(_) => FileType::File,
            };
            (!name.contains('/')).then(|| (name.to_owned(), file_type))
        });
        Ok(inside.collect())
    }
}

/// Writes as a file does: what lies between its end and `offset` becomes zeros.
pub(super) fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).expect("it is small");
    let end = start + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[start..end].copy_from_slice(bytes);
}

/// Reads as a file does: up to its end.
pub(super) fn read(file: &[u8], offset: u64, len: usize) -> Vec<u8> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|start| file.get(start..));
    let rest = rest.unwrap_or(&[]);
    rest[..rest.len().min(len)].to_vec()
}
