//! Which blocks hold a file: a tree of extents, or a map with up to three levels of indirection.

use toro_vfs::FileError;

use crate::bytes::{long, wide, word};
use crate::inode::{Inode, MAP};
use crate::volume::Volume;

/// Blocks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first one on the disk; `None` is a hole.
    pub(crate) place: Option<u64>,
    /// How many, one at least.
    pub(crate) blocks: u64,
}

/// What a node of a tree of extents begins with.
const MAGIC: u16 = 0xf30a;
/// Bytes of a header, and of each entry behind it.
const ENTRY: usize = 12;
/// The tree has at most so many levels below the inode.
const DEEPEST: u16 = 5;
/// An extent of more blocks is one of this many fewer, which were never written.
const WRITTEN: u16 = 32_768;

/// Blocks that the inode itself names.
const DIRECT: u64 = 12;

impl Inode {
    /// The blocks from number `block` of the file on.
    pub(crate) fn run(&self, volume: &mut Volume, block: u64) -> Result<Run, FileError> {
        if self.has_extents {
            self.extent(volume, block)
        } else {
            self.mapped(volume, block)
        }
    }

    fn extent(&self, volume: &mut Volume, block: u64) -> Result<Run, FileError> {
        let mut node = Node::parse(&self.map[..ENTRY], MAP)?;
        if node.depth > DEEPEST {
            return Err(FileError::Corrupt);
        }
        let mut place = None;
        // Where the next extent may begin, as far as it was seen.
        let mut next = u64::MAX;
        loop {
            let (found, behind) = self.search(volume, place, node.entries, block)?;
            next = behind.unwrap_or(next).min(next);
            let hole = Run {
                place: None,
                blocks: next.saturating_sub(block).max(1),
            };
            let Some(entry) = found else { return Ok(hole) };
            if node.depth == 0 {
                return Ok(leaf(&entry, block).unwrap_or(hole));
            }
            let child = wide(u32::from(word(&entry, 8)), long(&entry, 4));
            let mut header = [0; ENTRY];
            volume.read_run(child, 1, 0, &mut header)?;
            let len = usize::try_from(volume.block).map_err(|_| FileError::Corrupt)?;
            let below = Node::parse(&header, len)?;
            // Strictly down: no circle.
            if below.depth + 1 != node.depth {
                return Err(FileError::Corrupt);
            }
            (node, place) = (below, Some(child));
        }
    }

    /// The last of the entries that begins at `block` or before, and where the one behind it begins.
    fn search(
        &self,
        volume: &mut Volume,
        place: Option<u64>,
        entries: usize,
        block: u64,
    ) -> Result<(Option<[u8; ENTRY]>, Option<u64>), FileError> {
        let mut entry = |nth: usize| {
            let at = (nth + 1) * ENTRY;
            let mut bytes = [0; ENTRY];
            match place {
                None => bytes.copy_from_slice(&self.map[at..at + ENTRY]),
                Some(place) => volume.read_run(place, 1, at as u64, &mut bytes)?,
            }
            Ok(bytes)
        };
        let start = |bytes: &[u8; ENTRY]| u64::from(long(bytes, 0));
        // Below `low` all begin at `block` or before, from `high` on behind it.
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = low.midpoint(high);
            if start(&entry(middle)?) <= block {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = low.checked_sub(1).map(&mut entry).transpose()?;
        let behind = (low < entries).then(|| entry(low)).transpose()?;
        Ok((found, behind.map(|bytes| start(&bytes))))
    }

    fn mapped(&self, volume: &mut Volume, block: u64) -> Result<Run, FileError> {
        if let Some(nth) = usize::try_from(block).ok().filter(|nth| *nth < 12) {
            return Ok(run(long(&self.map, nth * 4), 1));
        }
        let per_block = volume.block / 4;
        let (mut rest, mut covered) = (block - DIRECT, per_block);
        for root in 12..15 {
            if rest < covered {
                return descend(volume, long(&self.map, root * 4), rest, covered);
            }
            rest -= covered;
            covered *= per_block;
        }
        Err(FileError::Corrupt)
    }
}

/// Follows a map of `covered` blocks down to the one of number `rest`.
fn descend(
    volume: &mut Volume,
    root: u32,
    mut rest: u64,
    mut covered: u64,
) -> Result<Run, FileError> {
    let mut place = root;
    while covered > 1 {
        if place == 0 {
            break;
        }
        covered /= volume.block / 4;
        let mut bytes = [0; 4];
        volume.read_run(u64::from(place), 1, rest / covered * 4, &mut bytes)?;
        place = u32::from_le_bytes(bytes);
        rest %= covered;
    }
    Ok(run(place, covered - rest))
}

/// One block, or a hole of `blocks`.
fn run(place: u32, blocks: u64) -> Run {
    match place {
        0 => Run {
            place: None,
            blocks,
        },
        place => Run {
            place: Some(u64::from(place)),
            blocks: 1,
        },
    }
}

/// What the extent says of `block`; `None` if it ends before.
fn leaf(entry: &[u8; ENTRY], block: u64) -> Option<Run> {
    let within = block - u64::from(long(entry, 0));
    let len = word(entry, 4);
    let (len, is_written) = match len.checked_sub(WRITTEN) {
        Some(unwritten @ 1..) => (unwritten, false),
        _ => (len, true),
    };
    let start = wide(u32::from(word(entry, 6)), long(entry, 8));
    let blocks = u64::from(len)
        .checked_sub(within)
        .filter(|left| *left > 0)?;
    Some(Run {
        place: is_written.then_some(start + within),
        blocks,
    })
}

/// The header of a node in a tree of extents.
#[derive(Clone, Copy, Debug)]
struct Node {
    entries: usize,
    depth: u16,
}

impl Node {
    /// The node of `len` bytes that begins with `header`.
    fn parse(header: &[u8], len: usize) -> Result<Self, FileError> {
        let node = Self {
            entries: usize::from(word(header, 2)),
            depth: word(header, 6),
        };
        let fits = (node.entries + 1) * ENTRY <= len;
        let is_node = word(header, 0) == MAGIC && fits;
        is_node.then_some(node).ok_or(FileError::Corrupt)
    }
}
