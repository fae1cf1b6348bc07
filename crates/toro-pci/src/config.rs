//! [`ConfigSpace`]: the 256 bytes that each function shows, by I/O port ([`PortConfig`]) or window ([`EcamConfig`]).

use core::fmt;
use core::ptr::NonNull;

use x86_64::instructions::port::Port;

/// Where a function sits: bus, device (0–31) and function (0–7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    bus: u8,
    /// Device in the upper five bits, function in the lower three, as in the hardware's own numbering.
    slot: u8,
}

impl Address {
    /// The function at these numbers; only the low five bits of `device` and three of `function` count.
    pub const fn new(bus: u8, device: u8, function: u8) -> Self {
        Self {
            bus,
            slot: (device << 3) | (function & 7),
        }
    }

    /// The bus.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// The device on its bus.
    pub const fn device(self) -> u8 {
        self.slot >> 3
    }

    /// The function of its device.
    pub const fn function(self) -> u8 {
        self.slot & 7
    }

    /// Bus, device and function as one number, as requester ids have it.
    fn index(self) -> u32 {
        u32::from(self.bus) << 8 | u32::from(self.slot)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{}",
            self.bus,
            self.device(),
            self.function()
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value that is narrower than a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Eight bits.
    Byte(u8),
    /// Sixteen bits, at an even offset.
    Half(u16),
}

/// Access to the configuration space of all functions of a machine.
///
/// The two low bits of an offset are ignored. A function that is not there reads as all ones.
pub trait ConfigSpace {
    /// Reads the 32-bit word at `offset`.
    fn read(&self, function: Address, offset: u8) -> u32;

    /// Writes the 32-bit word at `offset`.
    fn write(&self, function: Address, offset: u8, value: u32);

    /// Writes only a part of the word, at `offset` exactly: for devices that tell accesses apart by their width.
    fn write_part(&self, function: Address, offset: u8, value: Part);
}

/// Configuration access by the I/O ports 0xCF8 (address) and 0xCFC (data), which every PC has.
#[derive(Debug)]
pub struct PortConfig(());

impl PortConfig {
    const ADDRESS: u16 = 0xcf8;
    const DATA: u16 = 0xcfc;

    /// Takes the two ports.
    ///
    /// # Safety
    /// 1. The program runs on the bare machine, where it may use I/O ports.
    /// 2. Nobody else uses the two ports while the value lives: an access is two steps.
    pub const unsafe fn new() -> Self {
        Self(())
    }

    fn select(function: Address, offset: u8) {
        let address = 1 << 31 | function.index() << 8 | u32::from(offset & !3);
        // SAFETY: selecting a configuration address moves no data, and `new`'s caller gave us the ports.
        unsafe { Port::new(Self::ADDRESS).write(address) };
    }
}

impl ConfigSpace for PortConfig {
    fn read(&self, function: Address, offset: u8) -> u32 {
        Self::select(function, offset);
        // SAFETY: reading configuration space changes no memory, and `new`'s caller gave us the ports.
        unsafe { Port::new(Self::DATA).read() }
    }

    fn write(&self, function: Address, offset: u8, value: u32) {
        Self::select(function, offset);
        // SAFETY: `new`'s caller gave us the ports; what is written is this crate's business and argued there.
        unsafe { Port::new(Self::DATA).write(value) };
    }

    fn write_part(&self, function: Address, offset: u8, value: Part) {
        Self::select(function, offset);
        let port = Self::DATA + u16::from(offset & 3);
        match value {
            // SAFETY: as in `write`; each byte of the word has a port.
            Part::Byte(value) => unsafe { Port::new(port).write(value) },
            // SAFETY: as above.
            Part::Half(value) => unsafe { Port::new(port & !1).write(value) },
        }
    }
}

/// Configuration access by the memory window (ECAM) that the ACPI table MCFG names.
#[derive(Debug)]
pub struct EcamConfig {
    base: NonNull<u8>,
    first_bus: u8,
    last_bus: u8,
}

impl EcamConfig {
    /// Takes the window in which `base` is the first function of bus `first_bus`.
    ///
    /// # Safety
    /// 1. `base` is a mapped ECAM window of 1 MiB for each bus from `first_bus` to `last_bus`.
    /// 2. Nobody else writes to the window while the value lives.
    pub const unsafe fn new(base: NonNull<u8>, first_bus: u8, last_bus: u8) -> Self {
        Self {
            base,
            first_bus,
            last_bus,
        }
    }

    fn register(&self, function: Address, offset: u8) -> Option<NonNull<u32>> {
        if !(self.first_bus..=self.last_bus).contains(&function.bus()) {
            return None;
        }
        let row = function.index() - (u32::from(self.first_bus) << 8);
        let byte = ((row as usize) << 12) | usize::from(offset & !3);
        // SAFETY: the bus was checked, so `byte` lies inside the window that duty 1 of `new` promises.
        Some(unsafe { self.base.add(byte) }.cast())
    }
}

impl ConfigSpace for EcamConfig {
    fn read(&self, function: Address, offset: u8) -> u32 {
        // SAFETY: the pointer lies inside the window and is a multiple of 4 (the window is page aligned).
        self.register(function, offset)
            .map_or(u32::MAX, |word| unsafe { word.read_volatile() })
    }

    fn write(&self, function: Address, offset: u8, value: u32) {
        if let Some(word) = self.register(function, offset) {
            // SAFETY: as in `read`; duty 2 of `new` keeps other writers out.
            unsafe { word.write_volatile(value) };
        }
    }

    fn write_part(&self, function: Address, offset: u8, value: Part) {
        let Some(word) = self.register(function, offset) else {
            return;
        };
        match value {
            Part::Byte(value) => {
                // SAFETY: one of the four bytes of a word that lies inside the window.
                let byte = unsafe { word.cast::<u8>().add(usize::from(offset & 3)) };
                // SAFETY: as in `write`.
                unsafe { byte.write_volatile(value) };
            }
            Part::Half(value) => {
                // SAFETY: one of the two halves of a word that lies inside the window.
                let half = unsafe { word.cast::<u16>().add(usize::from(offset >> 1 & 1)) };
                // SAFETY: as in `write`.
                unsafe { half.write_volatile(value) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::vec;

    use super::*;

    #[test]
    fn address_shows_as_lspci_does() {
        assert_eq!(format!("{}", Address::new(0, 0x1f, 3)), "00:1f.3");
    }

    #[test]
    fn ecam_finds_the_page_of_a_function_and_ignores_other_buses() {
        let mut window = vec![0u32; (2 << 20) / 4];
        window[(1 << 20 | 3 << 15 | 1 << 12 | 8) / 4] = 0xabcd;
        let base = NonNull::new(window.as_mut_ptr())
            .expect("a vector has an address")
            .cast();
        // SAFETY: the window is two buses long and ours alone.
        let ecam = unsafe { EcamConfig::new(base, 4, 5) };
        assert_eq!(ecam.read(Address::new(5, 3, 1), 8), 0xabcd);
        assert_eq!(ecam.read(Address::new(6, 3, 1), 8), u32::MAX);
        assert_eq!(ecam.read(Address::new(0, 0, 0), 0), u32::MAX);
        ecam.write(Address::new(4, 31, 7), 0xff, 7);
        assert_eq!(ecam.read(Address::new(4, 31, 7), 0xfc), 7);
    }
}
