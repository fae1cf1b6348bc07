//! Where a function keeps its groups of registers: the vendor capabilities (VIRTIO 1.3, 4.1.4).

use toro_pci::{Capability, Function, MapDevice, Registers};

use crate::pci::PciError;

/// The groups of registers that a device has (4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Group {
    /// Features, status, queues.
    Common = 1,
    /// Doorbells.
    Notify = 2,
    /// Interrupt status.
    Isr = 3,
    /// What depends on the kind of device.
    Device = 4,
}

/// Where a group of registers lies, as its capability says.
pub(super) struct Place {
    group: Group,
    bar: u8,
    offset: u32,
    len: u32,
    /// Bytes between two doorbells, for those.
    pub(super) multiplier: u32,
}

impl Place {
    /// The first usable capability of the group (4.1.4.1: the device lists them in its order of preference).
    pub(super) fn find(
        function: &Function<'_>,
        list: &[Capability],
        group: Group,
    ) -> Result<Self, PciError> {
        const VENDOR_SPECIFIC: u8 = 0x09;
        // The doorbells' capability has the multiplier behind the common part.
        let least = if group == Group::Notify { 20 } else { 16 };
        for capability in list {
            let [len, kind] = capability.header.to_le_bytes();
            if capability.id != VENDOR_SPECIFIC || kind != group as u8 || len < least {
                continue;
            }
            let read = |at: u8| {
                capability
                    .offset
                    .checked_add(at)
                    .map(|at| function.read(at))
            };
            let (Some(bar), Some(offset), Some(len)) = (read(4), read(8), read(12)) else {
                continue;
            };
            let multiplier = if group == Group::Notify {
                read(16)
            } else {
                Some(0)
            };
            let ([bar, ..], Some(multiplier)) = (bar.to_le_bytes(), multiplier) else {
                continue;
            };
            // Other numbers are reserved: such a capability has to be ignored.
            if bar < 6 {
                return Ok(Self {
                    group,
                    bar,
                    offset,
                    len,
                    multiplier,
                });
            }
        }
        Err(PciError::Missing(group))
    }

    /// Maps the group, if it has `least` bytes and lies at a multiple of `align`.
    ///
    /// # Safety
    /// As [`Function::map`].
    pub(super) unsafe fn map(
        &self,
        function: &mut Function<'_>,
        least: u32,
        align: u32,
        map: MapDevice,
    ) -> Result<Registers, PciError> {
        if self.len < least || !self.offset.is_multiple_of(align) {
            return Err(PciError::Malformed(self.group));
        }
        // SAFETY: the duties are the same.
        unsafe { function.map(self.bar, self.offset, self.len, map) }.map_err(PciError::Bar)
    }
}
