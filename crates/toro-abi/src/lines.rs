//! The line table that an image carries behind its symbol table if it was built with `--lines`.
//!
//! A row says from which offset of the text on the code comes from which line of which file, up to the next row. All numbers are
//! little endian, positions count from the start of this table:
//!
//! ```text
//! 0       u32   number of rows
//! 4       u32   number of blocks, one for each 64 rows
//! 8       u32   position of the files
//! 12            blocks: u32 text offset of the first row, u32 position of it
//! …             stream: for each row
//!                 varint  distance from the row before it, 0 for the first of a block
//!                 varint  difference of the line from that of the row before, zigzag; times two, plus one if a file follows
//!                 varint  number of the file
//! …             files: for each a u8 of its length, then its path
//! ```
//!
//! The first row of a block counts from line 0 and names its file. Line 0 says that nothing is known.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::symbols::{number, varint};

/// Rows in a block: what a lookup scans after its binary search.
pub const ROWS: usize = 64;

/// The offset of the blocks in the table.
pub const BLOCKS_AT: usize = 12;

/// The bytes of one block entry.
pub const BLOCK_LEN: usize = 8;

/// A row before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Where its code starts in the text.
    pub offset: u32,
    /// The path of the file, of which the last 255 bytes are kept.
    pub file: &'a str,
    /// The line from 1, or 0 if none is known.
    pub line: u32,
}

/// Encodes `rows`, which are sorted by their offset. A row that says the same as the one before it is left out.
pub fn encode(rows: &[Row<'_>]) -> Vec<u8> {
    let mut rows = rows.to_vec();
    rows.dedup_by(|next, row| (next.file, next.line) == (row.file, row.line));
    let mut files = Files::default();
    let (mut blocks, mut stream) = (Vec::new(), Vec::new());
    let blocks_len = rows.len().div_ceil(ROWS) * BLOCK_LEN;
    let (mut offset, mut file, mut line) = (0, 0, 0);
    for (index, row) in rows.iter().enumerate() {
        let is_first = index % ROWS == 0;
        if is_first {
            blocks.extend_from_slice(&row.offset.to_le_bytes());
            let at = BLOCKS_AT + blocks_len + stream.len();
            blocks.extend_from_slice(&number(at).to_le_bytes());
            (offset, line) = (row.offset, 0);
        }
        let number = files.number(row.file);
        let is_other = is_first || number != file;
        varint(&mut stream, row.offset - offset);
        varint(
            &mut stream,
            zigzag(line, row.line) << 1 | u32::from(is_other),
        );
        if is_other {
            varint(&mut stream, number);
        }
        (offset, file, line) = (row.offset, number, row.line);
    }
    let mut table = Vec::new();
    table.extend_from_slice(&number(rows.len()).to_le_bytes());
    table.extend_from_slice(&number(rows.len().div_ceil(ROWS)).to_le_bytes());
    let files_at = BLOCKS_AT + blocks.len() + stream.len();
    table.extend_from_slice(&number(files_at).to_le_bytes());
    table.extend_from_slice(&blocks);
    table.extend_from_slice(&stream);
    table.extend_from_slice(&files.bytes);
    table
}

/// The difference from `from` to `to` as a number without sign: even upwards, odd downwards.
fn zigzag(from: u32, to: u32) -> u32 {
    let up = to.wrapping_sub(from);
    if to >= from { up << 1 } else { !up << 1 | 1 }
}

/// The line that [`zigzag`] came from.
pub fn unzigzag(from: u32, difference: u32) -> u32 {
    let half = difference >> 1;
    let step = if difference & 1 == 0 { half } else { !half };
    from.wrapping_add(step)
}

/// The files in the order in which they first appear.
#[derive(Default)]
struct Files<'a> {
    numbers: BTreeMap<&'a str, u32>,
    bytes: Vec<u8>,
}

impl<'a> Files<'a> {
    fn number(&mut self, file: &'a str) -> u32 {
        let next = number(self.numbers.len());
        let bytes = &mut self.bytes;
        *self.numbers.entry(file).or_insert_with(|| {
            let kept = &file.as_bytes()[file.len().saturating_sub(255)..];
            bytes.push(u8::try_from(kept.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(kept);
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{unzigzag, zigzag};

    #[test]
    fn a_difference_leads_back() {
        for (from, to) in [(0, 1), (1, 0), (7, 7), (100, 3), (3, 1 << 28)] {
            assert_eq!(unzigzag(from, zigzag(from, to)), to);
        }
        assert!(zigzag(100, 99) < 4 && zigzag(99, 100) < 4);
    }
}
