//! Paths to entries, and the calls that make and remove them.

use toro_cache::Order;
use toro_vfs::{FileError, FileType};

use crate::directory::Entry;
use crate::entry::Raw;
use crate::geometry::Start;
use crate::long_name;
use crate::nodes::{Open, ROOT};
use crate::volume::Volume;

impl Volume {
    /// Opens what is at `path`.
    pub(crate) fn open(&mut self, path: &str) -> Result<u64, FileError> {
        if path.is_empty() {
            return Ok(ROOT);
        }
        let entry = self.entry(path)?;
        self.open_entry(&entry)
    }

    fn open_entry(&mut self, entry: &Entry) -> Result<u64, FileError> {
        let (raw, place) = (entry.raw, entry.place());
        let first = raw.first(self.geometry.kind);
        // A file without bytes has no cluster; all else must have one.
        if raw.is_directory() || (raw.len() > 0 && first != 0) {
            self.geometry.check(first)?;
        } else if raw.len() > 0 {
            return Err(FileError::Corrupt);
        }
        let make = || Open::new(place, raw.file_type(), first, raw.len(), raw.modified());
        Ok(self.nodes.open(place, make))
    }

    /// Creates an empty file and opens it.
    pub(crate) fn create(&mut self, path: &str) -> Result<u64, FileError> {
        let (start, name) = self.free_name(path)?;
        self.begin_change()?;
        let raw = Raw::new(FileType::File, (self.clock)());
        let places = self.insert(start, name, raw)?;
        let place = *places.last().ok_or(FileError::NoSpace)?;
        let make = || Open::new(place, FileType::File, 0, 0, raw.modified());
        Ok(self.nodes.open(place, make))
    }

    pub(crate) fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        let (start, name) = self.free_name(path)?;
        self.begin_change()?;
        let cluster = self.allocate(1, 0)?[0];
        let outcome = self.fill_directory(cluster, start).and_then(|raw| {
            let places = self.insert(start, name, raw)?;
            debug_assert!(!places.is_empty());
            Ok(())
        });
        if outcome.is_err() {
            self.free_chain(cluster)?;
        }
        outcome
    }

    pub(crate) fn remove_file(&mut self, path: &str) -> Result<(), FileError> {
        let entry = self.entry(path)?;
        if entry.raw.is_directory() {
            return Err(FileError::IsADirectory);
        }
        self.begin_change()?;
        self.remove(&entry)
    }

    pub(crate) fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        let entry = self.entry(path)?;
        let start = self.start_of(&entry.raw)?;
        if !self.is_empty(start)? {
            return Err(FileError::DirectoryNotEmpty);
        }
        self.begin_change()?;
        self.remove(&entry)
    }

    /// The path with the case that the directories have.
    pub(crate) fn canonical(&mut self, path: &str) -> Result<alloc::string::String, FileError> {
        let mut start = Ok(self.geometry.root);
        let mut found = alloc::string::String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let entry = self.find(start?, name)?.ok_or(FileError::NotFound)?;
            if !found.is_empty() {
                found.push('/');
            }
            found.push_str(&entry.name);
            start = self.start_of(&entry.raw);
        }
        Ok(found)
    }

    /// Takes an entry out of its directory; what it led to is freed when that is on the disk and nobody has it open.
    pub(crate) fn remove(&mut self, entry: &Entry) -> Result<(), FileError> {
        self.free_entry(entry)?;
        self.let_go(entry)
    }

    /// What `entry` leads to has no name any more.
    pub(crate) fn let_go(&mut self, entry: &Entry) -> Result<(), FileError> {
        self.trims.remove(&entry.place());
        if self.nodes.removed(entry.place()) {
            return Ok(());
        }
        self.free_later(entry.raw.first(self.geometry.kind))
    }

    /// The entry at `path`, which is not the root.
    pub(crate) fn entry(&mut self, path: &str) -> Result<Entry, FileError> {
        let (start, name) = self.parent(path)?;
        self.find(start, name)?.ok_or(FileError::NotFound)
    }

    /// The directory of `path`, and the last name.
    pub(crate) fn parent<'p>(&mut self, path: &'p str) -> Result<(Start, &'p str), FileError> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut start = self.geometry.root;
        for name in parents.split('/').filter(|name| !name.is_empty()) {
            let entry = self.find(start, name)?.ok_or(FileError::NotFound)?;
            start = self.start_of(&entry.raw)?;
        }
        Ok((start, name))
    }

    /// The directory and the name of `path`, where nothing is.
    fn free_name<'p>(&mut self, path: &'p str) -> Result<(Start, &'p str), FileError> {
        let (start, name) = self.parent(path)?;
        if name.is_empty() || self.find(start, name)?.is_some() {
            return Err(FileError::AlreadyExists);
        }
        long_name::units(name)?;
        Ok((start, name))
    }

    /// Makes `cluster` an empty directory below `parent`, and returns an entry for it.
    fn fill_directory(&mut self, cluster: u32, parent: Start) -> Result<Raw, FileError> {
        self.indexes.forget(Start::Cluster(cluster));
        self.clear(cluster)?;
        let place = self.geometry.place(cluster);
        let mut raw = Raw::new(FileType::Directory, (self.clock)());
        raw.set_first(cluster);
        let mut dot = raw;
        dot.set_short_name(*b".          ");
        self.write(place, &dot.0, Order::First)?;
        dot.set_short_name(*b"..         ");
        dot.set_first(self.parent_number(parent));
        self.write(place + 32, &dot.0, Order::First)?;
        Ok(raw)
    }

    /// What `..` says for a directory in `parent`: 0 is the root.
    pub(crate) fn parent_number(&self, parent: Start) -> u32 {
        match parent {
            Start::Cluster(cluster) if parent != self.geometry.root => cluster,
            _ => 0,
        }
    }
}
