//! How an entry gets another name: the new one is on the disk before the old one goes.

use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::directory::Entry;
use crate::geometry::Start;
use crate::long_name;
use crate::volume::{Volume, same_sector};

impl Volume {
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let source = self.entry(from)?;
        let (start, name) = self.parent(to)?;
        long_name::units(name)?;
        let target = self.find(start, name)?;
        // Only the case of letters changes: then it is in its own way, and no target.
        let target = target.filter(|target| target.place() != source.place());
        if let Some(target) = &target {
            self.check_replace(&source, target)?;
        }
        self.begin_change()?;
        let places = match &target {
            Some(target) => self.replace(&source, target)?,
            None => self.insert(start, name, source.raw)?,
        };
        let place = *places.last().ok_or(FileError::NoSpace)?;
        let mut all = places.iter().chain(&source.places);
        if !all.all(|other| same_sector(place, *other)) {
            self.settle()?;
        }
        self.free_entry(&source)?;
        self.nodes.moved(source.place(), place);
        if self.trims.remove(&source.place()) {
            self.trims.insert(place);
        }
        self.correct_parent(&source, from, start)
    }

    /// Whether `target` gives way to `source`.
    fn check_replace(&mut self, source: &Entry, target: &Entry) -> Result<(), FileError> {
        match (source.raw.is_directory(), target.raw.is_directory()) {
            (false, false) => Ok(()),
            (false, true) => Err(FileError::IsADirectory),
            (true, false) => Err(FileError::NotADirectory),
            (true, true) => {
                let start = self.start_of(&target.raw)?;
                if self.is_empty(start)? {
                    Ok(())
                } else {
                    Err(FileError::DirectoryNotEmpty)
                }
            }
        }
    }

    /// Lets the entry of `target` lead to what `source` leads to: one write of one sector.
    fn replace(&mut self, source: &Entry, target: &Entry) -> Result<Vec<u64>, FileError> {
        let mut raw = source.raw;
        raw.set_short_name(target.raw.short_name());
        raw.0[12] = target.raw.0[12];
        self.set_raw(target.place(), &raw)?;
        self.let_go(target)?;
        Ok(target.places.clone())
    }

    /// A directory that moved knows its new parent.
    fn correct_parent(
        &mut self,
        source: &Entry,
        from: &str,
        parent: Start,
    ) -> Result<(), FileError> {
        if !source.raw.is_directory() || self.parent(from)?.0 == parent {
            return Ok(());
        }
        let Start::Cluster(cluster) = self.start_of(&source.raw)? else {
            return Ok(());
        };
        let place = self.geometry.place(cluster) + 32;
        let mut raw = self.raw(place)?;
        if raw.is_dot() {
            raw.set_first(self.parent_number(parent));
            self.set_raw(place, &raw)?;
        }
        Ok(())
    }
}
