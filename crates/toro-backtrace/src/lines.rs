//! [`lookup`]: reads the line table that `toro_abi::lines` defines.
//!
//! As with [`Symbols`](crate::Symbols), a table that makes no sense gives no line, never a panic and never a loop without end.

use core::fmt;

use toro_abi::lines::{BLOCK_LEN, BLOCKS_AT, ROWS, unzigzag};

use crate::symbols::{u32_at, varint};

/// A line of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The path of the file.
    pub file: &'a str,
    /// The number of the line, from 1.
    pub line: u32,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The line of the code at the offset `wanted` of the text.
pub(crate) fn lookup(table: &[u8], wanted: u32) -> Option<Line<'_>> {
    let rows = usize::try_from(u32_at(table, 0)?).ok()?;
    let blocks = usize::try_from(u32_at(table, 4)?).ok()?;
    let blocks_end = blocks.checked_mul(BLOCK_LEN)?.checked_add(BLOCKS_AT)?;
    let (entries, _) = table.get(BLOCKS_AT..blocks_end)?.as_chunks::<BLOCK_LEN>();
    let block = entries
        .partition_point(|entry| u32_at(entry, 0).is_some_and(|at| at <= wanted))
        .checked_sub(1)?;
    let mut offset = u32_at(&entries[block], 0)?;
    let mut stream = table.get(usize::try_from(u32_at(&entries[block], 4)?).ok()?..)?;
    let (mut file, mut line, mut found) = (0, 0, None);
    for _ in 0..ROWS.min(rows.saturating_sub(block * ROWS)) {
        offset = offset.checked_add(varint(&mut stream)?)?;
        if offset > wanted {
            break;
        }
        let step = varint(&mut stream)?;
        line = unzigzag(line, step >> 1);
        if step & 1 != 0 {
            file = varint(&mut stream)?;
        }
        found = Some((file, line));
    }
    let (file, line) = found.filter(|&(_, line)| line != 0)?;
    let mut files = table.get(usize::try_from(u32_at(table, 8)?).ok()?..)?;
    for _ in 0..file {
        let (&len, rest) = files.split_first()?;
        files = rest.get(usize::from(len)..)?;
    }
    let (&len, rest) = files.split_first()?;
    let file = core::str::from_utf8(rest.get(..usize::from(len))?).ok()?;
    Some(Line { file, line })
}

#[cfg(test)]
mod tests {
    use toro_abi::lines::{Row, encode};

    use super::lookup;

    fn rows(rows: &[(u32, &'static str, u32)]) -> Vec<u8> {
        let rows: Vec<Row<'_>> = rows
            .iter()
            .map(|&(offset, file, line)| Row { offset, file, line })
            .collect();
        encode(&rows)
    }

    fn check(table: &[u8], offset: u32, expected: Option<&str>) {
        let found = lookup(table, offset).map(|line| line.to_string());
        assert_eq!(found.as_deref(), expected, "{offset}");
    }

    #[test]
    fn names_the_line_of_the_row_at_or_before() {
        let table = rows(&[
            (4, "a.rs", 10),
            (8, "a.rs", 9),
            (9, "b.rs", 500),
            (20, "a.rs", 11),
        ]);
        check(&table, 3, None);
        check(&table, 4, Some("a.rs:10"));
        check(&table, 8, Some("a.rs:9"));
        check(&table, 19, Some("b.rs:500"));
        check(&table, 21, Some("a.rs:11"));
    }

    #[test]
    fn a_row_may_know_nothing() {
        let table = rows(&[(0, "a.rs", 1), (4, "", 0), (8, "a.rs", 2)]);
        check(&table, 3, Some("a.rs:1"));
        check(&table, 5, None);
        check(&table, 8, Some("a.rs:2"));
    }

    #[test]
    fn finds_each_of_many_rows() {
        let names: Vec<String> = (0..300).map(|file| format!("src/{file}.rs")).collect();
        let all: Vec<Row<'_>> = (0..5000_u32)
            .map(|n| Row {
                offset: n * 3,
                file: &names[n as usize * 7 % 300],
                line: n * 31 % 1000 + 1,
            })
            .collect();
        let table = encode(&all);
        for row in &all {
            let expected = format!("{}:{}", row.file, row.line);
            check(&table, row.offset, Some(&expected));
            check(&table, row.offset + 2, Some(&expected));
        }
    }

    #[test]
    fn a_cut_or_wild_table_gives_no_panic() {
        let whole = rows(&[(0, "a.rs", 1), (4, "b.rs", 7), (8, "a.rs", 2)]);
        for len in 0..whole.len() {
            let _ = lookup(&whole[..len], 9);
        }
        for at in 0..whole.len() {
            let mut wild = whole.clone();
            wild[at] = 0xff;
            let _ = lookup(&wild, 9);
        }
        check(&rows(&[]), 0, None);
    }
}
