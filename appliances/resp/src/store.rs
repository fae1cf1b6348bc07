//! [`Store`]: the keys and their values, within a limit.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;
use toro_resp::{DIGITS_MAX, integer, write_integer};

/// What an entry takes besides its bytes: its place in the table, the value's own block, and what the heap rounds up.
const ENTRY: usize = 128;

/// Keys and values.
pub(crate) struct Store {
    /// Values are shared with the replies that carry them.
    entries: HashMap<Box<[u8]>, Rc<Vec<u8>>, Keyed>,
    used: usize,
    limit: usize,
}

/// There is no memory for it.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

/// Why a value could not be counted up.
#[derive(Debug)]
pub(crate) enum CountError {
    NotAnInteger,
    Overflow,
    OutOfMemory,
}

impl Store {
    /// A store whose keys and values take at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::with_hasher(Keyed([toro::random::u64(), toro::random::u64()])),
            used: 0,
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Rc<Vec<u8>>> {
        self.entries.get(key)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutOfMemory> {
        if let Some(old) = self.entries.get_mut(key) {
            // A longer value, or one that a reply still carries, gets a block of its own.
            if let Some(bytes) = Rc::get_mut(old)
                && bytes.capacity() >= value.len()
                && bytes.capacity() <= 2 * value.len() + 64
            {
                bytes.clear();
                bytes.extend_from_slice(value);
                return Ok(());
            }
            let freed = old.capacity();
            let bytes = copy(value, self.limit.saturating_sub(self.used - freed))?;
            self.used = self.used - freed + bytes.capacity();
            *old = Rc::new(bytes);
            return Ok(());
        }
        let left = self.limit.saturating_sub(self.used);
        let left = left.checked_sub(ENTRY + key.len()).ok_or(OutOfMemory)?;
        let bytes = copy(value, left)?;
        let key = copy(key, usize::MAX)?.into_boxed_slice();
        self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        self.used += ENTRY + key.len() + bytes.capacity();
        self.entries.insert(key, Rc::new(bytes));
        Ok(())
    }

    /// Whether there was such a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, value)) = self.entries.remove_entry(key) else {
            return false;
        };
        self.used -= ENTRY + key.len() + value.capacity();
        true
    }

    /// Adds one to the number at `key`, which is 0 if it is not there.
    pub(crate) fn increment(&mut self, key: &[u8]) -> Result<i64, CountError> {
        let old = match self.entries.get(key) {
            Some(value) => integer(value).ok_or(CountError::NotAnInteger)?,
            None => 0,
        };
        let new = old.checked_add(1).ok_or(CountError::Overflow)?;
        let mut room = [0; DIGITS_MAX];
        self.set(key, write_integer(new, &mut room))
            .map_err(|OutOfMemory| CountError::OutOfMemory)?;
        Ok(new)
    }
}

/// A copy of `bytes`, if it takes at most `limit`.
fn copy(bytes: &[u8], limit: usize) -> Result<Vec<u8>, OutOfMemory> {
    let mut copy = Vec::new();
    if bytes.len() > limit || copy.try_reserve_exact(bytes.len()).is_err() {
        return Err(OutOfMemory);
    }
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Makes hashers that no client can foresee: who could choose keys of one hash would make the table a list.
struct Keyed([u64; 2]);

struct Folding {
    state: u64,
    keys: [u64; 2],
}

impl BuildHasher for Keyed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding {
            state: self.0[0],
            keys: self.0,
        }
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last));
    }

    fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.keys[1] | 1);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        fold(self.state, self.keys[0] | 1)
    }
}

/// Both halves of the product, one over the other.
#[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
