//! [`write`]: an ELF file of nothing but segments, without holes between them.
//!
//! Loaders of virtual machines copy segments to addresses; none maps the file, so no segment needs a page of
//! the file for itself. One empty section header is there because newer GRUBs refuse a file without.

use anyhow::{Context as _, Result, ensure};
use object::elf::PT_NOTE;

const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
const SECTION_HEADER_LEN: usize = 64;

/// Loaded segments start at multiples of this in the file, and in memory at the least.
const ALIGN: u64 = 8;

/// Notes are padded to words of this size; QEMU reads the padding from the program header.
const NOTE_ALIGN: u64 = 4;

/// The flag of a segment that may be written to. Only such a segment has zeros at its end worth leaving out.
const WRITABLE: u32 = 2;

/// A part of the image.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// `PT_LOAD` or `PT_NOTE`.
    pub(super) kind: u32,
    /// Readable 4, writable 2, executable 1.
    pub(super) flags: u32,
    /// Where it lies in memory.
    pub(super) addr: u64,
    /// How much memory it takes; what `bytes` does not fill is zero.
    pub(super) mem_len: u64,
    /// What the file holds of it.
    pub(super) bytes: Vec<u8>,
}

impl Segment {
    /// The address behind it.
    pub(super) fn end(&self) -> u64 {
        self.addr + self.mem_len
    }

    /// The `len` bytes that will lie at `addr`, if the file holds them.
    pub(super) fn at(&mut self, addr: u64, len: usize) -> Option<&mut [u8]> {
        let start = self.position(addr)?;
        self.bytes.get_mut(start..start + len)
    }

    fn position(&self, addr: u64) -> Option<usize> {
        let offset = addr
            .checked_sub(self.addr)
            .filter(|&offset| offset < self.mem_len)?;
        usize::try_from(offset).ok()
    }
}

/// Writes the file: header, program headers, contents. Each note must lie in a loaded segment.
pub(super) fn write(entry: u64, loads: &[Segment], notes: &[Segment]) -> Result<Vec<u8>> {
    let count = loads.len() + notes.len();
    let mut contents = vec![0; SECTION_HEADER_LEN];
    let contents_at = HEADER_LEN + count * PROGRAM_HEADER_LEN;
    let mut headers = Vec::new();
    let mut offsets = Vec::new();
    for load in loads {
        ensure!(
            load.addr % ALIGN == 0,
            "a segment starts at the crooked address {:#x}",
            load.addr
        );
        let bytes = if load.flags & WRITABLE == 0 {
            &load.bytes
        } else {
            without_trailing_zeros(&load.bytes)
        };
        contents.resize(contents.len().next_multiple_of(8), 0);
        let offset = contents_at + contents.len();
        contents.extend_from_slice(bytes);
        offsets.push(offset);
        headers.extend_from_slice(&program_header(load, offset, bytes.len()));
    }
    for note in notes {
        let (load, offset) = loads
            .iter()
            .zip(&offsets)
            .find(|(load, _)| load.addr <= note.addr && note.end() <= load.end())
            .context("a note is not loaded")?;
        let offset = offset + load.position(note.addr).context("a note is not loaded")?;
        headers.extend_from_slice(&program_header(note, offset, note.bytes.len()));
    }
    let mut file = header(entry, u16::try_from(count)?, contents_at as u64);
    file.extend_from_slice(&headers);
    file.extend_from_slice(&contents);
    Ok(file)
}

fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let len = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &bytes[..len]
}

fn header(entry: u64, program_headers: u16, sections_at: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(b"\x7fELF\x02\x01\x01");
    header.resize(16, 0);
    for half in [2_u16, 62] {
        header.extend_from_slice(&half.to_le_bytes()); // executable, x86-64
    }
    header.extend_from_slice(&1_u32.to_le_bytes());
    for word in [entry, HEADER_LEN as u64, sections_at] {
        header.extend_from_slice(&word.to_le_bytes());
    }
    header.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64, 56, program_headers, 64, 1, 0] {
        header.extend_from_slice(&half.to_le_bytes());
    }
    header
}

fn program_header(segment: &Segment, offset: usize, file_len: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(PROGRAM_HEADER_LEN);
    header.extend_from_slice(&segment.kind.to_le_bytes());
    header.extend_from_slice(&segment.flags.to_le_bytes());
    let align = if segment.kind == PT_NOTE {
        NOTE_ALIGN
    } else {
        ALIGN
    };
    let (offset, file_len) = (offset as u64, file_len as u64);
    let words = [
        offset,
        segment.addr,
        segment.addr,
        file_len,
        segment.mem_len,
        align,
    ];
    for word in words {
        header.extend_from_slice(&word.to_le_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::elf::{FileHeader64, PT_LOAD, PT_NOTE};
    use object::read::elf::{FileHeader as _, ProgramHeader as _};

    use super::{Segment, write};

    fn segment(kind: u32, addr: u64, mem_len: u64, bytes: &[u8]) -> Segment {
        Segment {
            kind,
            flags: 4,
            addr,
            mem_len,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn a_reader_finds_what_was_written() {
        let loads = [
            segment(PT_LOAD, 0x10_0000, 24, b"0123456789abcdefNOTENOTE"),
            Segment {
                flags: 6,
                ..segment(PT_LOAD, 0x10_1000, 0x2000, &[7, 7, 7, 0, 0, 0])
            },
        ];
        let note = segment(PT_NOTE, 0x10_0010, 8, b"NOTENOTE");
        let file = write(0x10_0004, &loads, &[note]).expect("a file");
        let header = FileHeader64::<Endianness>::parse(file.as_slice()).expect("a header");
        let endian = header.endian().expect("little endian");
        assert_eq!(header.e_entry(endian), 0x10_0004);
        assert_eq!(
            header
                .section_headers(endian, file.as_slice())
                .expect("sections")
                .len(),
            1
        );
        let programs = header
            .program_headers(endian, file.as_slice())
            .expect("program headers");
        let data: Vec<&[u8]> = programs
            .iter()
            .map(|p| p.data(endian, file.as_slice()).expect("data"))
            .collect();
        assert_eq!(
            data,
            [
                b"0123456789abcdefNOTENOTE".as_slice(),
                &[7, 7, 7],
                b"NOTENOTE"
            ]
        );
        assert_eq!(programs[1].p_memsz.get(endian), 0x2000);
        for program in programs {
            assert_eq!(program.p_offset.get(endian) % 8, 0);
            let align = if program.p_type(endian) == PT_NOTE {
                4
            } else {
                8
            };
            assert_eq!(program.p_align.get(endian), align);
        }
    }

    #[test]
    fn a_note_outside_the_loaded_segments_is_refused() {
        let load = segment(PT_LOAD, 0x10_0000, 8, b"01234567");
        assert!(write(0, &[load], &[segment(PT_NOTE, 0x20_0000, 4, b"NOTE")]).is_err());
    }

    #[test]
    fn bytes_are_found_by_their_address() {
        let mut load = segment(PT_LOAD, 0x1000, 16, b"01234567");
        assert_eq!(load.at(0x1002, 3), Some(b"234".to_vec().as_mut_slice()));
        assert_eq!(load.at(0x1006, 3), None);
        assert_eq!(load.at(0xfff, 1), None);
    }
}
