//! [`Image`]: what the headers of an ELF file say (System V ABI, chapters 4 and 5).

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use torov_abi::{PAGE, USER_END};
use torov_memory::Rights;

/// A program, as far as loading it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Where it starts.
    pub(crate) entry: u64,
    /// Whether it can lie anywhere.
    pub(crate) is_movable: bool,
    /// Where its program headers will lie, how many, and the length of one.
    pub(crate) headers: (u64, u64, u64),
    /// What to load, by rising address.
    pub(crate) segments: Vec<Segment>,
}

/// A piece to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// How much of it is in the file; the rest is zero.
    pub(crate) file_len: u64,
    /// Where it begins in memory.
    pub(crate) address: u64,
    /// How long it is in memory.
    pub(crate) len: u64,
    /// What the program may do with it.
    pub(crate) rights: Rights,
}

/// Why a file cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ElfError(&'static str);

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const MOST_HEADERS: u16 = 64;

impl Image {
    /// Reads the headers of `file`, which is `file_len` bytes long.
    ///
    /// # Errors
    /// What is wrong with it, and what helps.
    pub(crate) fn read(file: &File, file_len: u64) -> Result<Self, ElfError> {
        let mut bytes = vec![0; HEADER + PROGRAM_HEADER * usize::from(MOST_HEADERS)];
        let cannot_read = |_| ElfError("it cannot be read");
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)
            .map_err(|_| ElfError("it is no ELF file"))?;
        let (offset, len) = program_headers(&header)?;
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, offset)
            .map_err(cannot_read)?;
        Self::parse(&header, &bytes, file_len)
    }

    fn parse(header: &[u8; HEADER], bytes: &[u8], file_len: u64) -> Result<Self, ElfError> {
        let (offset, _) = program_headers(header)?;
        let is_movable = half(header, 16) == 3;
        let entry = word(header, 24);
        let mut segments = Vec::new();
        let mut headers_at = None;
        for entry in bytes.chunks_exact(PROGRAM_HEADER) {
            match quarter(entry, 0) {
                PT_LOAD => {
                    let segment = Segment::parse(entry, file_len)?;
                    if segment.offset <= offset && offset < segment.offset + segment.file_len {
                        headers_at = Some(segment.address + (offset - segment.offset));
                    }
                    if segment.len > 0 {
                        segments.push(segment);
                    }
                }
                PT_INTERP => {
                    return Err(ElfError(
                        "it is linked dynamically, and there is no loader here. Link it statically: cc -static, or \
                         RUSTFLAGS='-C target-feature=+crt-static'",
                    ));
                }
                _ => {}
            }
        }
        let page = |address: u64| address / PAGE;
        let overlap =
            |pair: &[Segment]| page(pair[0].address + pair[0].len - 1) >= page(pair[1].address);
        if segments.windows(2).any(overlap) {
            return Err(ElfError(
                "two of its segments share a page or are out of order",
            ));
        }
        let inside = |segment: &Segment| {
            segment.rights.execute
                && (segment.address..segment.address + segment.len).contains(&entry)
        };
        if !segments.iter().any(inside) {
            return Err(ElfError("it does not start inside of its own code"));
        }
        let count = bytes.len() / PROGRAM_HEADER;
        Ok(Self {
            entry,
            is_movable,
            headers: (
                headers_at.unwrap_or(0),
                torov_abi::word::wide(count),
                torov_abi::word::wide(PROGRAM_HEADER),
            ),
            segments,
        })
    }

    /// The first address behind it, before it is moved.
    pub(crate) fn end(&self) -> u64 {
        let last = self.segments.last();
        last.map_or(0, |segment| segment.address + segment.len)
    }
}

/// Where the program headers lie in the file, and how long they are; checks what comes before.
fn program_headers(header: &[u8; HEADER]) -> Result<(u64, usize), ElfError> {
    if header[..4] != *b"\x7fELF" {
        let is_script = header.starts_with(b"#!");
        let what = if is_script {
            "it is a script; name its interpreter"
        } else {
            "it is no ELF file"
        };
        return Err(ElfError(what));
    }
    if header[4..7] != [2, 1, 1] || half(header, 18) != 62 {
        return Err(ElfError("it is not for x86-64"));
    }
    if !matches!(half(header, 16), 2 | 3) {
        return Err(ElfError("it is no program but a piece of one"));
    }
    let count = half(header, 56);
    if usize::from(half(header, 54)) != PROGRAM_HEADER || count == 0 || count > MOST_HEADERS {
        return Err(ElfError("its program headers are malformed"));
    }
    Ok((word(header, 32), PROGRAM_HEADER * usize::from(count)))
}

impl Segment {
    fn parse(entry: &[u8], file_len: u64) -> Result<Self, ElfError> {
        let flags = quarter(entry, 4);
        let segment = Self {
            offset: word(entry, 8),
            address: word(entry, 16),
            file_len: word(entry, 32),
            len: word(entry, 40),
            rights: Rights {
                read: flags & 4 != 0,
                write: flags & 2 != 0,
                execute: flags & 1 != 0,
            },
        };
        let file_end = segment.offset.checked_add(segment.file_len);
        if file_end.is_none_or(|end| end > file_len) || segment.file_len > segment.len {
            return Err(ElfError(
                "a segment reaches past the end of the file: is it cut short?",
            ));
        }
        let end = segment.address.checked_add(segment.len);
        if end.is_none_or(|end| end > USER_END) {
            return Err(ElfError("a segment does not fit into the address space"));
        }
        if segment.rights.write && segment.rights.execute {
            return Err(ElfError(
                "it wants memory that is both written and executed, which is refused",
            ));
        }
        Ok(segment)
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn quarter(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from(quarter(bytes, at)) | u64::from(quarter(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Image, PROGRAM_HEADER};

    /// A header and program headers from (kind, flags, offset, address, file length, length).
    fn elf(kind: u16, entries: &[(u32, u32, u64, u64, u64, u64)]) -> ([u8; HEADER], Vec<u8>) {
        let mut header = [0; HEADER];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16..18].copy_from_slice(&kind.to_le_bytes());
        header[18] = 62;
        header[24..32].copy_from_slice(&0x40_0000_u64.to_le_bytes());
        header[32] = 64;
        header[54] = 56;
        header[56..58].copy_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
        let mut bytes = Vec::new();
        for (kind, flags, offset, address, file_len, len) in entries {
            let mut entry = [0; PROGRAM_HEADER];
            entry[..4].copy_from_slice(&kind.to_le_bytes());
            entry[4..8].copy_from_slice(&flags.to_le_bytes());
            for (at, value) in [(8, offset), (16, address), (32, file_len), (40, len)] {
                entry[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            bytes.extend(entry);
        }
        (header, bytes)
    }

    fn parse(entries: &[(u32, u32, u64, u64, u64, u64)]) -> Result<Image, String> {
        let (header, bytes) = elf(2, entries);
        Image::parse(&header, &bytes, 0x10000).map_err(|error| error.to_string())
    }

    const TEXT: (u32, u32, u64, u64, u64, u64) = (1, 5, 0, 0x40_0000, 0x1000, 0x1000);

    #[test]
    fn a_program_is_read() {
        let image = parse(&[TEXT, (1, 6, 0x1000, 0x40_1000, 0x10, 0x2000)]).unwrap();
        assert_eq!(image.headers, (0x40_0040, 2, 56));
        assert_eq!(image.end(), 0x40_3000);
        assert!(image.segments[1].rights.write);
    }

    #[test]
    fn hostile_headers_are_refused() {
        let check = |entries: &[_], expected: &str| {
            let error = parse(entries).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], "malformed");
        check(
            &[(1, 5, 0, 0x40_0000, 0x2_0000, 0x2_0000)],
            "end of the file",
        );
        check(&[(1, 5, u64::MAX, 0x40_0000, 2, 2)], "end of the file");
        check(&[(1, 5, 0, 0x40_0000, 0x20, 0x10)], "end of the file");
        check(&[(1, 5, 0, u64::MAX - 5, 0x10, 0x10)], "address space");
        check(&[(1, 5, 0, 0x7fff_ffff_f000, 0x10, 0x10)], "address space");
        check(&[(1, 7, 0, 0x40_0000, 0x10, 0x10)], "written and executed");
        check(&[TEXT, (1, 6, 0, 0x40_0800, 0x10, 0x10)], "share a page");
        check(&[(1, 4, 0, 0x40_0000, 0x10, 0x10)], "own code");
        check(&[TEXT, (3, 4, 0, 0, 0x10, 0x10)], "dynamically");
        check(&[(1, 5, 0, 0x50_0000, 0x10, 0x10)], "own code");
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let (header, bytes) = elf(2, &[TEXT, (1, 6, 0x1000, 0x40_1000, 0x10, 0x2000)]);
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let (mut header, mut bytes) = (header, bytes.clone());
            for _ in 0..4 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let [value, at, which, ..] = (state >> 24).to_le_bytes();
                let target: &mut [u8] = if which & 1 == 0 {
                    &mut header
                } else {
                    &mut bytes
                };
                let at = usize::from(at) % target.len();
                target[at] = value;
            }
            if super::program_headers(&header).is_ok() {
                let _ = Image::parse(&header, &bytes, 0x10000);
            }
        }
    }
}
