//! Puts a program into the guest's memory.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd as _;

use torov_abi::word::{page_down, page_up, size};
use torov_abi::{Errno, PAGE};
use torov_host as host;
use torov_memory::{Memory, Place};
use torov_policy::{Mode, Profile};

use crate::elf::{Image, Segment};

/// Where a program that can lie anywhere is put, before chance has its say.
const MOVABLE: u64 = 0x5555_5555_0000;

/// How much is brought at once: what a malformed file claims to have takes no room before the limit of memory is met.
const PIECE: u64 = 1 << 20;

/// How what nobody writes to comes from the file into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is copied.
    Copied,
    /// It is mapped: pages that are not looked at cost nothing, and all programs of the file share the others.
    Mapped,
}

impl Way {
    /// The way for `file` below `profile`. What is mapped changes with the file, so it is not where the program itself could write to it;
    /// and the host may not let a file of any kind be mapped.
    pub(crate) fn of(file: &File, profile: &Profile) -> Self {
        let writes = profile.mounts.iter().any(|mount| mount.mode == Mode::Rw);
        if writes || !host::holds_plain_files(file.as_fd()) {
            Self::Copied
        } else {
            Self::Mapped
        }
    }
}

/// Loads the segments and says where the heap begins. Returns how far the program was moved.
///
/// # Errors
/// `ENOMEM` if the program does not fit into its memory limit, or what reading the file says.
pub(crate) fn load(
    memory: &Memory,
    file: &File,
    image: &Image,
    (way, chance): (Way, u64),
) -> Result<u64, Errno> {
    let bias = if image.is_movable {
        MOVABLE + chance % (1 << 28) * PAGE
    } else {
        0
    };
    for segment in &image.segments {
        place(memory, file, segment, (way, bias))?;
    }
    let end = page_up(bias + image.end()).ok_or(Errno::ENOMEM)?;
    memory.set_heap(end + chance % 1024 * PAGE);
    Ok(bias)
}

fn place(
    memory: &Memory,
    file: &File,
    segment: &Segment,
    (way, bias): (Way, u64),
) -> Result<(), Errno> {
    const NAME: &str = "program";
    let address = bias + segment.address;
    let start = page_down(address);
    let end = page_up(address + segment.len).ok_or(Errno::ENOMEM)?;
    let held = address + segment.file_len;
    // Whole pages of the file, which begin where pages of memory do.
    let whole = page_up(address).ok_or(Errno::ENOMEM)?..page_down(held);
    let offset = segment.offset + (whole.start - address);
    let maps = way == Way::Mapped && !segment.rights.write && offset.is_multiple_of(PAGE);
    if !maps || whole.is_empty() {
        memory.map(Place::IfFree(start), end - start, segment.rights, NAME)?;
        return copy(memory, file, segment, (bias, address..held));
    }
    memory.map_empty((start, end), segment.rights, NAME)?;
    for at in whole.clone().step_by(size(PIECE)) {
        let end = whole.end.min(at + PIECE);
        let pages: Vec<u64> = (at..end).step_by(size(PAGE)).collect();
        memory.adopt(file.as_fd(), offset + (at - whole.start), &pages)?;
    }
    copy(memory, file, segment, (bias, address..whole.start))?;
    copy(memory, file, segment, (bias, whole.end..held))
}

/// Copies `range` of a segment that was moved by `bias` out of the file.
fn copy(
    memory: &Memory,
    file: &File,
    segment: &Segment,
    (bias, range): (u64, Range<u64>),
) -> Result<(), Errno> {
    let mut at = range.start;
    while at < range.end {
        let piece = (range.end - at).min(PIECE);
        let spans = memory.loading_spans(at, piece)?;
        let offset = segment.offset + (at - bias - segment.address);
        let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        match host::read_at(file.as_fd(), &spans, offset)? {
            0 => return Err(Errno::EIO),
            got => at += got,
        }
    }
    Ok(())
}
