//! What the machine is: what `toro-rt` takes from ACPI, in one place.

use alloc::vec::Vec;
use core::slice;

use log::{debug, warn};
use toro_acpi::fadt::{Fadt, PmTimer, Register};
use toro_acpi::mp::MpTable;
use toro_acpi::{PhysMemory, Tables};
use toro_arch::ioapic::IoApic;
use toro_arch::paging;
use toro_boot::{BootInfo, Range, Ranges};

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) fadt: Option<Fadt>,
    /// The values that power the machine off: for PM1a (or sleep control) and PM1b.
    pub(crate) power_off: Option<(u8, u8)>,
    ioapics: Vec<(u64, u32)>,
}

/// Where an I/O APIC lies on every PC that has no table to say so.
const USUAL_IOAPIC: u64 = 0xFEC0_0000;

impl Machine {
    /// Reads the firmware's tables. A machine without them is a PC of the usual kind.
    pub(crate) fn discover(info: &BootInfo) -> Self {
        let mut machine = Self::default();
        with_tables(info, |tables| machine.read(tables));
        if machine.ioapics.is_empty() {
            machine.ioapics.push((USUAL_IOAPIC, 0));
        }
        machine
    }

    fn read(&mut self, tables: &Tables<'_>) {
        match tables.madt() {
            Ok(madt) => {
                let ioapics = madt
                    .io_apics()
                    .map(|ioapic| (u64::from(ioapic.address), ioapic.gsi_base));
                self.ioapics = ioapics.collect();
            }
            Err(error) => warn!("ACPI: no list of interrupt controllers: {error}"),
        }
        let Ok(fadt) = tables.fadt() else { return };
        self.fadt = Some(fadt);
        self.power_off = tables.sleep_type(&fadt).map(|kind| (kind.a, kind.b));
    }

    /// Starts the boot core's vectors, and names the I/O APICs to `toro-irq`.
    pub(crate) fn start_interrupts(&self) {
        toro_irq::init();
        // SAFETY: 1. ACPI names these addresses, or it is the one that every PC has; all lie below 4 GiB, which is
        // mapped one to one. 2. This is the only list, and it is made once.
        let ioapics = self
            .ioapics
            .iter()
            .map(|&(base, gsi)| unsafe { IoApic::new(base, gsi) });
        toro_irq::set_ioapics(ioapics.collect());
    }

    /// The ACPI timer's port, if it is one.
    pub(crate) fn pm_timer(&self) -> Option<u16> {
        match self.fadt?.pm_timer? {
            PmTimer {
                register: Register::Port(port),
                ..
            } => Some(port),
            PmTimer {
                register: Register::Memory(_),
                ..
            } => None,
        }
    }
}

/// Calls `f` with the APIC id of each processor that can be started: those of the MADT, or of the MP table of a machine without ACPI.
pub(crate) fn for_each_processor(info: &BootInfo, f: &mut dyn FnMut(u32)) {
    let memory = FirmwareMemory {
        in_use: info.free_ram(),
    };
    let tables = Tables::find(&memory, info.rsdp);
    if let Ok(madt) = tables.and_then(|tables| tables.madt()) {
        let ready = madt.processors().filter(|processor| processor.enabled);
        ready.for_each(|processor| f(processor.apic_id));
    } else if let Ok(table) = MpTable::find(&memory) {
        let ready = table.processors().filter(|processor| processor.enabled);
        ready.for_each(|processor| f(u32::from(processor.apic_id)));
    }
}

/// Calls `f` with the firmware's tables, if there are any.
pub(crate) fn with_tables<R>(info: &BootInfo, f: impl FnOnce(&Tables<'_>) -> R) -> Option<R> {
    let memory = FirmwareMemory {
        in_use: info.free_ram(),
    };
    match Tables::find(&memory, info.rsdp) {
        Ok(tables) => Some(f(&tables)),
        Err(error) => {
            debug!("ACPI: {error}");
            None
        }
    }
}

/// The firmware's memory: all below the devices that is not ours.
struct FirmwareMemory {
    in_use: Ranges,
}

/// Above lie the registers of interrupt controllers and the firmware's ROM, which hold no tables.
const DEVICES: u64 = 0xE000_0000;

impl PhysMemory for FirmwareMemory {
    fn read(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let wanted = Range::sized(addr, len as u64);
        let ours = |range: Range| wanted.start < range.end && range.start < wanted.end;
        // Page 0 is not mapped any more.
        if addr < paging::PAGE || wanted.end > DEVICES || self.in_use.iter().any(ours) {
            return None;
        }
        // SAFETY: below 4 GiB everything is mapped one to one; the range is not in the memory that is handed out, so
        // nothing here writes to it.
        Some(unsafe { slice::from_raw_parts(addr as *const u8, len) })
    }
}
