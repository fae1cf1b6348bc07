//! Finishes an image: from the ELF that was linked to the ELF that is booted.
//!
//! What boots an image needs its loaded segments and its PVH note, nothing else. So [`finish`] writes a new
//! file with just these, packed without holes, and adds one segment behind them: the symbol table that lets
//! a backtrace name functions, and the line table behind it if it is wanted. The kernel finds them through the static
//! `TORO_SYMBOLS`, which is filled in here.

mod layout;
mod lines;
mod symbols;

use std::path::Path;

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use layout::Segment;
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _};
use toro_abi::symbols::{DESCRIPTOR, DESCRIPTOR_LEN, Descriptor, add_lines};

/// GRUB looks for the multiboot2 header in so much of the file, at multiples of eight.
const MULTIBOOT2_WITHIN: usize = 32 * 1024;

/// The first word of a multiboot2 header.
const MULTIBOOT2_MAGIC: [u8; 4] = 0xe852_50d6_u32.to_le_bytes();

/// The table starts on a page of its own, behind the end that the linker knows.
const PAGE: u64 = 4096;

/// What is known of a finished image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Bytes of the file.
    pub(crate) file_len: usize,
    /// Bytes of the symbol table in it, lines included.
    pub(crate) symbols_len: usize,
    /// Bytes of the line table in that.
    pub(crate) lines_len: usize,
    /// The address behind the last byte that it occupies.
    pub(crate) end: u64,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.symbols_len * 100 / self.file_len.max(1);
        write!(f, "{} bytes, {percent} % of them symbols", self.file_len)?;
        if self.lines_len > 0 {
            let percent = self.lines_len * 100 / self.file_len.max(1);
            write!(f, " ({percent} % lines)")?;
        }
        write!(f, ", up to address {:#x}", self.end)
    }
}

/// Makes the bootable file out of the linked one, with a line table if the files' paths are to be told from `lines` on.
pub(crate) fn finish(linked: &[u8], lines: Option<&Path>) -> Result<(Vec<u8>, Facts)> {
    let elf = ElfFile64::<Endianness>::parse(linked).context("it is no 64-bit ELF file")?;
    let (mut segments, notes) = segments(linked)?;
    let end = segments
        .iter()
        .map(Segment::end)
        .max()
        .context("it has no loaded segment")?;
    let mut table = symbols::table(&elf);
    let names_len = table.len();
    if let Some(root) = lines {
        add_lines(&mut table, &lines::table(&elf, root)?);
    }
    let build_id = build_id(&segments);
    let addr = end.next_multiple_of(PAGE);
    if patch(
        &elf,
        &mut segments,
        Descriptor {
            addr,
            len: table.len() as u64,
            build_id,
        },
    )? {
        segments.push(Segment {
            kind: PT_LOAD,
            flags: 4,
            addr,
            mem_len: table.len() as u64,
            bytes: table.clone(),
        });
    }
    let facts_end = segments.iter().map(Segment::end).max().unwrap_or(end);
    let file = layout::write(elf.entry(), &segments, &notes)?;
    check_multiboot2(&file)?;
    let facts = Facts {
        file_len: file.len(),
        symbols_len: table.len(),
        lines_len: table.len() - names_len,
        end: facts_end,
    };
    Ok((file, facts))
}

/// What tells the linked image `linked` from other builds: the number that its backtraces name.
pub(crate) fn build_id_of(linked: &[u8]) -> Result<u64> {
    Ok(build_id(&segments(linked)?.0))
}

/// FNV-1a over all that is loaded (Fowler, Noll, Vo; 64 bits). Never 0, which stands for none.
fn build_id(segments: &[Segment]) -> u64 {
    let addresses = segments.iter().map(|segment| segment.addr.to_le_bytes());
    let bytes = segments.iter().flat_map(|segment| &segment.bytes);
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let start = addresses.flatten().fold(0xcbf2_9ce4_8422_2325, hash);
    bytes.copied().fold(start, hash).max(1)
}

/// The loaded segments with what they hold, and the address range of each note segment.
fn segments(linked: &[u8]) -> Result<(Vec<Segment>, Vec<Segment>)> {
    let header = FileHeader64::<Endianness>::parse(linked)?;
    let endian = header.endian()?;
    let (mut loads, mut notes) = (Vec::new(), Vec::new());
    for program in header.program_headers(endian, linked)? {
        let bytes = program
            .data(endian, linked)
            .ok()
            .context("a segment lies outside the file")?;
        let segment = Segment {
            kind: program.p_type(endian),
            flags: program.p_flags(endian),
            addr: program.p_paddr(endian),
            mem_len: program.p_memsz(endian),
            bytes: bytes.to_vec(),
        };
        ensure!(
            program.p_paddr(endian) == program.p_vaddr(endian),
            "a segment is linked for another address than it is loaded at"
        );
        match segment.kind {
            PT_LOAD if segment.mem_len > 0 => loads.push(segment),
            PT_NOTE if segment.mem_len > 0 => notes.push(segment),
            _ => {}
        }
    }
    Ok((loads, notes))
}

/// Writes the place of the table into the image; false if the image has no use for one.
fn patch(
    elf: &ElfFile64<'_, Endianness>,
    segments: &mut [Segment],
    descriptor: Descriptor,
) -> Result<bool> {
    let Some(symbol) = elf.symbols().find(|symbol| symbol.name() == Ok(DESCRIPTOR)) else {
        return Ok(false);
    };
    let place = segments
        .iter_mut()
        .find_map(|segment| segment.at(symbol.address(), DESCRIPTOR_LEN));
    let Some(place) = place else {
        bail!("the static {DESCRIPTOR} lies in no part of the file");
    };
    ensure!(
        place[..8] == descriptor.to_bytes()[..8],
        "the static {DESCRIPTOR} does not begin with its magic"
    );
    place.copy_from_slice(&descriptor.to_bytes());
    Ok(true)
}

/// GRUB must find the header where it looks, if the image has one.
fn check_multiboot2(file: &[u8]) -> Result<()> {
    let aligned = |part: &[u8]| {
        part.chunks_exact(8)
            .any(|chunk| chunk.starts_with(&MULTIBOOT2_MAGIC))
    };
    let (near, _) = file.split_at(file.len().min(MULTIBOOT2_WITHIN));
    ensure!(
        aligned(near),
        "the multiboot2 header is not aligned in the first 32 KiB of the file"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_multiboot2;

    #[test]
    fn the_multiboot2_header_must_be_near_and_aligned() {
        let magic = super::MULTIBOOT2_MAGIC;
        let with = |at: usize| {
            let mut file = vec![0; 40_000];
            file[at..at + 4].copy_from_slice(&magic);
            check_multiboot2(&file).is_ok()
        };
        assert!(with(0) && with(4096) && with(32_760));
        assert!(!with(4) && !with(32_768));
        assert!(check_multiboot2(&[]).is_err());
    }
}
