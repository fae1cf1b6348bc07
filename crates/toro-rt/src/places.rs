//! Where devices are: found by the boot core, opened by the core that owns them.
//!
//! A [`Place`] is plain words and can be sent to another core; the transport behind it takes interrupt vectors of the core that opens it,
//! and stays there.

use alloc::boxed::Box;
use alloc::vec::Vec;

use log::{debug, warn};
use toro_acpi::aml;
use toro_boot::BootInfo;
use toro_pci::{Address, Function, map_device};
use toro_virtio::{
    CoreInterrupts, DeviceType, Interrupts, MmioError, MmioSlot, MmioTransport, PciTransport,
    Transport, slot,
};

use crate::machine;
use crate::pci::{self, Ecam};

/// Where a virtio device is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Mmio(MmioSlot),
    Pci(Option<Ecam>, Address),
}

/// Every virtio device of the machine in the order in which they are found.
pub(crate) fn find(info: &BootInfo) -> Vec<(DeviceType, Place)> {
    let ecam = pci::window(info);
    let mut found = mmio_devices(info, &listed(info));
    // A machine that lists devices in memory has no PCI unless it says so: do not search 32 empty slots.
    if ecam.is_some() || found.is_empty() {
        found.extend(pci_devices(ecam));
    }
    found
}

/// Opens the device at `place`, for the running core. Says so if that fails.
///
/// # Context
/// One core at a time: the ports of configuration space are shared. The boot list sees to that.
pub(crate) fn open(place: Place) -> Option<Box<dyn Transport>> {
    open_with(place, to_this_core)
}

/// The interrupts of most devices.
fn to_this_core() -> Box<dyn Interrupts> {
    Box::new(CoreInterrupts::new())
}

/// As [`open`], with interrupts that go elsewhere.
pub(crate) fn open_with(
    place: Place,
    interrupts: fn() -> Box<dyn Interrupts>,
) -> Option<Box<dyn Transport>> {
    match place {
        Place::Mmio(slot) => Some(Box::new(open_mmio(slot, interrupts)?)),
        Place::Pci(ecam, address) => {
            let config = pci::config_space(ecam)?;
            let mut function = Function::at(&*config, address)?;
            // SAFETY: 1. the function was found by the machine's own access above. 2. `map_device` maps for good.
            match unsafe { PciTransport::new(&mut function, map_device, interrupts()) } {
                Ok(transport) => Some(Box::new(transport)),
                Err(error) => {
                    warn!("PCI {address}: {error}");
                    None
                }
            }
        }
    }
}

/// What ACPI says of where memory-mapped devices are.
fn listed(info: &BootInfo) -> Vec<MmioSlot> {
    machine::with_tables(info, |tables| {
        let dsdt = tables.fadt().and_then(|fadt| tables.dsdt(&fadt));
        let devices = dsdt.into_iter().flat_map(aml::virtio_mmio);
        let slot = |device: aml::VirtioMmio| MmioSlot {
            base: u64::from(device.base),
            len: u64::from(device.len),
            irq: device.gsi,
        };
        devices.map(slot).collect()
    })
    .unwrap_or_default()
}

fn mmio_devices(info: &BootInfo, listed: &[MmioSlot]) -> Vec<(DeviceType, Place)> {
    let named = slot::slots(info.command_line().as_str()).filter_map(|slot| match slot {
        Ok(slot) => Some(slot),
        Err(error) => {
            warn!("{error}");
            None
        }
    });
    let mut slots: Vec<MmioSlot> = named.collect();
    for slot in listed {
        if slots.iter().all(|known| known.base != slot.base) {
            slots.push(*slot);
        }
    }
    let look = |slot| {
        let found = open_mmio(slot, to_this_core)?;
        Some((found.device_type(), Place::Mmio(slot)))
    };
    slots.into_iter().filter_map(look).collect()
}

/// Looks into a slot; the device is not touched yet.
fn open_mmio(slot: MmioSlot, interrupts: fn() -> Box<dyn Interrupts>) -> Option<MmioTransport> {
    // SAFETY: 1. ACPI or the command line names the slot. 2. `map_device` maps for good.
    match unsafe { MmioTransport::new(slot, map_device, interrupts()) } {
        Ok(transport) => Some(transport),
        Err(MmioError::Empty) => None,
        Err(error) => {
            warn!("virtio-mmio at {:#x}: {error}", slot.base);
            None
        }
    }
}

fn pci_devices(ecam: Option<Ecam>) -> Vec<(DeviceType, Place)> {
    let Some(config) = pci::config_space(ecam) else {
        return Vec::new();
    };
    let functions = toro_pci::scan(&*config);
    let found: Vec<_> = functions
        .iter()
        .filter_map(|function| {
            let device_type = toro_virtio::pci::device_type(function)?;
            Some((device_type, Place::Pci(ecam, function.address())))
        })
        .collect();
    debug!("PCI: {} virtio devices", found.len());
    found
}
