//! The bytes of files: reading, writing, and how long they are.

use alloc::vec::Vec;

use toro_cache::Order;
use toro_vfs::{FileError, FileType, Metadata};

use crate::chain::Chain;
use crate::nodes::{Open, ROOT};
use crate::volume::Volume;

/// Most zeros that are written at once.
const ZEROS: u64 = 64 * 1024;

impl Volume {
    pub(crate) fn metadata(&self, node: u64) -> Result<Metadata, FileError> {
        if node == ROOT {
            return Ok(Metadata::new(FileType::Directory, 0, 0));
        }
        let open = self.nodes.get(node)?;
        let len = u64::from(open.len);
        Ok(Metadata::new(open.file_type, len, open.modified))
    }

    /// Reads from `offset` on and returns the number of bytes.
    pub(crate) fn read_at(
        &mut self,
        node: u64,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, FileError> {
        let rest = u64::from(self.file(node)?.len).saturating_sub(offset);
        let len = buf.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let (place, count) = self.run(node, offset + done as u64, len - done)?;
            self.read(place, &mut buf[done..done + count])?;
            done += count;
        }
        Ok(len)
    }

    /// Reads as [`read_at`](Self::read_at) does, if all that takes is in memory.
    pub(crate) fn read_cached(
        &mut self,
        node: u64,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, FileError> {
        self.stay(true);
        let outcome = self.read_at(node, offset, buf);
        self.stay(false);
        outcome
    }

    /// Writes at `offset` and returns the number of bytes: fewer if the volume is full.
    pub(crate) fn write_at(
        &mut self,
        node: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<usize, FileError> {
        let len = u64::from(self.file(node)?.len);
        let end = offset.checked_add(bytes.len() as u64);
        let end = end.filter(|end| *end <= u64::from(u32::MAX));
        let end = end.ok_or(FileError::TooLarge)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        self.begin_change()?;
        let end = self.reserve(node, end)?.min(end);
        let fits = usize::try_from(end.saturating_sub(offset)).unwrap_or(0);
        if fits == 0 {
            self.store(node, len, true)?;
            return Err(FileError::NoSpace);
        }
        let outcome = self
            .write_zeros(node, len, offset)
            .and_then(|()| self.write_run(node, offset, &bytes[..fits]));
        match outcome {
            Ok(()) => self.store(node, len.max(end), false)?,
            Err(_) => self.store(node, len, true)?,
        }
        outcome.map(|()| fits)
    }

    pub(crate) fn append(&mut self, node: u64, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        let end = u64::from(self.file(node)?.len);
        Ok((end, self.write_at(node, end, bytes)?))
    }

    pub(crate) fn set_len(&mut self, node: u64, len: u64) -> Result<(), FileError> {
        let old = u64::from(self.file(node)?.len);
        if len > u64::from(u32::MAX) {
            return Err(FileError::TooLarge);
        }
        self.begin_change()?;
        if len <= old {
            return self.store(node, len, true);
        }
        if self.reserve(node, len)? < len {
            self.store(node, old, true)?;
            return Err(FileError::NoSpace);
        }
        let outcome = self.write_zeros(node, old, len);
        match outcome {
            Ok(()) => self.store(node, len, false),
            Err(_) => self.store(node, old, true).and(outcome),
        }
    }

    fn file(&self, node: u64) -> Result<&Open, FileError> {
        if node == ROOT {
            return Err(FileError::IsADirectory);
        }
        let open = self.nodes.get(node)?;
        match open.file_type {
            FileType::File => Ok(open),
            FileType::Directory => Err(FileError::IsADirectory),
        }
    }

    /// Where the byte at `offset` lies, and how many up to `most` follow it in a row.
    fn run(&mut self, node: u64, offset: u64, most: usize) -> Result<(u64, usize), FileError> {
        let size = u64::from(self.geometry.cluster);
        let number = u32::try_from(offset / size).map_err(|_| FileError::TooLarge)?;
        let first = self.cluster(node, number)?;
        let within = offset % size;
        let row = self.nodes.get(node)?.chain.row(number);
        let mut known = row.map_or(1, |(_, count)| count);
        while u64::from(known) * size - within < most as u64 {
            let last = first + known - 1;
            let Some(next) = self.next(last)? else {
                break;
            };
            let chain = &mut self.nodes.get_mut(node)?.chain;
            chain.note(number + known, next);
            if next != last + 1 {
                break;
            }
            known += 1;
        }
        let count = u64::from(known) * size - within;
        let count = usize::try_from(count).unwrap_or(most).min(most);
        Ok((self.geometry.place(first) + within, count))
    }

    /// The cluster of that number in the chain of the file.
    fn cluster(&mut self, node: u64, number: u32) -> Result<u32, FileError> {
        let (mut at, mut cluster) = self.nodes.get(node)?.chain.nearest(number);
        self.geometry.check(cluster)?;
        self.nodes.get_mut(node)?.chain.note(at, cluster);
        while at < number {
            cluster = self.next(cluster)?.ok_or(FileError::Corrupt)?;
            at += 1;
            self.nodes.get_mut(node)?.chain.note(at, cluster);
        }
        Ok(cluster)
    }

    /// Gives the file clusters for `len` bytes, or as many as there are; returns for how many bytes they suffice.
    fn reserve(&mut self, node: u64, len: u64) -> Result<u64, FileError> {
        let open = self.nodes.get(node)?;
        let needed = self.geometry.clusters_for(len);
        let mut have = self.geometry.clusters_for(u64::from(open.len));
        let mut last = 0;
        if have == 0 && open.first != 0 {
            have = 1;
        }
        if have >= needed {
            return Ok(len);
        }
        // What is behind the end is taken again; it must not be freed meanwhile.
        let place = open.place;
        let is_trimmed = place.is_some_and(|place| self.trims.remove(&place));
        if have > 0 {
            last = self.cluster(node, have - 1)?;
            // Behind the end may lie what was cut off and not freed yet.
            while have < needed
                && let Some(next) = self.next(last)?
            {
                last = next;
                have += 1;
            }
        }
        let mut missing = needed - have;
        if self.free_clusters()? < missing {
            self.settle()?;
            missing = missing.min(self.free_clusters()?);
        }
        if missing > 0 {
            let chain = self.allocate(missing, last + u32::from(last > 0))?;
            if last == 0 {
                let open = self.nodes.get_mut(node)?;
                open.first = chain[0];
                open.chain = Chain::new(chain[0]);
            } else {
                self.join(last, &chain)?;
            }
        }
        if let Some(place) = place.filter(|_| is_trimmed) {
            self.trims.insert(place);
        }
        let size = u64::from(self.geometry.cluster);
        Ok(u64::from(have + missing) * size)
    }

    /// Writes zeros from `from` up to `to`, for which there are clusters.
    fn write_zeros(&mut self, node: u64, from: u64, to: u64) -> Result<(), FileError> {
        if from >= to {
            return Ok(());
        }
        let most = usize::try_from((to - from).min(ZEROS)).map_err(|_| FileError::TooLarge)?;
        let mut zeros = Vec::new();
        zeros
            .try_reserve_exact(most)
            .map_err(|_| FileError::OutOfMemory)?;
        zeros.resize(most, 0);
        let mut at = from;
        while at < to {
            let count = usize::try_from(to - at).unwrap_or(most).min(most);
            self.write_run(node, at, &zeros[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    fn write_run(&mut self, node: u64, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        let mut done = 0;
        while done < bytes.len() {
            let (place, count) = self.run(node, offset + done as u64, bytes.len() - done)?;
            self.write(place, &bytes[done..done + count], Order::First)?;
            done += count;
        }
        Ok(())
    }

    /// Gives the file that length, here and in its entry. If that cuts something off, it is freed later.
    fn store(&mut self, node: u64, len: u64, cuts: bool) -> Result<(), FileError> {
        let now = (self.clock)();
        let open = self.nodes.get_mut(node)?;
        let len = u32::try_from(len).map_err(|_| FileError::TooLarge)?;
        open.len = len;
        open.modified = now;
        let freed = if len == 0 { open.first } else { 0 };
        if len == 0 {
            open.first = 0;
        }
        if cuts {
            open.chain = Chain::new(open.first);
        }
        let (first, place) = (open.first, open.place);
        if let Some(place) = place {
            let mut raw = self.raw(place)?;
            raw.set_first(first);
            raw.set_len(len);
            raw.set_modified(now);
            self.set_raw(place, &raw)?;
            if cuts && len > 0 {
                self.trims.insert(place);
            }
        }
        self.free_later(freed)
    }
}
