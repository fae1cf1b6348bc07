//! [`Symbols`]: reads the table that `toro_abi::symbols` defines.
//!
//! It runs while something is already broken, so it trusts nothing: a table that makes no sense gives no name,
//! never a panic and never a loop without end.

use core::fmt::{self, Write as _};

use toro_abi::symbols::{BLOCK, BLOCK_LEN, BLOCKS_AT, LINES_AT, NAME_MAX, TOKENS_AT};

use crate::lines::{self, Line};

/// A symbol table, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a> {
    base: u64,
    text_len: u32,
    count: usize,
    tokens: &'a [u8],
    blocks: &'a [u8],
    stream: &'a [u8],
    /// All of the table, in which the lines may lie.
    whole: &'a [u8],
}

/// The function that an address belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// The name of the function.
    pub name: Name<'a>,
    /// The distance of the address from the start of the function.
    pub offset: u64,
}

/// The name of a function, still compressed; `Display` expands it.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    codes: &'a [u8],
    tokens: &'a [u8],
}

impl<'a> Symbols<'a> {
    /// Opens the table in `bytes`; `None` if they hold none.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let base = u64::from_le_bytes(bytes.first_chunk().copied()?);
        let blocks = usize::try_from(u32_at(bytes, 16)?).ok()?;
        let stream_at = blocks.checked_mul(BLOCK_LEN)?.checked_add(BLOCKS_AT)?;
        Some(Self {
            base,
            text_len: u32_at(bytes, 8)?,
            count: usize::try_from(u32_at(bytes, 12)?).ok()?,
            tokens: bytes.get(TOKENS_AT..BLOCKS_AT)?,
            blocks: bytes.get(BLOCKS_AT..stream_at)?,
            stream: bytes.get(stream_at..)?,
            whole: bytes,
        })
    }

    /// The function that holds `addr`, `None` if it lies outside the text.
    pub fn lookup(&self, addr: u64) -> Option<Symbol<'a>> {
        let wanted = u32::try_from(addr.checked_sub(self.base)?).ok()?;
        if wanted >= self.text_len {
            return None;
        }
        let block = self.block_of(wanted)?;
        let mut offset = u32_at(self.blocks, block * BLOCK_LEN)?;
        let mut stream = self.stream.get(self.position(block)?..)?;
        let mut found = None;
        for _ in 0..BLOCK.min(self.count.saturating_sub(block * BLOCK)) {
            offset = offset.checked_add(varint(&mut stream)?)?;
            if offset > wanted {
                break;
            }
            let (&len, rest) = stream.split_first()?;
            let (codes, rest) = rest.split_at_checked(usize::from(len))?;
            stream = rest;
            found = Some(Symbol {
                name: Name {
                    codes,
                    tokens: self.tokens,
                },
                offset: u64::from(wanted - offset),
            });
        }
        found
    }

    /// The function whose call returns to `back`.
    ///
    /// A call that never returns may be the last instruction of its function, and then `back` belongs to the next.
    pub fn caller(&self, back: u64) -> Option<Symbol<'a>> {
        let symbol = self.lookup(back.checked_sub(1)?)?;
        Some(Symbol {
            offset: symbol.offset + 1,
            ..symbol
        })
    }

    /// The source line of the instruction at `addr`, `None` if the table holds no lines or none for it.
    pub fn line(&self, addr: u64) -> Option<Line<'a>> {
        let wanted = u32::try_from(addr.checked_sub(self.base)?).ok()?;
        let at = usize::try_from(u32_at(self.whole, LINES_AT)?).ok()?;
        if at == 0 || wanted >= self.text_len {
            return None;
        }
        lines::lookup(self.whole.get(at..)?, wanted)
    }

    /// The last block that starts at or before `wanted`.
    fn block_of(&self, wanted: u32) -> Option<usize> {
        let (entries, _) = self.blocks.as_chunks::<BLOCK_LEN>();
        entries
            .partition_point(|entry| u32_at(entry, 0).is_some_and(|at| at <= wanted))
            .checked_sub(1)
    }

    fn position(&self, block: usize) -> Option<usize> {
        usize::try_from(u32_at(self.blocks, block * BLOCK_LEN + 4)?).ok()
    }
}

impl Name<'_> {
    /// Writes what `code` stands for. `limit` is the token above: each part has a lower number, so this ends.
    fn expand(
        &self,
        code: u8,
        limit: u16,
        left: &mut usize,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        if *left == 0 || u16::from(code) >= limit {
            return Ok(());
        }
        let Some(token) = code.checked_sub(128) else {
            *left -= 1;
            return f.write_char(char::from(code));
        };
        let at = usize::from(token) * 2;
        let parts = self.tokens.get(at..at + 2).unwrap_or_default();
        parts
            .iter()
            .try_for_each(|&part| self.expand(part, u16::from(code), left, f))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = NAME_MAX;
        self.codes
            .iter()
            .try_for_each(|&code| self.expand(code, 256, &mut left, f))
    }
}

impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.name, self.offset)
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)
}

pub(crate) fn varint(stream: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = stream.split_first()?;
        *stream = rest;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use toro_abi::symbols::{NAME_MAX, encode};

    use super::Symbols;

    const BASE: u64 = 0x10_0000;

    fn table(symbols: &[(u64, &str)]) -> Vec<u8> {
        encode(BASE, 0x10_0000, symbols)
    }

    fn check(table: &[u8], addr: u64, expected: Option<&str>) {
        let found = Symbols::from_bytes(table).expect("a table").lookup(addr);
        assert_eq!(found.map(|symbol| symbol.to_string()).as_deref(), expected);
    }

    #[test]
    fn names_the_function_that_holds_an_address() {
        let table = table(&[
            (BASE + 0x40, "b::two"),
            (BASE, "a::one"),
            (BASE + 0x900, "c::three"),
        ]);
        check(&table, BASE, Some("a::one+0x0"));
        check(&table, BASE + 0x3f, Some("a::one+0x3f"));
        check(&table, BASE + 0x40, Some("b::two+0x0"));
        check(&table, BASE + 0xfff, Some("c::three+0x6ff"));
    }

    #[test]
    fn a_call_at_the_end_of_a_function_belongs_to_it() {
        let table = table(&[(BASE, "a::one"), (BASE + 0x40, "b::two")]);
        let symbols = Symbols::from_bytes(&table).expect("a table");
        let caller = |back| symbols.caller(back).map(|symbol| symbol.to_string());
        assert_eq!(caller(BASE + 0x40).as_deref(), Some("a::one+0x40"));
        assert_eq!(caller(BASE + 0x41).as_deref(), Some("b::two+0x1"));
        assert_eq!(caller(BASE), None);
        assert_eq!(caller(0), None);
    }

    #[test]
    fn addresses_outside_the_text_have_no_name() {
        let table = table(&[(BASE + 0x40, "a")]);
        check(&table, BASE - 1, None);
        check(&table, BASE + 0x3f, None);
        check(&table, BASE + 0x10_0000, None);
        check(&table, u64::MAX, None);
    }

    #[test]
    fn finds_each_of_many_symbols_and_halves_their_names() {
        let names: Vec<String> = (0..1000)
            .map(|n| format!("toro_net::tcp::socket::Socket::segment_{n}"))
            .collect();
        let symbols: Vec<(u64, &str)> = (0_u64..)
            .map(|n| BASE + n * 300)
            .zip(names.iter().map(String::as_str))
            .collect();
        let table = table(&symbols);
        for (addr, name) in &symbols {
            check(&table, addr + 299, Some(&format!("{name}+0x12b")));
        }
        let plain: usize = names.iter().map(String::len).sum();
        assert!(table.len() * 2 < plain, "{} bytes for {plain}", table.len());
    }

    #[test]
    fn every_token_expands() {
        let names: Vec<String> = (0..4000_u32)
            .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b1)))
            .collect();
        let symbols: Vec<(u64, &str)> = (BASE..).zip(names.iter().map(String::as_str)).collect();
        let table = table(&symbols);
        assert_ne!(table[24 + 254..24 + 256], [0, 0], "all tokens are in use");
        for (addr, name) in &symbols {
            check(&table, *addr, Some(&format!("{name}+0x0")));
        }
    }

    #[test]
    fn long_names_are_cut_and_other_characters_replaced() {
        let long = "ä".repeat(NAME_MAX + 5);
        check(
            &table(&[(BASE, &long)]),
            BASE,
            Some(&format!("{}+0x0", "?".repeat(NAME_MAX))),
        );
    }

    #[test]
    fn an_empty_or_cut_or_wild_table_gives_no_name_and_no_panic() {
        assert!(Symbols::from_bytes(&[]).is_none());
        check(&table(&[]), BASE, None);
        let whole = table(&[(BASE, "a::b"), (BASE + 8, "a::c")]);
        for len in 0..whole.len() {
            if let Some(symbols) = Symbols::from_bytes(&whole[..len]) {
                let _ = symbols.lookup(BASE + 9).map(|symbol| symbol.to_string());
            }
        }
        for at in 0..whole.len() {
            let mut wild = whole.clone();
            wild[at] = 0xff;
            if let Some(symbols) = Symbols::from_bytes(&wild) {
                let _ = symbols.lookup(BASE + 9).map(|symbol| symbol.to_string());
            }
        }
    }
}
