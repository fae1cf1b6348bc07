//! The FADT: fixed hardware for power, reset and time (ACPI 6.5, 5.2.9).

use crate::field;
use crate::tables::{HEADER_LEN, TableError};

/// What the FADT says, with the 32-bit and the 64-bit fields of each register already merged.
///
/// A register that does not exist, or lies in an address space we do not speak, is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// Physical address of the DSDT; 0 if there is none.
    pub dsdt: u64,
    /// The interrupt of ACPI events, as a global system interrupt.
    pub sci: u16,
    /// Writing [`acpi_enable`](Self::acpi_enable) to this port hands the hardware to us; 0 if that is not needed.
    pub smi_command: u16,
    /// The value that ends legacy mode.
    pub acpi_enable: u8,
    /// PM1a control, 16 bits: sleep type in bits 10 to 12, go in bit 13.
    pub pm1a_control: Option<Register>,
    /// PM1a event: 16 bits of status, then as many that enable.
    pub pm1a_event: Option<Register>,
    /// There is a power button among the events of PM1.
    pub has_power_button: bool,
    /// PM1b control, if the register has a second half elsewhere.
    pub pm1b_control: Option<Register>,
    /// The free-running timer of 3.579545 MHz.
    pub pm_timer: Option<PmTimer>,
    /// Sleep control of hardware-reduced ACPI, 8 bits: sleep type in bits 2 to 4, go in bit 5.
    pub sleep_control: Option<Register>,
    /// How to reset the machine.
    pub reset: Option<Reset>,
    /// There is no fixed hardware but sleep control and reset.
    pub hardware_reduced: bool,
    /// The machine has an 8042 keyboard controller.
    pub has_8042: bool,
    /// The machine has the clock of the PC in CMOS memory.
    pub has_cmos_clock: bool,
}

/// A register in I/O or memory space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// At an I/O port.
    Port(u16),
    /// At a physical address.
    Memory(u64),
}

/// The power management timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Where it is read, 32 bits at a time.
    pub register: Register,
    /// It counts 32 bits, not 24.
    pub is_32_bit: bool,
}

/// The reset register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Where to write, one byte.
    pub register: Register,
    /// What to write.
    pub value: u8,
}

/// The power button, if there is one, is a device in the DSDT.
const FLAG_NO_FIXED_BUTTON: u32 = 1 << 4;
const FLAG_TIMER_32_BIT: u32 = 1 << 8;
const FLAG_RESET: u32 = 1 << 10;
const FLAG_HARDWARE_REDUCED: u32 = 1 << 20;

const BOOT_8042: u16 = 1 << 1;
const BOOT_NO_CMOS_CLOCK: u16 = 1 << 5;

impl Fadt {
    pub(crate) fn parse(table: &[u8]) -> Result<Self, TableError> {
        // 116 bytes is the table of ACPI 1.0; later fields are zero where a table ends before them.
        if table.len() < 116 {
            return Err(TableError::Malformed);
        }
        let u32_or_0 = |offset| field::u32_at(table, offset).unwrap_or(0);
        let flags = u32_or_0(112);
        let hardware_reduced = flags & FLAG_HARDWARE_REDUCED != 0;
        let fixed = |short, extended| {
            register(table, extended)
                .or_else(|| port(u64::from(u32_or_0(short))))
                .filter(|_| !hardware_reduced)
        };
        let boot = boot_flags(table);
        let dsdt = field::u64_at(table, 140).filter(|&addr| addr != 0);
        Ok(Self {
            dsdt: dsdt.unwrap_or_else(|| u64::from(u32_or_0(HEADER_LEN + 4))),
            sci: field::u16_at(table, 46).unwrap_or(0),
            smi_command: u16::try_from(u32_or_0(48)).unwrap_or(0),
            acpi_enable: table[52],
            pm1a_control: fixed(64, 172),
            pm1a_event: fixed(56, 148),
            has_power_button: flags & FLAG_NO_FIXED_BUTTON == 0 && !hardware_reduced,
            pm1b_control: fixed(68, 184),
            pm_timer: fixed(76, 208).map(|register| PmTimer {
                register,
                is_32_bit: flags & FLAG_TIMER_32_BIT != 0,
            }),
            sleep_control: register(table, 244).filter(|_| hardware_reduced),
            reset: reset(table).filter(|_| flags & FLAG_RESET != 0),
            hardware_reduced,
            has_8042: boot & BOOT_8042 != 0,
            has_cmos_clock: boot & BOOT_NO_CMOS_CLOCK == 0,
        })
    }
}

/// The IA-PC boot flags; a table of ACPI 1.0 has none and describes a whole PC.
fn boot_flags(table: &[u8]) -> u16 {
    let revision = table[8];
    match field::u16_at(table, 109) {
        Some(flags) if revision >= 2 => flags,
        _ => BOOT_8042,
    }
}

fn reset(table: &[u8]) -> Option<Reset> {
    Some(Reset {
        register: register(table, 116)?,
        value: field::u8_at(table, 128)?,
    })
}

/// Reads a generic address structure (5.2.3.2): space, width, offset, access size, address.
fn register(table: &[u8], offset: usize) -> Option<Register> {
    let address = field::u64_at(table, offset + 4).filter(|&address| address != 0)?;
    match field::u8_at(table, offset)? {
        0 => Some(Register::Memory(address)),
        1 => port(address),
        _ => None,
    }
}

fn port(address: u64) -> Option<Register> {
    u16::try_from(address)
        .ok()
        .filter(|&port| port != 0)
        .map(Register::Port)
}
