//! Files as another reader of ELF understands them.

use core::fmt;
use std::vec;
use std::vec::Vec;

use object::elf::{ET_CORE, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, LittleEndian};

use super::{Scratch, Source, Write, WriteError, write};
use crate::note::{FX, Registers, Thread, UpperHalves, register};
use crate::segments::{PAGE, PAGE_BYTES};

/// The upper half of YMM0, and so on.
const UPPER: UpperHalves = [[9; 16]; 16];

/// A machine whose pages hold their own numbers.
struct Fake {
    threads: usize,
}

impl Source for Fake {
    fn threads(&mut self, visit: &mut dyn FnMut(&Thread<'_>)) {
        for id in 1..=self.threads {
            let mut registers: Registers = [0; 27];
            registers[register::RIP] = 0x1000 * id as u64;
            registers[register::RSP] = 0x2000 * id as u64;
            let fx = [7; FX];
            visit(&Thread {
                id: u32::try_from(id).unwrap(),
                signal: if id == 1 { 6 } else { 0 },
                registers: &registers,
                fx: (id <= 2).then_some(&fx),
                upper: (id == 1).then_some(&UPPER),
            });
        }
    }

    fn describe(&mut self, out: &mut dyn fmt::Write) {
        let _ = write!(out, "{} threads", self.threads);
    }

    fn page(&mut self, address: u64, page: &mut [u8; PAGE_BYTES]) {
        page.fill(u8::try_from(address / PAGE % 251).unwrap());
    }
}

/// Takes so many bytes.
struct Takes(Vec<u8>, usize);

impl Write for Takes {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= self.1
    }
}

fn file(threads: usize, pages: &[(u64, bool)], room: u64) -> Result<Vec<u8>, WriteError> {
    let mut scratch = Scratch::new();
    for &(page, is_first) in pages {
        scratch.segments.push(page * PAGE, is_first);
    }
    let mut to = Takes(Vec::new(), usize::MAX);
    let len = write(&mut to, &mut Fake { threads }, &mut scratch, room)?;
    assert_eq!(len, to.0.len() as u64);
    Ok(to.0)
}

/// The segments of a file: address, bytes that are there, bytes of memory.
fn loads(file: &[u8]) -> Vec<(u64, Vec<u8>, u64)> {
    let header = FileHeader64::<Endianness>::parse(file).expect("an ELF header");
    assert_eq!(header.e_type(Endianness::Little), ET_CORE);
    let program_headers = header.program_headers(Endianness::Little, file).unwrap();
    let load = |header: &&object::elf::ProgramHeader64<Endianness>| {
        header.p_type(Endianness::Little) == PT_LOAD
    };
    let read = |header: &object::elf::ProgramHeader64<Endianness>| {
        (
            header.p_vaddr(Endianness::Little),
            header.data(Endianness::Little, file).unwrap().to_vec(),
            header.p_memsz(Endianness::Little),
        )
    };
    program_headers.iter().filter(load).map(read).collect()
}

fn notes(file: &[u8]) -> Vec<(Vec<u8>, u32, Vec<u8>)> {
    let header = FileHeader64::<LittleEndian>::parse(file).expect("an ELF header");
    let program_headers = header.program_headers(LittleEndian, file).unwrap();
    let mut found = Vec::new();
    for header in program_headers {
        if header.p_type(LittleEndian) == PT_NOTE {
            let mut notes = header.notes(LittleEndian, file).unwrap().unwrap();
            while let Some(note) = notes.next().unwrap() {
                let desc = note.desc().to_vec();
                found.push((note.name().to_vec(), note.n_type(LittleEndian), desc));
            }
        }
    }
    found
}

#[test]
fn memory_lies_where_the_headers_say() {
    let file = file(2, &[(3, false), (4, false), (9, true)], 1 << 20).unwrap();
    let page = |number: u8| vec![number; PAGE_BYTES];
    let both = [page(3), page(4)].concat();
    // What is kept first comes first.
    let expected = [(9 * PAGE, page(9), PAGE), (3 * PAGE, both, 2 * PAGE)];
    assert_eq!(loads(&file), expected);
}

#[test]
fn zeros_are_in_the_headers_only() {
    let mut scratch = Scratch::new();
    scratch.segments.push(PAGE, false);
    (2..1000).for_each(|page| scratch.segments.push_zeros(page * PAGE));
    let mut to = Takes(Vec::new(), usize::MAX);
    let len = write(&mut to, &mut Fake { threads: 1 }, &mut scratch, 1 << 20);
    assert_eq!(len, Ok(2 * PAGE));
    assert_eq!(loads(&to.0), [(PAGE, vec![1; PAGE_BYTES], 999 * PAGE)]);
}

#[test]
fn each_thread_has_notes_of_what_is_known() {
    let notes = notes(&file(3, &[(1, false)], 1 << 20).unwrap());
    // Of the first all, of the second no AVX registers, of the third no x87 registers either.
    assert_eq!(notes.len(), 3 + 2 + 1 + 1);
    let (name, kind, status) = &notes[0];
    assert_eq!((&name[..], *kind, status.len()), (&b"CORE"[..], 1, 336));
    assert_eq!(status[12..14], [6, 0]);
    assert_eq!(status[32..36], [1, 0, 0, 0]);
    assert_eq!(
        status[112 + 8 * register::RIP..][..8],
        0x1000u64.to_le_bytes()
    );
    assert_eq!(status[328], 1);
    let (name, kind, fx) = &notes[1];
    assert_eq!((&name[..], *kind, &fx[..]), (&b"CORE"[..], 2, &[7; FX][..]));
    let (name, kind, extended) = &notes[2];
    assert_eq!(
        (&name[..], *kind, extended.len()),
        (&b"LINUX"[..], 0x202, 832)
    );
    assert_eq!(extended[..464], [7; 464]);
    for states in [&extended[464..472], &extended[512..520]] {
        assert_eq!(states, [7, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(extended[520..576], [0; 56]);
    assert_eq!(extended[576..], *UPPER.as_flattened());
    assert_eq!((notes[3].2[328], notes[4].1), (1, 2));
    assert_eq!(notes[5].2[328], 0);
    let (name, _, text) = &notes[6];
    assert_eq!((&name[..], &text[..]), (&b"TORO"[..], &b"3 threads"[..]));
}

#[test]
fn what_does_not_fit_is_left_out_and_the_most_useful_is_not() {
    let pages = [(3, false), (4, false), (9, true)];
    let whole = file(2, &pages, u64::MAX).unwrap().len() as u64;
    let file_of = |room| file(2, &pages, room).unwrap();
    let short = file_of(whole - 1);
    assert_eq!(short.len() as u64, whole - PAGE);
    let lens: Vec<_> = loads(&short)
        .iter()
        .map(|load| (load.1.len() as u64, load.2))
        .collect();
    assert_eq!(lens, [(PAGE, PAGE), (PAGE, PAGE)]);
    let shorter = loads(&file_of(whole - 2 * PAGE));
    assert_eq!(
        shorter[0].1.len() as u64,
        PAGE,
        "what is kept first is there"
    );
    assert!(shorter[1].1.is_empty());
    let needed = whole - 3 * PAGE;
    assert!(file(2, &pages, needed).is_ok());
    let none = file(2, &pages, needed - 1);
    assert_eq!(none.unwrap_err(), WriteError::NoRoom(needed));
}

#[test]
fn a_sink_that_fails_is_told() {
    let mut scratch = Scratch::new();
    (1..100).for_each(|page| scratch.segments.push(page * PAGE, false));
    for limit in [0, 100, 5000, 50_000] {
        let mut to = Takes(Vec::new(), limit);
        let written = write(&mut to, &mut Fake { threads: 1 }, &mut scratch, 1 << 30);
        assert_eq!(written, Err(WriteError::Lost));
        // It is not asked again once it has failed.
        assert!(to.0.len() <= limit + PAGE_BYTES);
    }
}
