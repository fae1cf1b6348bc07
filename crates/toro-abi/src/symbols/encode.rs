//! [`encode`]: writes the table. Runs on the host; the image only reads.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{BLOCK, LINES_AT, NAME_MAX, TOKENS, TOKENS_AT};

/// A pair must be this frequent to be worth a token.
const WORTHWHILE: usize = 4;

/// Encodes `symbols`, pairs of an address and a name, for a text of `text_len` bytes from `base`.
///
/// Symbols outside the text are left out, and of several at one address the first stays. Characters other than
/// ASCII become `?`.
pub fn encode(base: u64, text_len: u32, symbols: &[(u64, &str)]) -> Vec<u8> {
    let entries = sorted(base, text_len, symbols);
    let mut names: Vec<Vec<u8>> = entries.iter().map(|(_, name)| codes(name)).collect();
    let tokens = compress(&mut names);
    let mut blocks = Vec::new();
    let mut stream = Vec::new();
    let mut last = 0;
    for (index, ((offset, _), name)) in entries.iter().zip(&names).enumerate() {
        if index % BLOCK == 0 {
            blocks.extend_from_slice(&offset.to_le_bytes());
            blocks.extend_from_slice(&number(stream.len()).to_le_bytes());
            last = *offset;
        }
        varint(&mut stream, offset - last);
        stream.push(u8::try_from(name.len()).expect("a name has at most NAME_MAX codes"));
        stream.extend_from_slice(name);
        last = *offset;
    }
    let mut table = Vec::new();
    table.extend_from_slice(&base.to_le_bytes());
    table.extend_from_slice(&text_len.to_le_bytes());
    table.extend_from_slice(&number(entries.len()).to_le_bytes());
    table.extend_from_slice(&number(entries.len().div_ceil(BLOCK)).to_le_bytes());
    table.extend_from_slice(&0_u32.to_le_bytes());
    table.extend_from_slice(tokens.as_flattened());
    table.extend_from_slice(&blocks);
    table.extend_from_slice(&stream);
    table
}

/// The symbols inside the text as offsets, in order, one for each address.
fn sorted<'a>(base: u64, text_len: u32, symbols: &[(u64, &'a str)]) -> Vec<(u32, &'a str)> {
    let mut entries: Vec<(u32, &str)> = symbols
        .iter()
        .filter_map(|&(addr, name)| Some((u32::try_from(addr.checked_sub(base)?).ok()?, name)))
        .filter(|&(offset, _)| offset < text_len)
        .collect();
    entries.sort_by_key(|&(offset, _)| offset);
    entries.dedup_by_key(|&mut (offset, _)| offset);
    entries
}

fn codes(name: &str) -> Vec<u8> {
    name.chars()
        .take(NAME_MAX)
        .map(|c| if c.is_ascii() { c as u8 } else { b'?' })
        .collect()
}

/// Gives the most frequent pairs tokens, again and again, and rewrites the names with them.
fn compress(names: &mut [Vec<u8>]) -> [[u8; 2]; TOKENS] {
    let mut tokens = [[0; 2]; TOKENS];
    for (index, token) in tokens.iter_mut().enumerate() {
        let Some(pair) = most_frequent(names) else {
            break;
        };
        *token = pair;
        let code = 128 + u8::try_from(index).expect("there are 128 tokens");
        names.iter_mut().for_each(|name| replace(name, pair, code));
    }
    tokens
}

fn most_frequent(names: &[Vec<u8>]) -> Option<[u8; 2]> {
    let mut counts = BTreeMap::<[u8; 2], usize>::new();
    for pair in names.iter().flat_map(|name| name.windows(2)) {
        *counts.entry([pair[0], pair[1]]).or_default() += 1;
    }
    let (pair, count) = counts.into_iter().max_by_key(|&(_, count)| count)?;
    (count >= WORTHWHILE).then_some(pair)
}

fn replace(name: &mut Vec<u8>, pair: [u8; 2], code: u8) {
    let mut rewritten = Vec::with_capacity(name.len());
    let mut rest = name.as_slice();
    while let Some((&first, tail)) = rest.split_first() {
        let hit = rest.starts_with(&pair);
        rewritten.push(if hit { code } else { first });
        rest = if hit { &rest[2..] } else { tail };
    }
    *name = rewritten;
}

/// Appends a line table, as [`crate::lines::encode`] makes it, to a symbol table.
pub fn add_lines(table: &mut Vec<u8>, lines: &[u8]) {
    let at = number(table.len());
    table[LINES_AT..TOKENS_AT].copy_from_slice(&at.to_le_bytes());
    table.extend_from_slice(lines);
}

pub(crate) fn varint(stream: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        stream.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    stream.push(value.to_le_bytes()[0]);
}

pub(crate) fn number(value: usize) -> u32 {
    u32::try_from(value).expect("a table is smaller than 4 GiB")
}
