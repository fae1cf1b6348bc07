//! Writes what is left of a program as an ELF core file (elf(5), core(5)): its threads, the one that failed first, and the
//! memory.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use torov_abi::word::wide;
use torov_abi::{PAGE, Signal};
use torov_calls::Remains;
use torov_memory::{Memory, Rights};
use torov_vcpu::{Registers, extended};

/// How many pieces of memory a file has at most: its header counts them in 16 bits.
const MOST: usize = 60_000;

const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_X86_XSTATE: u32 = 0x202;

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// What is left of a program but its memory.
#[derive(Debug)]
pub(crate) struct Dead<'a> {
    /// What it died of.
    pub(crate) signal: Signal,
    /// Its threads, the one that failed first.
    pub(crate) threads: Vec<Remains>,
    /// Its auxiliary vector.
    pub(crate) auxiliary: &'a [u8],
    /// Its name.
    pub(crate) name: &'a str,
}

/// Writes the file. What the program reserved and never touched is left out.
///
/// # Errors
/// What the host says to writing.
pub(crate) fn write(file: &File, dead: &Dead<'_>, memory: &Memory) -> io::Result<()> {
    let notes = notes(dead);
    let mut pieces: Vec<(u64, u64, Rights)> = Vec::new();
    for area in memory.areas() {
        let runs = memory.backed(area.start, area.end);
        pieces.extend(runs.iter().map(|(at, len)| (*at, *len, area.rights)));
    }
    pieces.truncate(MOST);
    let count = wide(pieces.len()) + 1;
    let notes_at = HEADER + PROGRAM_HEADER * count;
    let mut at = (notes_at + wide(notes.len())).next_multiple_of(PAGE);
    let mut head = header(count);
    head.extend(program_header((4, 0), notes_at, 0, wide(notes.len())));
    for (address, len, rights) in &pieces {
        let flags = u32::from(rights.read) << 2 | u32::from(rights.write) << 1;
        let flags = flags | u32::from(rights.execute);
        head.extend(program_header((1, flags), at, *address, *len));
        at += len;
    }
    head.extend(notes);
    head.resize(head.len().next_multiple_of(4096), 0);
    let mut out = BufWriter::new(file);
    out.write_all(&head)?;
    let mut page = [0; 4096];
    for (address, len, _) in pieces {
        for at in (address..address + len).step_by(4096) {
            if !memory.peek(at, &mut page) {
                // Another thread gave it back meanwhile.
                page.fill(0);
            }
            out.write_all(&page)?;
        }
    }
    out.flush()
}

fn header(count: u64) -> Vec<u8> {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    let mut bytes = vec![0; 64];
    let mut put = |at: usize, piece: &[u8]| bytes[at..at + piece.len()].copy_from_slice(piece);
    // 64 bits, little-endian, version 1; a core file for x86-64.
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &4_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    put(32, &HEADER.to_le_bytes());
    put(52, &64_u16.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &count.to_le_bytes());
    bytes
}

/// One of kind `kind.0` with the flags `kind.1`: `len` bytes at `offset` of the file, which lay at `address`.
fn program_header(kind: (u32, u32), offset: u64, address: u64, len: u64) -> Vec<u8> {
    let align = if kind.0 == 1 { PAGE } else { 4 };
    let mut bytes = Vec::with_capacity(56);
    bytes.extend(kind.0.to_le_bytes());
    bytes.extend(kind.1.to_le_bytes());
    for word in [offset, address, 0, len, len, align] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

fn notes(dead: &Dead<'_>) -> Vec<u8> {
    let mut notes = Vec::new();
    for (at, thread) in dead.threads.iter().enumerate() {
        let status = status(thread, dead.signal);
        note(&mut notes, b"CORE", NT_PRSTATUS, &status);
        if at == 0 {
            let process = process(thread.tid, dead.name);
            note(&mut notes, b"CORE", NT_PRPSINFO, &process);
            note(&mut notes, b"CORE", NT_AUXV, dead.auxiliary);
        }
        if let Some(old) = thread.extended.get(..512) {
            note(&mut notes, b"CORE", NT_FPREGSET, old);
            let image = extended::for_core(&thread.extended);
            note(&mut notes, b"LINUX", NT_X86_XSTATE, &image);
        }
    }
    notes
}

fn note(notes: &mut Vec<u8>, owner: &[u8], kind: u32, text: &[u8]) {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0);
    notes.extend((len(owner) + 1).to_le_bytes());
    notes.extend(len(text).to_le_bytes());
    notes.extend(kind.to_le_bytes());
    notes.extend(owner);
    notes.push(0);
    notes.resize(notes.len().next_multiple_of(4), 0);
    notes.extend(text);
    notes.resize(notes.len().next_multiple_of(4), 0);
}

/// `struct elf_prstatus`.
fn status(thread: &Remains, signal: Signal) -> Vec<u8> {
    let mut bytes = vec![0; 336];
    let signal = signal.number();
    bytes[0] = signal;
    bytes[12] = signal;
    bytes[32..36].copy_from_slice(&thread.tid.to_le_bytes());
    let words = registers(&thread.registers, thread.bases);
    for (place, word) in bytes[112..328].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes[328] = u8::from(!thread.extended.is_empty());
    bytes
}

/// `struct user_regs_struct`.
fn registers(registers: &Registers, bases: [u64; 2]) -> [u64; 27] {
    let r = registers;
    [
        r.r15,
        r.r14,
        r.r13,
        r.r12,
        r.rbp,
        r.rbx,
        r.r11,
        r.r10,
        r.r9,
        r.r8,
        r.rax,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        u64::MAX,
        r.rip,
        0x33,
        r.rflags,
        r.rsp,
        0x2b,
        bases[0],
        bases[1],
        0,
        0,
        0,
        0,
    ]
}

/// `struct elf_prpsinfo`.
fn process(pid: i32, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; 136];
    bytes[24..28].copy_from_slice(&pid.to_le_bytes());
    for (at, room) in [(40, 15), (56, 79)] {
        let len = name.len().min(room);
        bytes[at..at + len].copy_from_slice(&name.as_bytes()[..len]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{header, note, program_header};

    #[test]
    fn headers_have_their_lengths() {
        assert_eq!(header(3).len(), 64);
        assert_eq!(header(3)[56], 3);
        assert_eq!(program_header((1, 5), 4096, 0x40_0000, 8192).len(), 56);
    }

    #[test]
    fn notes_are_padded() {
        let mut notes = Vec::new();
        note(&mut notes, b"CORE", 1, &[9; 5]);
        assert_eq!(notes[..12], [5, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(notes[12..20], *b"CORE\0\0\0\0");
        assert_eq!(notes.len(), 28);
    }
}
