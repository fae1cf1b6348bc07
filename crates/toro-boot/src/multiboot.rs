//! The multiboot2 description, read by the crate of that name.

use multiboot2::{BootInformation, BootInformationHeader, MemoryAreaType};

use crate::info::BootInfo;
use crate::ranges::Range;

/// Reads the description at `address` into `info`.
///
/// # Safety
/// A multiboot2 loader must have entered the image with this address, and its memory must be mapped and unchanged.
pub(crate) unsafe fn read(address: u64, info: &mut BootInfo) {
    // SAFETY: the caller's duty.
    let Ok(boot) = (unsafe { BootInformation::load(address as *const BootInformationHeader) })
    else {
        return;
    };
    // ACPI's pointer is a copy inside the description, so that has to stay.
    info.reserved
        .push(Range::sized(address, boot.total_size() as u64));
    if let Some(Ok(text)) = boot.command_line_tag().map(|tag| tag.cmdline()) {
        info.set_command_line(text.as_bytes());
    }
    info.rsdp = match (boot.rsdp_v2_tag(), boot.rsdp_v1_tag()) {
        // Behind the tag's type and size, 4 bytes each, lies the structure itself.
        (Some(tag), _) => Some(&raw const *tag as *const u8 as u64 + 8),
        (None, Some(tag)) => Some(&raw const *tag as *const u8 as u64 + 8),
        (None, None) => None,
    };
    for module in boot.module_tags() {
        info.push_module(Range {
            start: u64::from(module.start_address()),
            end: u64::from(module.end_address()),
        });
    }
    let areas = boot
        .memory_map_tag()
        .map_or(&[][..], |tag| tag.memory_areas());
    for area in areas {
        if area.typ() == MemoryAreaType::Available {
            info.ram
                .push(Range::sized(area.start_address(), area.size()));
        }
    }
}
