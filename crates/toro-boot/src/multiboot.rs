//! The multiboot2 description: a list of tags in memory (Multiboot2 Specification 2.0, 3.6).

use crate::info::BootInfo;
use crate::ranges::Range;

/// Bytes of the description before the first tag: its size, and a word that is reserved.
const HEADER_LEN: usize = 8;
/// Bytes of a tag before its content: type and size.
const TAG_LEN: usize = 8;

const COMMAND_LINE: u32 = 1;
const MODULE: u32 = 3;
const MEMORY_MAP: u32 = 6;
/// A copy of ACPI's root pointer, of version 1 or of a later one.
const RSDP_1: u32 = 14;
const RSDP_2: u32 = 15;

/// The type of usable memory in the map.
const RAM: u32 = 1;

/// Reads the description at `address` into `info`.
///
/// # Safety
/// A multiboot2 loader must have entered the image with this address, and its memory must be mapped and unchanged.
#[cfg(not(test))]
pub(crate) unsafe fn read(address: u64, info: &mut BootInfo) {
    // SAFETY: the caller's duty: the description begins with its size.
    let len = unsafe { *(address as *const u32) };
    // SAFETY: the caller's duty: so many bytes are the description.
    let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) };
    // ACPI's pointer is a copy inside the description, so that has to stay.
    info.reserved.push(Range::sized(address, u64::from(len)));
    read_tags(address, bytes, info);
}

/// Reads the tags of the description `bytes`, which lies at `address`. What is cut off or too short is left out.
fn read_tags(address: u64, bytes: &[u8], info: &mut BootInfo) {
    let mut at = HEADER_LEN;
    while let (Some(kind), Some(len)) = (word(bytes, at), word(bytes, at + 4)) {
        let len = len as usize;
        let Some(content) = bytes.get(at + TAG_LEN..at.saturating_add(len)) else {
            return;
        };
        match kind {
            COMMAND_LINE => {
                let end = content.iter().position(|byte| *byte == 0);
                info.set_command_line(&content[..end.unwrap_or(content.len())]);
            }
            MODULE => {
                if let (Some(start), Some(end)) = (word(content, 0), word(content, 4)) {
                    let (start, end) = (u64::from(start), u64::from(end));
                    info.push_module(Range { start, end });
                }
            }
            MEMORY_MAP => read_map(content, info),
            RSDP_2 => info.rsdp = Some(address + (at + TAG_LEN) as u64),
            RSDP_1 => {
                let place = address + (at + TAG_LEN) as u64;
                info.rsdp = info.rsdp.or(Some(place));
            }
            _ => {}
        }
        // Tags begin at multiples of eight. The last one has no content and the type 0, which says nothing here.
        at += len.next_multiple_of(8);
    }
}

/// Reads the memory map: the size of an entry, a version, and entries of address, length and type.
fn read_map(map: &[u8], info: &mut BootInfo) {
    let Some(size @ 20..) = word(map, 0).map(|size| size as usize) else {
        return;
    };
    for entry in map.get(8..).unwrap_or_default().chunks_exact(size) {
        if let (Some(start), Some(len), Some(RAM)) =
            (long(entry, 0), long(entry, 8), word(entry, 16))
        {
            info.ram.push(Range::sized(start, len));
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let long = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*long))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn tag(kind: u32, content: &[u8]) -> Vec<u8> {
        let len = u32::try_from(TAG_LEN + content.len()).expect("it is short");
        let mut tag = [kind.to_le_bytes(), len.to_le_bytes()].concat();
        tag.extend(content);
        tag.resize(tag.len().next_multiple_of(8), 0xee);
        tag
    }

    fn description() -> Vec<u8> {
        let area = |start: u64, len: u64, kind: u64| {
            [start.to_le_bytes(), len.to_le_bytes(), kind.to_le_bytes()].concat()
        };
        let map = [
            [24, 0, 0, 0, 0, 0, 0, 0].to_vec(),
            area(0, 0x9_f000, 1),
            area(0xf_0000, 0x1_0000, 2),
            area(0x10_0000, 0x700_0000, 1),
        ];
        let tags = [
            tag(COMMAND_LINE, b"log=debug -- x\0"),
            tag(2, b"a loader\0"),
            tag(RSDP_2, b"RSD PTR two"),
            tag(RSDP_1, b"RSD PTR one"),
            tag(MEMORY_MAP, &map.concat()),
            tag(0, b""),
        ];
        [vec![0; HEADER_LEN], tags.concat()].concat()
    }

    fn read_of(bytes: &[u8]) -> BootInfo {
        let mut info = BootInfo::empty();
        read_tags(0x1000, bytes, &mut info);
        info
    }

    #[test]
    fn reads_what_a_loader_says() {
        let bytes = description();
        let info = read_of(&bytes);
        let words: Vec<_> = info.command_line().words().collect();
        assert_eq!(words, ["log=debug"]);
        let ram: Vec<_> = info
            .ram
            .iter()
            .map(|range| (range.start, range.end))
            .collect();
        assert_eq!(ram, [(0, 0x9_f000), (0x10_0000, 0x710_0000)]);
        let place = usize::try_from(info.rsdp.expect("there is one") - 0x1000).expect("near");
        assert_eq!(&bytes[place..place + 11], b"RSD PTR two");
    }

    #[test]
    fn a_description_that_ends_anywhere_is_read_up_to_there() {
        let bytes = description();
        for len in 0..bytes.len() {
            let info = read_of(&bytes[..len]);
            assert!(info.ram.iter().count() <= 2);
        }
    }

    #[test]
    fn sizes_that_lie_end_the_list() {
        for (at, byte) in [(12, 0), (12, 0xff), (15, 0xff)] {
            let mut bytes = description();
            bytes[at] = byte;
            assert!(read_of(&bytes).ram.iter().count() <= 2);
        }
    }
}
