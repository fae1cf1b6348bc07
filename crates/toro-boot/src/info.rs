//! [`BootInfo`]: what the loader said, the same from every door.

use core::slice;

use crate::command_line::CommandLine;
use crate::ranges::{Range, Ranges};

/// Who loaded the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// A virtual machine monitor, through the PVH entry.
    Pvh,
    /// A boot loader that speaks multiboot2.
    Multiboot2,
}

/// A file that was loaded beside the image.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Its bytes, for as long as the image runs.
    pub bytes: &'static [u8],
}

/// The most modules that are kept.
pub(crate) const MODULES: usize = 8;
/// The longest command line that is kept, in bytes.
const COMMAND_LINE: usize = 4096;

/// What the loader said.
#[derive(Debug)]
pub struct BootInfo {
    /// Who loaded the image.
    pub loader: Loader,
    /// The time stamp counter at the first instruction.
    pub entry_tsc: u64,
    /// The RAM that the firmware left to us, as it lies there: image and modules included.
    pub ram: Ranges,
    /// What of it is in use before the first allocation: image, modules, the loader's tables, the first 64 KiB.
    pub reserved: Ranges,
    /// Where ACPI begins, if the loader knows.
    pub rsdp: Option<u64>,
    pub(crate) modules: [Option<Module>; MODULES],
    command_line: [u8; COMMAND_LINE],
    command_line_len: usize,
}

impl BootInfo {
    /// The command line.
    pub fn command_line(&self) -> CommandLine<'_> {
        CommandLine::new(&self.command_line[..self.command_line_len])
    }

    /// The files that were loaded beside the image.
    pub fn modules(&self) -> impl Iterator<Item = Module> + '_ {
        self.modules.iter().flatten().copied()
    }

    /// The RAM that is free, in whole pages.
    pub fn free_ram(&self) -> Ranges {
        self.ram.without(&self.reserved)
    }

    pub(crate) const fn empty() -> Self {
        Self {
            loader: Loader::Pvh,
            entry_tsc: 0,
            ram: Ranges::new(),
            reserved: Ranges::new(),
            rsdp: None,
            modules: [None; MODULES],
            command_line: [0; COMMAND_LINE],
            command_line_len: 0,
        }
    }

    pub(crate) fn set_command_line(&mut self, text: &[u8]) {
        let len = text.len().min(COMMAND_LINE);
        self.command_line[..len].copy_from_slice(&text[..len]);
        self.command_line_len = len;
    }

    /// Adds a module, and reserves the memory that it lies in. More than eight are not kept.
    pub(crate) fn push_module(&mut self, range: Range) {
        let free = self.modules.iter_mut().find(|slot| slot.is_none());
        if let (Some(slot), false, Ok(len)) = (free, range.is_empty(), usize::try_from(range.len()))
        {
            // SAFETY: the loader put `len` bytes there; the range is reserved, so nobody writes to it.
            let bytes = unsafe { slice::from_raw_parts(range.start as *const u8, len) };
            *slot = Some(Module { bytes });
            self.reserved.push(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_modules_and_takes_them_out_of_the_free_ram() {
        static MODULE: [u8; 3] = *b"abc";
        let start = MODULE.as_ptr() as u64;
        let mut info = BootInfo::empty();
        info.ram.push(Range {
            start: (start & !0xFFF) - 0x1000,
            end: (start & !0xFFF) + 0x3000,
        });
        info.push_module(Range { start, end: start });
        info.push_module(Range::sized(start, 3));
        assert!(info.modules().map(|module| module.bytes).eq([&MODULE[..]]));
        assert!(info.free_ram().total() <= 0x3000);
    }

    #[test]
    fn cuts_a_command_line_that_is_too_long() {
        let mut info = BootInfo::empty();
        info.set_command_line(&[b'x'; COMMAND_LINE + 1]);
        assert_eq!(info.command_line().as_str().len(), COMMAND_LINE);
    }
}
