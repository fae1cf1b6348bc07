//! Asks the parser for everything it can tell, whatever the memory holds.

use toro_acpi::mp::MpTable;
use toro_acpi::{PhysMemory, Tables, aml};

/// Reads ACPI and MP tables; returns how many facts there were.
pub(crate) fn read_everything(memory: &dyn PhysMemory, hint: Option<u64>) -> usize {
    let acpi = Tables::find(memory, hint).map_or(0, |tables| read_tables(&tables));
    let mp = MpTable::find(memory).map_or(0, |mp| mp.processors().count() + mp.io_apics().count());
    acpi + mp
}

/// Reads the ACPI tables; returns how many facts there were.
pub(crate) fn read_tables(tables: &Tables<'_>) -> usize {
    let mut facts = tables.mcfg().map_or(0, |mcfg| mcfg.windows().count());
    if let Ok(madt) = tables.madt() {
        facts += madt.processors().count() + madt.io_apics().count();
        facts += (0..16).filter(|&irq| madt.isa_line(irq).level).count();
        facts += usize::from(madt.has_pic()) + usize::from(madt.local_apic_address() != 0);
    }
    if let Ok(fadt) = tables.fadt() {
        facts += usize::from(tables.sleep_type(&fadt).is_some());
        facts += tables.dsdt(&fadt).map_or(0, |aml| {
            aml::virtio_mmio(aml).count() + usize::from(aml::power_events(aml).is_some())
        });
    }
    facts
}
