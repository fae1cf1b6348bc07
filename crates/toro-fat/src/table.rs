//! The table: how clusters are linked, and how they are taken and freed.

use alloc::vec::Vec;

use toro_cache::{Order, SECTOR};
use toro_vfs::FileError;

use crate::geometry::Kind;
use crate::volume::{Volume, same_sector};

/// What the table says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    /// Another cluster follows.
    Next(u32),
    /// It is the last of its chain.
    End,
    /// It cannot be used.
    Bad,
}

impl Volume {
    /// What the table says of `cluster`.
    pub(crate) fn link(&mut self, cluster: u32) -> Result<Link, FileError> {
        let table = self.geometry.tables[0].ok_or(FileError::Corrupt)?;
        let at = table + self.offset(cluster);
        let mut bytes = [0; 4];
        let kind = self.geometry.kind;
        let width = if kind == Kind::Fat32 { 4 } else { 2 };
        self.read(at, &mut bytes[..width])?;
        let raw = kind.decode(u32::from_le_bytes(bytes), cluster);
        Ok(kind.link(raw, self.geometry.end))
    }

    /// The cluster behind `cluster`, if there is one.
    pub(crate) fn next(&mut self, cluster: u32) -> Result<Option<u32>, FileError> {
        match self.link(cluster)? {
            Link::Next(next) => self.geometry.check(next).map(Some),
            Link::End => Ok(None),
            Link::Free | Link::Bad => Err(FileError::Corrupt),
        }
    }

    pub(crate) fn set_link(&mut self, cluster: u32, link: Link) -> Result<(), FileError> {
        let kind = self.geometry.kind;
        let at = self.offset(cluster);
        let width = if kind == Kind::Fat32 { 4 } else { 2 };
        for table in self.geometry.tables.into_iter().flatten() {
            let mut bytes = [0; 4];
            self.read(table + at, &mut bytes[..width])?;
            let old = u32::from_le_bytes(bytes);
            let new = kind.encode(old, cluster, link).to_le_bytes();
            self.write(table + at, &new[..width], Order::First)?;
        }
        Ok(())
    }

    /// Takes `count` free clusters, linked in a row, near `near` if it can be.
    pub(crate) fn allocate(&mut self, count: u32, near: u32) -> Result<Vec<u32>, FileError> {
        if self.free_clusters()? < count {
            self.settle()?;
        }
        if self.free_clusters()? < count {
            return Err(FileError::NoSpace);
        }
        let mut chain = Vec::new();
        let length = usize::try_from(count).map_err(|_| FileError::NoSpace)?;
        chain
            .try_reserve_exact(length)
            .map_err(|_| FileError::OutOfMemory)?;
        let mut from = near;
        while chain.len() < length {
            let cluster = self.find_free(from)?;
            self.set_link(cluster, Link::End)?;
            if let Some(last) = chain.last() {
                self.set_link(*last, Link::Next(cluster))?;
            }
            chain.push(cluster);
            self.free = self.free.map(|free| free.saturating_sub(1));
            from = cluster + 1;
        }
        self.hint = from;
        Ok(chain)
    }

    /// Lets a chain follow `last`; its own links are on the disk before that, if the disk could mix them up.
    pub(crate) fn join(&mut self, last: u32, chain: &[u32]) -> Result<(), FileError> {
        let Some(&first) = chain.first() else {
            return Ok(());
        };
        let place = self.offset(last);
        let same = |at| same_sector(place, at) && same_sector(place + 3, at);
        if !chain.iter().all(|cluster| same(self.offset(*cluster))) {
            self.barrier()?;
        }
        self.set_link(last, Link::Next(first))
    }

    /// Frees a chain that nothing on the disk leads to.
    pub(crate) fn free_chain(&mut self, first: u32) -> Result<(), FileError> {
        let mut at = Some(first);
        while let Some(cluster) = at {
            // A chain that is broken, or that was freed already, ends here.
            let link = match self.geometry.check(cluster) {
                Ok(_) => self.link(cluster)?,
                Err(_) => Link::Free,
            };
            if matches!(link, Link::Free | Link::Bad) {
                break;
            }
            self.set_link(cluster, Link::Free)?;
            self.free = self.free.map(|free| free + 1);
            at = match link {
                Link::Next(next) => Some(next),
                _ => None,
            };
        }
        Ok(())
    }

    /// Frees all that waits for it; what led there is off the disk.
    pub(crate) fn free_pending(&mut self) -> Result<(), FileError> {
        for first in core::mem::take(&mut self.pending) {
            self.free_chain(first)?;
        }
        for slot in core::mem::take(&mut self.trims) {
            self.trim(slot)?;
        }
        Ok(())
    }

    /// Cuts the chain of the file at `slot` behind the cluster where the file ends.
    fn trim(&mut self, slot: u64) -> Result<(), FileError> {
        let entry = self.raw(slot)?;
        let first = entry.first(self.geometry.kind);
        if !entry.is_file() || self.geometry.check(first).is_err() {
            return Ok(());
        }
        let mut last = first;
        for _ in 1..self.geometry.clusters_for(u64::from(entry.len())) {
            match self.next(last)? {
                Some(next) => last = next,
                None => return Ok(()),
            }
        }
        if let Some(behind) = self.next(last)? {
            self.set_link(last, Link::End)?;
            self.free_chain(behind)?;
        }
        Ok(())
    }

    /// Number of free clusters.
    pub(crate) fn free_clusters(&mut self) -> Result<u32, FileError> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let mut free = 0;
        let mut from = 2;
        while let Some(cluster) = self.scan(from)? {
            free += 1;
            from = cluster + 1;
        }
        self.free = Some(free);
        Ok(free)
    }

    fn find_free(&mut self, near: u32) -> Result<u32, FileError> {
        let from = if near >= 2 { near } else { self.hint };
        if let Some(cluster) = self.scan(from.max(2))? {
            return Ok(cluster);
        }
        self.scan(2)?.ok_or(FileError::NoSpace)
    }

    /// The first free cluster from `from` on.
    fn scan(&mut self, from: u32) -> Result<Option<u32>, FileError> {
        let table = self.geometry.tables[0].ok_or(FileError::Corrupt)?;
        let kind = self.geometry.kind;
        let mut cluster = from;
        let mut bytes = [0; SECTOR];
        while cluster < self.geometry.end {
            let start = self.offset(cluster);
            // The last entry of FAT12 may be followed by nothing at all.
            let most = (self.offset(self.geometry.end - 1) + kind.width() - start).min(512);
            let bytes = &mut bytes[..usize::try_from(most).map_err(|_| FileError::Corrupt)?];
            self.read(table + start, bytes)?;
            while cluster < self.geometry.end {
                let at = usize::try_from(self.offset(cluster) - start).unwrap_or(SECTOR);
                let Some(raw) = kind.take(&bytes[at.min(bytes.len())..], cluster) else {
                    break;
                };
                if raw == 0 {
                    return Ok(Some(cluster));
                }
                cluster += 1;
            }
        }
        Ok(None)
    }

    /// Makes the second copy of the table what the first one is.
    pub(crate) fn mirror(&mut self) -> Result<(), FileError> {
        let [Some(first), Some(second)] = self.geometry.tables else {
            return Ok(());
        };
        let len = self.offset(self.geometry.end).next_multiple_of(512);
        for at in (0..len.min(second.saturating_sub(first))).step_by(SECTOR) {
            let (mut one, mut other) = ([0; SECTOR], [0; SECTOR]);
            self.read(first + at, &mut one)?;
            self.read(second + at, &mut other)?;
            if one != other {
                self.write(second + at, &one, Order::First)?;
            }
        }
        Ok(())
    }

    /// Where the entry of `cluster` lies in a table.
    fn offset(&self, cluster: u32) -> u64 {
        let cluster = u64::from(cluster);
        match self.geometry.kind {
            Kind::Fat12 => cluster + cluster / 2,
            Kind::Fat16 => cluster * 2,
            Kind::Fat32 => cluster * 4,
        }
    }
}

impl Kind {
    /// Bytes that are read for an entry.
    fn width(self) -> u64 {
        match self {
            Self::Fat12 | Self::Fat16 => 2,
            Self::Fat32 => 4,
        }
    }

    /// The entry of `cluster` at the start of `bytes`, if all of it is there.
    fn take(self, bytes: &[u8], cluster: u32) -> Option<u32> {
        let raw = match self {
            Self::Fat32 => u32::from_le_bytes(*bytes.first_chunk()?),
            _ => u32::from(u16::from_le_bytes(*bytes.first_chunk()?)),
        };
        Some(self.decode(raw, cluster))
    }

    fn decode(self, raw: u32, cluster: u32) -> u32 {
        match self {
            Self::Fat12 if cluster.is_multiple_of(2) => raw & 0xfff,
            Self::Fat12 => raw >> 4 & 0xfff,
            Self::Fat16 => raw & 0xffff,
            Self::Fat32 => raw & 0x0fff_ffff,
        }
    }

    /// `old` with the entry of `cluster` changed.
    fn encode(self, old: u32, cluster: u32, link: Link) -> u32 {
        let value = match link {
            Link::Free => 0,
            Link::Next(next) => next,
            Link::End => 0x0fff_ffff & self.mask(),
            Link::Bad => 0x0fff_fff7 & self.mask(),
        };
        match self {
            Self::Fat12 if cluster.is_multiple_of(2) => old & 0xf000 | value,
            Self::Fat12 => old & 0x000f | value << 4,
            Self::Fat16 => value,
            Self::Fat32 => old & 0xf000_0000 | value,
        }
    }

    fn mask(self) -> u32 {
        match self {
            Self::Fat12 => 0xfff,
            Self::Fat16 => 0xffff,
            Self::Fat32 => 0x0fff_ffff,
        }
    }

    fn link(self, raw: u32, end: u32) -> Link {
        match raw {
            0 => Link::Free,
            next if next < end => Link::Next(next),
            raw if raw >= 0x0fff_fff8 & self.mask() => Link::End,
            _ => Link::Bad,
        }
    }
}
