//! Puts a program into the guest's memory.

use std::fs::File;
use std::os::fd::AsFd as _;

use torov_abi::word::{page_down, page_up};
use torov_abi::{Errno, PAGE};
use torov_host as host;
use torov_memory::{Memory, Place};

use crate::elf::{Image, Segment};

/// Where a program that can lie anywhere is put, before chance has its say.
const MOVABLE: u64 = 0x5555_5555_0000;

/// Loads the segments and says where the heap begins. Returns how far the program was moved.
///
/// # Errors
/// `ENOMEM` if the program does not fit into its memory limit, or what reading the file says.
pub(crate) fn load(memory: &Memory, file: &File, image: &Image, chance: u64) -> Result<u64, Errno> {
    let bias = if image.is_movable {
        MOVABLE + chance % (1 << 28) * PAGE
    } else {
        0
    };
    for segment in &image.segments {
        place(memory, file, segment, bias)?;
    }
    let end = page_up(bias + image.end()).ok_or(Errno::ENOMEM)?;
    memory.set_heap(end + chance % 1024 * PAGE);
    Ok(bias)
}

fn place(memory: &Memory, file: &File, segment: &Segment, bias: u64) -> Result<(), Errno> {
    let address = bias + segment.address;
    let start = page_down(address);
    let len = address + segment.len - start;
    memory.map(Place::IfFree(start), len, segment.rights, "program")?;
    let mut done = 0;
    while done < segment.file_len {
        let piece = (segment.file_len - done).min(1 << 20);
        let spans = memory.loading_spans(address + done, piece)?;
        let offset = i64::try_from(segment.offset + done).map_err(|_| Errno::EOVERFLOW)?;
        match host::read_at(file.as_fd(), &spans, offset)? {
            0 => return Err(Errno::EIO),
            got => done += got,
        }
    }
    Ok(())
}
