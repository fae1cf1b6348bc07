//! [`Msix`]: interrupts as memory writes, one entry of a table per cause.

use core::fmt;

use crate::bar::BarError;
use crate::capability::Capability;
use crate::function::Function;
use crate::registers::{MapDevice, Registers};

const MSIX: u8 = 0x11;
/// Where a write is an interrupt: the local APIC's page, with the target in bits 12 to 19.
const APIC: u32 = 0xfee0_0000;
/// Bytes of a table entry: address, data, control.
const ENTRY: u16 = 16;
/// The vector of interrupts that cannot be masked, and the delivery mode that raises it (Intel SDM volume 3, 11.11.2).
const NMI: u8 = 2;
const DELIVER_NMI: u32 = 4 << 8;
/// Message control: interrupts are on, and all entries are masked.
const ENABLE: u16 = 1 << 15;
const MASK_ALL: u16 = 1 << 14;

/// Why the interrupts of a function cannot be had as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsixError {
    /// The function has no such capability.
    NoCapability,
    /// Its table cannot be reached.
    Table(BarError),
}

impl fmt::Display for MsixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapability => f.write_str("no msi-x capability"),
            Self::Table(error) => write!(f, "msi-x table: {error}"),
        }
    }
}

impl core::error::Error for MsixError {}

/// The MSI-X table of a function.
#[derive(Debug)]
pub struct Msix {
    table: Registers,
    entries: u16,
    /// Where the capability is, and its header.
    capability: Capability,
}

impl Msix {
    /// What masks an entry in its [control register](Self::control).
    pub const MASKED: u32 = 1;

    /// Finds the table in the list of capabilities of `function`, and maps it.
    ///
    /// # Errors
    /// Fails if there is no table or it does not lie inside its BAR.
    ///
    /// # Safety
    /// As [`Function::map`].
    pub unsafe fn find(
        function: &mut Function<'_>,
        capabilities: &[Capability],
        map: MapDevice,
    ) -> Result<Self, MsixError> {
        let capability = capabilities.iter().find(|c| c.id == MSIX);
        let capability = *capability.ok_or(MsixError::NoCapability)?;
        let entries = (capability.header & 0x7ff) + 1;
        let place = function.read(capability.offset.wrapping_add(4));
        let (bar, offset) = ((place & 7) as u8, place & !7);
        let len = u32::from(entries) * u32::from(ENTRY);
        // SAFETY: the caller answers for both duties of `map`.
        let table = unsafe { function.map(bar, offset, len, map) }.map_err(MsixError::Table)?;
        Ok(Self {
            table,
            entries,
            capability,
        })
    }

    /// Masks every entry and makes `function`, which is [started](Function::start) without INTx, use the table.
    pub fn enable(&self, function: &Function<'_>) {
        for entry in 0..self.entries {
            self.mask(entry);
        }
        let control = (self.capability.header | ENABLE) & !MASK_ALL;
        // Id and link in the low half cannot be written.
        function.write(self.capability.offset, u32::from(control) << 16);
    }

    /// How many entries the table has.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Sends entry `entry` as `vector` to the core with this APIC id, and unmasks it. Vector 2 is that of interrupts that cannot be masked.
    ///
    /// Returns `false` if there is no such entry, or the id does not fit into a message (it has 8 bits).
    pub fn set(&self, entry: u16, apic_id: u32, vector: u8) -> bool {
        if entry >= self.entries || apic_id > 0xff {
            return false;
        }
        let at = usize::from(entry * ENTRY);
        // PCI 3.0, 6.8.2: an entry must be masked while its address and data change.
        self.mask(entry);
        self.table.write(at, APIC | apic_id << 12);
        self.table.write(at + 4, 0u32);
        let data = if vector == NMI {
            DELIVER_NMI
        } else {
            u32::from(vector)
        };
        self.table.write(at + 8, data);
        self.unmask(entry);
        true
    }

    /// Keeps entry `entry` from raising interrupts; one that comes meanwhile stays pending in the device.
    pub fn mask(&self, entry: u16) {
        self.set_mask(entry, Self::MASKED);
    }

    /// Lets entry `entry` raise interrupts.
    pub fn unmask(&self, entry: u16) {
        self.set_mask(entry, 0);
    }

    /// The register that masks entry `entry`, by [`MASKED`](Self::MASKED) in it: for the core that the entry interrupts, which may use it at
    /// any time.
    pub fn control(&self, entry: u16) -> Option<Registers> {
        (entry < self.entries)
            .then(|| self.table.part(usize::from(entry * ENTRY) + 12, 4))
            .flatten()
    }

    fn set_mask(&self, entry: u16, mask: u32) {
        if entry < self.entries {
            self.table.write(usize::from(entry * ENTRY) + 12, mask);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;
    use crate::fake::FakeConfig;

    fn backed(_address: u64, len: usize) -> Option<core::ptr::NonNull<u8>> {
        Some(
            core::ptr::NonNull::from(Box::leak(std::vec![0u64; len / 8].into_boxed_slice())).cast(),
        )
    }

    fn enable(config: &FakeConfig) -> Result<Msix, MsixError> {
        let mut function = Function::at(config, FakeConfig::FUNCTION).expect("it answers");
        let capabilities: Vec<_> = function.capabilities().collect();
        // SAFETY: `backed` gives memory of the test's own for every range.
        let msix = unsafe { Msix::find(&mut function, &capabilities, backed) }?;
        function.start(false);
        msix.enable(&function);
        Ok(msix)
    }

    #[test]
    fn entry_names_core_and_vector() {
        let config = FakeConfig::virtio();
        let msix = enable(&config).expect("the fake has a table");
        assert_eq!(msix.entries(), 3);
        assert!(msix.set(1, 5, 0x42));
        let entry = |n: usize| [0, 4, 8, 12].map(|at| msix.table.read::<u32>(n * 16 + at));
        assert_eq!(entry(1), [0xfee0_5000, 0, 0x42, 0]);
        assert_eq!(entry(0), [0, 0, 0, Msix::MASKED]);
        assert!(msix.set(0, 1, NMI));
        assert_eq!(entry(0), [0xfee0_1000, 0, DELIVER_NMI, 0]);
        assert!(!msix.set(3, 0, 0x42), "there are three entries");
        assert!(!msix.set(0, 256, 0x42), "the id has eight bits");
    }

    #[test]
    fn enabling_switches_from_intx_to_the_table() {
        let config = FakeConfig::virtio();
        enable(&config).expect("the fake has a table");
        assert_eq!(config.get(0x40) >> 16, u32::from(ENABLE | 2));
        assert_ne!(config.get(0x04) & 1 << 10, 0);
    }

    #[test]
    fn table_beyond_its_bar_is_refused() {
        let config = FakeConfig::virtio();
        config.set(0x44, 0xfe8 | 1);
        assert_eq!(
            enable(&config).err(),
            Some(MsixError::Table(BarError::OutOfRange(1)))
        );
        config.set(0x44, 7);
        assert_eq!(
            enable(&config).err(),
            Some(MsixError::Table(BarError::NoSuchBar(7)))
        );
    }

    #[test]
    fn function_without_table_says_so() {
        let config = FakeConfig::virtio();
        config.set(0x40, 0x0000_5005);
        assert_eq!(enable(&config).err(), Some(MsixError::NoCapability));
    }
}
