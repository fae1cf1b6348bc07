//! PCI: the way to the configuration space of this machine, by memory where ACPI names a window, else by ports.

use alloc::boxed::Box;

use log::warn;
use toro_boot::BootInfo;
use toro_pci::{ConfigSpace, EcamConfig, PortConfig, map_device};

use crate::machine;

/// Memory-mapped PCI configuration space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecam {
    base: u64,
    first_bus: u8,
    last_bus: u8,
}

/// The window that ACPI names.
pub(crate) fn window(info: &BootInfo) -> Option<Ecam> {
    let window = machine::with_tables(info, |tables| tables.mcfg().ok()?.windows().next());
    window.flatten().map(|window| Ecam {
        base: window.base,
        first_bus: window.first_bus,
        last_bus: window.last_bus,
    })
}

/// Calls `f` with the first PCI function of the vendor and device `id`, if the machine has one.
///
/// # Context
/// As for [`config_space`].
#[cfg(feature = "watchdog")]
pub(crate) fn with_function<R>(
    info: &BootInfo,
    id: (u16, u16),
    f: impl FnOnce(&mut toro_pci::Function<'_>) -> R,
) -> Option<R> {
    let config = config_space(window(info))?;
    let mut functions = toro_pci::scan(&*config);
    let found = functions
        .iter_mut()
        .find(|function| (function.vendor(), function.device()) == id);
    found.map(f)
}

/// The way to configuration space.
///
/// # Context
/// One core at a time: the ports are shared. The boot list sees to that.
pub(crate) fn config_space(ecam: Option<Ecam>) -> Option<Box<dyn ConfigSpace>> {
    let Some(ecam) = ecam else {
        // SAFETY: 1. the image runs in ring 0. 2. Devices are found and opened one after the other.
        return Some(Box::new(unsafe { PortConfig::new() }));
    };
    let len = (usize::from(ecam.last_bus.saturating_sub(ecam.first_bus)) + 1) << 20;
    let Some(base) = map_device(ecam.base, len) else {
        warn!(
            "PCI: the configuration window at {:#x} cannot be mapped",
            ecam.base
        );
        return None;
    };
    // SAFETY: 1. ACPI names the window, and it is mapped. 2. Devices are found and opened one after the other.
    Some(Box::new(unsafe {
        EcamConfig::new(base, ecam.first_bus, ecam.last_bus)
    }))
}
