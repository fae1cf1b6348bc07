//! What a power cut left behind is repaired here, when a volume is mounted that was in use.
//!
//! All directories are walked, and each cluster is claimed by the first entry that leads to it. A file ends where its chain
//! does, a chain ends where its file does, an entry whose clusters are claimed already is the old name of something that
//! was renamed and goes, and what nobody claims is free.

use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::directory::{Entry, MOST_SLOTS, Walk};
use crate::geometry::Start;
use crate::table::Link;
use crate::volume::Volume;

/// One bit for each cluster.
struct Claims(Vec<u64>);

/// The part of a chain that could be claimed.
struct Claimed {
    count: u32,
    last: u32,
    /// The chain began with a cluster that belongs to another.
    is_taken: bool,
}

impl Volume {
    pub(crate) fn recover(&mut self) -> Result<(), FileError> {
        self.mirror()?;
        let mut claims = Claims::new(self.geometry.end)?;
        let mut waiting = Vec::from([self.geometry.root]);
        if let Start::Cluster(root) = self.geometry.root {
            self.claim_directory(root, &mut claims)?;
        }
        while let Some(start) = waiting.pop() {
            let mut walk = Walk::new(start);
            while let Some(entry) = walk.next_entry(self)? {
                if !entry.raw.is_directory() {
                    self.recover_file(&entry, &mut claims)?;
                } else if let Some(start) = self.recover_directory(&entry, &mut claims)? {
                    waiting.push(start);
                }
            }
        }
        // Entries first: only what no entry leads to is freed.
        self.settle()?;
        let mut free = 0;
        for cluster in 2..self.geometry.end {
            match self.link(cluster)? {
                Link::Free => free += 1,
                Link::Bad => {}
                Link::Next(_) | Link::End if claims.has(cluster) => {}
                Link::Next(_) | Link::End => {
                    self.set_link(cluster, Link::Free)?;
                    free += 1;
                }
            }
        }
        self.free = Some(free);
        self.settle()
    }

    fn recover_file(&mut self, entry: &Entry, claims: &mut Claims) -> Result<(), FileError> {
        let mut raw = entry.raw;
        let first = raw.first(self.geometry.kind);
        let needed = self.geometry.clusters_for(u64::from(raw.len()));
        let claimed = self.claim(first, needed, claims)?;
        if needed > 0 && claimed.is_taken {
            return self.free_slots(&entry.places);
        }
        if claimed.count < needed {
            let len = u64::from(claimed.count) * u64::from(self.geometry.cluster);
            raw.set_len(u32::try_from(len).unwrap_or(u32::MAX));
        }
        if claimed.count == 0 {
            raw.set_first(0);
        }
        if raw != entry.raw {
            self.set_raw(entry.place(), &raw)?;
        }
        Ok(())
    }

    fn recover_directory(
        &mut self,
        entry: &Entry,
        claims: &mut Claims,
    ) -> Result<Option<Start>, FileError> {
        let first = entry.raw.first(self.geometry.kind);
        if self.claim_directory(first, claims)? == 0 {
            self.free_slots(&entry.places)?;
            return Ok(None);
        }
        Ok(Some(Start::Cluster(first)))
    }

    fn claim_directory(&mut self, first: u32, claims: &mut Claims) -> Result<u32, FileError> {
        let most = (MOST_SLOTS * 32).div_ceil(self.geometry.cluster);
        Ok(self.claim(first, most, claims)?.count)
    }

    /// Claims up to `most` clusters of a chain, and ends the chain behind them.
    fn claim(&mut self, first: u32, most: u32, claims: &mut Claims) -> Result<Claimed, FileError> {
        let mut claimed = Claimed {
            count: 0,
            last: 0,
            is_taken: false,
        };
        let mut link = Link::Next(first);
        while claimed.count < most
            && let Link::Next(cluster) = link
            && self.geometry.check(cluster).is_ok()
        {
            let next = self.link(cluster)?;
            if matches!(next, Link::Free | Link::Bad) {
                break;
            }
            if !claims.take(cluster) {
                claimed.is_taken = claimed.count == 0;
                break;
            }
            claimed.count += 1;
            claimed.last = cluster;
            link = next;
        }
        if claimed.count > 0 && link != Link::End {
            self.set_link(claimed.last, Link::End)?;
        }
        Ok(claimed)
    }
}

impl Claims {
    fn new(end: u32) -> Result<Self, FileError> {
        let len = usize::try_from(end.div_ceil(64)).map_err(|_| FileError::OutOfMemory)?;
        let mut words = Vec::new();
        words
            .try_reserve_exact(len)
            .map_err(|_| FileError::OutOfMemory)?;
        words.resize(len, 0);
        Ok(Self(words))
    }

    fn has(&self, cluster: u32) -> bool {
        let word = self.0.get(cluster as usize / 64).copied();
        word.is_some_and(|word| word >> (cluster % 64) & 1 == 1)
    }

    /// Claims the cluster, unless it was claimed before.
    fn take(&mut self, cluster: u32) -> bool {
        let is_free = !self.has(cluster);
        if let Some(word) = self.0.get_mut(cluster as usize / 64) {
            *word |= 1 << (cluster % 64);
        }
        is_free
    }
}
