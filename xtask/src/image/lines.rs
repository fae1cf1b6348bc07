//! The lines that the line table of an image holds.

use std::path::Path;

use anyhow::Result;
use object::Endianness;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _};
use toro_abi::lines::{Row, encode};

use crate::source::Sources;

/// Encodes the lines of the text. Paths are told from the folder `root` on.
///
/// Code that was inlined from the standard library counts for the line that calls it.
pub(super) fn table(elf: &ElfFile64<'_, Endianness>, root: &Path) -> Result<Vec<u8>> {
    let Some(text) = elf.section_by_name(".text") else {
        return Ok(Vec::new());
    };
    let sources = Sources::of(elf, root)?;
    let rows = sources.rows(text.address()..text.address() + text.size());
    let rows: Vec<Row<'_>> = rows
        .iter()
        .map(|row| Row {
            offset: u32::try_from(row.addr - text.address()).unwrap_or(u32::MAX),
            file: &row.place.file,
            line: row.place.line,
        })
        .collect();
    Ok(encode(&rows))
}
