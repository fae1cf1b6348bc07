//! The PVH description: `hvm_start_info` of Xen's `public/arch-x86/hvm/start_info.h`.

use core::ffi::CStr;

use crate::info::BootInfo;
use crate::ranges::Range;

const MAGIC: u32 = 0x336E_C578;
/// The type of usable memory in the map.
const RAM: u32 = 1;

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

#[repr(C)]
struct ModuleEntry {
    address: u64,
    size: u64,
    command_line: u64,
    _reserved: u64,
}

#[repr(C)]
struct MemoryEntry {
    address: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

/// Reads the description at `address` into `info`.
///
/// # Safety
/// A PVH loader must have entered the image with this address, and its memory must be mapped and unchanged.
pub(crate) unsafe fn read(address: u64, info: &mut BootInfo) {
    // SAFETY: the caller's duty.
    let start = unsafe { &*(address as *const StartInfo) };
    if start.magic != MAGIC {
        return;
    }
    if start.command_line != 0 {
        // SAFETY: the caller's duty: the loader ends the text with a NUL.
        let text = unsafe { CStr::from_ptr(start.command_line as *const _) };
        info.set_command_line(text.to_bytes());
    }
    info.rsdp = (start.rsdp != 0).then_some(start.rsdp);
    for index in 0..u64::from(start.modules) {
        let entry =
            (start.module_list + index * size_of::<ModuleEntry>() as u64) as *const ModuleEntry;
        // SAFETY: the caller's duty: the list has that many entries.
        let module = unsafe { &*entry };
        info.push_module(Range::sized(module.address, module.size));
    }
    // Version 0 has no memory map, and nothing since 2018 passes it.
    let entries = if start.version >= 1 {
        u64::from(start.memory_map_entries)
    } else {
        0
    };
    for index in 0..entries {
        let entry =
            (start.memory_map + index * size_of::<MemoryEntry>() as u64) as *const MemoryEntry;
        // SAFETY: the caller's duty: the map has that many entries.
        let memory = unsafe { &*entry };
        if memory.kind == RAM {
            info.ram.push(Range::sized(memory.address, memory.size));
        }
    }
}
