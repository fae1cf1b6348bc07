//! [`Pages`]: the bytes of a file, where pages that were never written are not there.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::space::Space;

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// What a page costs: its bytes and its place in the map.
const COST: usize = PAGE + 32;

/// Longest file, so that positions stay within what a signed seek can reach.
const MAX_LEN: u64 = i64::MAX as u64;

/// The bytes of a file.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Pages {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads from `offset` on and returns the number of bytes.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = rest.min(buf.len());
        let mut done = 0;
        while done < len {
            let (page, start) = split(offset + done as u64);
            let count = (PAGE - start).min(len - done);
            let part = &mut buf[done..done + count];
            match self.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[start..start + count]),
                None => part.fill(0),
            }
            done += count;
        }
        len
    }

    /// Writes at `offset` and returns the number of bytes: fewer if space ends on the way.
    pub(crate) fn write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        space: &mut Space,
    ) -> Result<usize, FileError> {
        let end = offset.checked_add(bytes.len() as u64);
        end.filter(|end| *end <= MAX_LEN)
            .ok_or(FileError::TooLarge)?;
        let mut done = 0;
        while done < bytes.len() {
            let (page, start) = split(offset + done as u64);
            let count = (PAGE - start).min(bytes.len() - done);
            match self.page(page, space) {
                Ok(page) => page[start..start + count].copy_from_slice(&bytes[done..done + count]),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            done += count;
            self.len = self.len.max(offset + done as u64);
        }
        Ok(done)
    }

    /// Cuts to `len` bytes, or extends by a hole.
    pub(crate) fn set_len(&mut self, len: u64, space: &mut Space) -> Result<(), FileError> {
        if len > MAX_LEN {
            return Err(FileError::TooLarge);
        }
        if len < self.len {
            let (last, start) = split(len);
            let whole = if start == 0 { last } else { last + 1 };
            let cut = self.pages.split_off(&whole);
            space.give_back(cut.len() * COST);
            // What is cut must not come back when the file grows again.
            if let Some(page) = self.pages.get_mut(&last) {
                page[start..].fill(0);
            }
        }
        self.len = len;
        Ok(())
    }

    /// The page of that number, made if it is not there.
    fn page(&mut self, number: u64, space: &mut Space) -> Result<&mut [u8], FileError> {
        use alloc::collections::btree_map::Entry;
        match self.pages.entry(number) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let mut bytes = Vec::new();
                bytes
                    .try_reserve_exact(PAGE)
                    .map_err(|_| FileError::NoSpace)?;
                bytes.resize(PAGE, 0);
                space.take(COST)?;
                Ok(entry.insert(bytes.into_boxed_slice()))
            }
        }
    }
}

/// The page that holds `offset`, and where in it.
fn split(offset: u64) -> (u64, usize) {
    let page = PAGE as u64;
    let start = usize::try_from(offset % page).expect("a page is smaller than the address space");
    (offset / page, start)
}
