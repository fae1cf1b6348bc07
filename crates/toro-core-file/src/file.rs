//! [`write`]: the file, front to back.

use core::fmt;

use crate::note::{self, FX, Thread};
use crate::segments::{PAGE, PAGE_BYTES, Segment, Segments};

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const LOAD: u32 = 1;
const NOTE: u32 = 4;
const READ: u32 = 4;
const WRITE: u32 = 2;

/// Where the file goes.
pub trait Write {
    /// Takes all of `bytes`; `false` if that could not be, and then the file is lost.
    fn write(&mut self, bytes: &[u8]) -> bool;
}

/// What is written down. Each call must tell the same.
pub trait Source {
    /// Calls `visit` with each thread. A debugger begins with the first.
    fn threads(&mut self, visit: &mut dyn FnMut(&Thread<'_>));

    /// Says for people what there is to say.
    fn describe(&mut self, out: &mut dyn fmt::Write);

    /// Reads the page at `address`; zeros where there is none.
    fn page(&mut self, address: u64, page: &mut [u8; PAGE_BYTES]);
}

/// Memory for the work, so that little of a stack is needed.
#[derive(Debug)]
pub struct Scratch {
    /// What is to be kept.
    pub segments: Segments,
    page: [u8; PAGE_BYTES],
}

impl Scratch {
    /// With no memory to be kept.
    pub const fn new() -> Self {
        Self {
            segments: Segments::new(),
            page: [0; PAGE_BYTES],
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Why there is no core file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// There is no room for the threads alone, which take so many bytes.
    NoRoom(u64),
    /// Not all of it could be written.
    Lost,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(needed) => write!(f, "there is less room than {needed} bytes"),
            Self::Lost => f.write_str("what takes it has failed"),
        }
    }
}

impl core::error::Error for WriteError {}

/// Counts the bytes of a text.
struct Count(usize);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Hands bytes on until that fails, and counts them.
struct Output<'a> {
    to: &'a mut dyn Write,
    done: u64,
    is_lost: bool,
}

impl Output<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.is_lost = self.is_lost || !self.to.write(bytes);
        self.done += bytes.len() as u64;
    }

    fn zeros(&mut self, len: u64) {
        (0..len).for_each(|_| self.bytes(&[0]));
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// Where everything lies in the file.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Bytes of the notes of threads.
    threads: usize,
    /// Bytes of the text for people.
    text: usize,
    /// Where the notes begin, and where the memory does.
    notes: u64,
    memory: u64,
    /// How many bytes of memory there is room for.
    room: u64,
}

impl Plan {
    fn new(source: &mut dyn Source, segments: &Segments, room: u64) -> Result<Self, WriteError> {
        let (mut threads, mut text) = (0, Count(0));
        source.threads(&mut |thread| threads += note::len(thread));
        source.describe(&mut text);
        let notes = (HEADER + PROGRAM_HEADER * (1 + segments.all().len())) as u64;
        let len = (threads + note::size(text.0)) as u64;
        let memory = (notes + len).next_multiple_of(PAGE);
        let left = room.checked_sub(memory).ok_or(WriteError::NoRoom(memory))?;
        Ok(Self {
            threads,
            text: text.0,
            notes,
            memory,
            room: left & !(PAGE - 1),
        })
    }

    /// Calls `visit` with each segment in the order in which they are written, with its place in the file and how much of it fits.
    fn place(&self, segments: &Segments, visit: &mut dyn FnMut(&Segment, u64, u64)) {
        let (mut at, mut left) = (self.memory, self.room);
        for is_first in [true, false] {
            let kind = |segment: &&Segment| segment.is_first == is_first;
            for segment in segments.all().iter().filter(kind) {
                let len = segment.len().min(left);
                visit(segment, at, len);
                (at, left) = (at + len, left - len);
            }
        }
    }
}

/// Writes the core file of `source` with the memory that `scratch` names, at most `room` bytes. Returns its length.
///
/// # Errors
/// Fails if there is no room for the threads, or `to` does not take all.
pub fn write(
    to: &mut dyn Write,
    source: &mut dyn Source,
    scratch: &mut Scratch,
    room: u64,
) -> Result<u64, WriteError> {
    let Scratch { segments, page } = scratch;
    let plan = Plan::new(source, segments, room)?;
    let mut out = Output {
        to,
        done: 0,
        is_lost: false,
    };
    headers(&mut out, &plan, segments);
    notes(&mut out, &plan, source);
    out.zeros(plan.memory - out.done);
    plan.place(segments, &mut |segment, _, len| {
        let pages = segment.start..segment.start + len;
        for address in pages.step_by(PAGE_BYTES) {
            if !out.is_lost {
                source.page(address, page);
                out.bytes(page);
            }
        }
    });
    match out.is_lost {
        true => Err(WriteError::Lost),
        false => Ok(out.done),
    }
}

fn headers(out: &mut Output<'_>, plan: &Plan, segments: &Segments) {
    let mut header = [0; HEADER];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    // 64 bits, little endian, version 1.
    put(0, b"\x7fELF\x02\x01\x01");
    let count = u16::try_from(1 + segments.all().len()).unwrap_or(u16::MAX);
    // ET_CORE, EM_X86_64, version 1.
    for (at, half) in [(16, 4), (18, 62), (20, 1), (52, 64), (54, 56), (56, count)] {
        put(at, &u16::to_le_bytes(half));
    }
    put(32, &(HEADER as u64).to_le_bytes());
    out.bytes(&header);
    let len = (plan.threads + note::size(plan.text)) as u64;
    out.bytes(&program_header([NOTE, READ], [plan.notes, 0, len, 0, 4]));
    plan.place(segments, &mut |segment, at, len| {
        // What was cut off is not there, what is zero is.
        let in_memory = match len == segment.len() {
            true => segment.until - segment.start,
            false => len,
        };
        let words = [at, segment.start, len, in_memory, PAGE];
        out.bytes(&program_header([LOAD, READ | WRITE], words));
    });
}

/// A program header of this kind and these rights; of offset, address, length in the file and in memory, and alignment.
fn program_header(kind: [u32; 2], words: [u64; 5]) -> [u8; PROGRAM_HEADER] {
    let mut bytes = [0; PROGRAM_HEADER];
    let [offset, address, rest @ ..] = words;
    let (halves, places) = bytes.split_at_mut(8);
    for (place, word) in halves.as_chunks_mut().0.iter_mut().zip(kind) {
        *place = word.to_le_bytes();
    }
    // Memory is mapped one to one.
    let words = [offset, address, address].into_iter().chain(rest);
    for (place, word) in places.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    bytes
}

fn notes(out: &mut Output<'_>, plan: &Plan, source: &mut dyn Source) {
    let mut left = plan.threads;
    source.threads(&mut |thread| {
        // No more than were counted, whatever the source says.
        if let Some(rest) = left.checked_sub(note::len(thread)) {
            left = rest;
            let status = note::status(thread);
            out.bytes(&note::head(note::CORE, note::PRSTATUS, status.len()));
            out.bytes(&status);
            if let Some(fx) = thread.fx {
                out.bytes(&note::head(note::CORE, note::FPREGSET, FX));
                out.bytes(fx);
            }
            if let Some(extended) = note::extended(thread) {
                out.bytes(&note::head(note::LINUX, note::XSTATE, extended.len()));
                out.bytes(&extended);
            }
        }
    });
    out.zeros(left as u64);
    out.bytes(&note::head(note::TORO, 1, plan.text));
    let begin = out.done;
    source.describe(out);
    debug_assert_eq!(out.done - begin, plan.text as u64, "it says the same twice");
    out.zeros((plan.text.next_multiple_of(4) - plan.text) as u64);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
