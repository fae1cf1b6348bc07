//! The tables of QEMU's machines say what those machines are.

mod records;

use records::Records;
use toro_acpi::aml::{self, PowerEvents, SleepType, VirtioMmio};
use toro_acpi::fadt::{PmTimer, Register, Reset};
use toro_acpi::madt::{IoApic, Line, Processor};
use toro_acpi::mcfg::EcamWindow;
use toro_acpi::mp::MpTable;
use toro_acpi::{TableError, Tables};

fn pc() -> Records {
    Records::parse(include_bytes!("data/pc.tables"))
}

fn q35() -> Records {
    Records::parse(include_bytes!("data/q35.tables"))
}

fn microvm() -> Records {
    Records::parse(include_bytes!("data/microvm.tables"))
}

fn microvm_pcie() -> Records {
    Records::parse(include_bytes!("data/microvm-pcie.tables"))
}

fn apic_ids(memory: &Records) -> Vec<u32> {
    let tables = Tables::find(memory, None).expect("there are tables");
    let madt = tables.madt().expect("there is a MADT");
    madt.processors()
        .filter(|processor| processor.enabled)
        .map(|p| p.apic_id)
        .collect()
}

#[test]
fn processors_are_listed() {
    assert_eq!(apic_ids(&pc()), [0, 1]);
    assert_eq!(apic_ids(&q35()), [0, 1, 2, 3]);
    assert_eq!(apic_ids(&microvm()), [0, 1]);
    assert_eq!(apic_ids(&microvm_pcie()), [0]);
}

#[test]
fn interrupt_controllers_and_overrides_of_a_pc() {
    let memory = pc();
    let madt = Tables::find(&memory, None)
        .and_then(|tables| tables.madt())
        .expect("a MADT");
    assert_eq!(madt.local_apic_address(), 0xFEE0_0000);
    assert!(madt.has_pic());
    let apics: Vec<_> = madt.io_apics().collect();
    assert_eq!(
        apics,
        [IoApic {
            id: 0,
            address: 0xFEC0_0000,
            gsi_base: 0
        }]
    );
    // The timer is wired to pin 2, the SCI is level triggered, the serial port is as on ISA.
    assert_eq!(
        madt.isa_line(0),
        Line {
            gsi: 2,
            active_low: false,
            level: false
        }
    );
    assert_eq!(
        madt.isa_line(9),
        Line {
            gsi: 9,
            active_low: false,
            level: true
        }
    );
    assert_eq!(
        madt.isa_line(4),
        Line {
            gsi: 4,
            active_low: false,
            level: false
        }
    );
}

#[test]
fn microvm_has_two_io_apics() {
    let memory = microvm();
    let madt = Tables::find(&memory, None)
        .and_then(|tables| tables.madt())
        .expect("a MADT");
    let bases: Vec<_> = madt
        .io_apics()
        .map(|apic| (apic.address, apic.gsi_base))
        .collect();
    assert_eq!(bases, [(0xFEC0_0000, 0), (0xFEC1_0000, 24)]);
    assert!(madt.processors().all(|p| p
        == Processor {
            online_capable: false,
            ..p
        }));
}

#[test]
fn ecam_is_where_the_mcfg_says() {
    let q35 = q35();
    let tables = Tables::find(&q35, None).expect("tables");
    let windows: Vec<_> = tables.mcfg().expect("an MCFG").windows().collect();
    assert_eq!(
        windows,
        [EcamWindow {
            base: 0xB000_0000,
            segment: 0,
            first_bus: 0,
            last_bus: 255
        }]
    );
    // QEMU's microvm has PCI Express, but says so only in AML.
    for memory in [pc(), microvm_pcie()] {
        let mcfg = Tables::find(&memory, None).and_then(|tables| tables.mcfg().map(|_| ()));
        assert_eq!(mcfg, Err(TableError::Missing));
    }
}

#[test]
fn a_pc_powers_off_through_pm1a() {
    for (memory, port) in [(pc(), 0x604), (q35(), 0x604)] {
        let tables = Tables::find(&memory, None).expect("tables");
        let fadt = tables.fadt().expect("a FADT");
        assert_eq!(fadt.pm1a_control, Some(Register::Port(port)));
        assert_eq!(fadt.pm1b_control, None);
        assert_eq!(fadt.sleep_control, None);
        assert_eq!(fadt.pm1a_event, Some(Register::Port(0x600)));
        assert!(fadt.has_power_button && fadt.sci == 9);
        assert!(!fadt.hardware_reduced && fadt.has_8042 && fadt.has_cmos_clock);
        let timer = PmTimer {
            register: Register::Port(0x608),
            is_32_bit: false,
        };
        assert_eq!(fadt.pm_timer, Some(timer));
        assert_eq!(tables.sleep_type(&fadt), Some(SleepType { a: 0, b: 0 }));
    }
}

#[test]
fn q35_resets_through_port_cf9() {
    let memory = q35();
    let fadt = Tables::find(&memory, None)
        .and_then(|tables| tables.fadt())
        .expect("a FADT");
    assert_eq!(
        fadt.reset,
        Some(Reset {
            register: Register::Port(0xCF9),
            value: 0x0F
        })
    );
}

#[test]
fn a_microvm_powers_off_through_sleep_control() {
    let memory = microvm();
    let tables = Tables::find(&memory, None).expect("tables");
    let fadt = tables.fadt().expect("a FADT");
    assert!(fadt.hardware_reduced);
    assert_eq!(fadt.pm1a_control, None);
    assert_eq!(fadt.pm_timer, None);
    assert!(!fadt.has_power_button);
    let events = aml::power_events(tables.dsdt(&fadt).expect("a DSDT"));
    let expected = PowerEvents {
        register: 0xFEA0_0000,
        button: 2,
        gsi: 9,
    };
    assert_eq!(events, Some(expected));
    assert_eq!(fadt.sleep_control, Some(Register::Memory(0xFEA0_0200)));
    assert_eq!(
        fadt.reset,
        Some(Reset {
            register: Register::Memory(0xFEA0_0202),
            value: 0x42
        })
    );
    assert_eq!(tables.sleep_type(&fadt), Some(SleepType { a: 5, b: 0 }));
}

#[test]
fn virtio_devices_of_a_microvm_are_found() {
    let memory = microvm();
    let tables = Tables::find(&memory, None).expect("tables");
    let aml = tables
        .dsdt(&tables.fadt().expect("a FADT"))
        .expect("a DSDT");
    let devices: Vec<_> = aml::virtio_mmio(aml).collect();
    let expected = [
        VirtioMmio {
            base: 0xFEB0_2E00,
            len: 512,
            gsi: 47,
        },
        VirtioMmio {
            base: 0xFEB0_2C00,
            len: 512,
            gsi: 46,
        },
    ];
    assert_eq!(devices, expected);
    let memory = microvm_pcie();
    let tables = Tables::find(&memory, None).expect("tables");
    let aml = tables
        .dsdt(&tables.fadt().expect("a FADT"))
        .expect("a DSDT");
    assert_eq!(
        aml::virtio_mmio(aml)
            .map(|device| device.base)
            .collect::<Vec<_>>(),
        [0xFEB0_2E00]
    );
    let q35 = q35();
    let tables = Tables::find(&q35, None).expect("tables");
    let aml = tables
        .dsdt(&tables.fadt().expect("a FADT"))
        .expect("a DSDT");
    assert_eq!(aml::virtio_mmio(aml).count(), 0);
}

#[test]
fn the_pointer_of_the_boot_protocol_is_taken_or_replaced() {
    let memory = pc();
    let rsdp = memory.0[0].0;
    assert!(Tables::find(&memory, Some(rsdp)).is_ok());
    assert!(
        Tables::find(&memory, Some(0x1234)).is_ok(),
        "a wrong hint falls back to the search"
    );
    let empty = Records(Vec::new());
    assert_eq!(
        Tables::find(&empty, Some(rsdp)).map(|_| ()),
        Err(TableError::Missing)
    );
}

#[test]
fn mp_table_lists_sockets_and_the_io_apic() {
    let memory = pc();
    let mp = MpTable::find(&memory).expect("an MP table");
    let processors: Vec<_> = mp
        .processors()
        .map(|p| (p.apic_id, p.enabled, p.is_boot))
        .collect();
    assert_eq!(processors, [(0, true, true), (1, true, false)]);
    assert_eq!(mp.local_apic_address(), 0xFEE0_0000);
    assert_eq!(
        mp.io_apics().map(|apic| apic.address).collect::<Vec<_>>(),
        [0xFEC0_0000]
    );
}
