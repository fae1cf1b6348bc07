//! The MADT: processors and interrupt controllers (ACPI 6.5, 5.2.12).

use crate::field;
use crate::tables::{HEADER_LEN, TableError};

/// Where the records start.
const RECORDS: usize = HEADER_LEN + 8;

/// A checked MADT.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'m> {
    table: &'m [u8],
}

/// A processor, present or a free socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// The id of its local APIC; above 254 only in x2APIC mode.
    pub apic_id: u32,
    /// The firmware has it ready: it can be started.
    pub enabled: bool,
    /// Not there yet, but it may be plugged in while the machine runs.
    pub online_capable: bool,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// The global system interrupt of its first pin.
    pub gsi_base: u32,
}

/// How an interrupt line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The global system interrupt, counted over the pins of all I/O APICs.
    pub gsi: u32,
    /// Asserted when low, not when high.
    pub active_low: bool,
    /// Level triggered, not edge triggered.
    pub level: bool,
}

impl<'m> Madt<'m> {
    /// Checks that every record lies inside `table`.
    pub(crate) fn parse(table: &'m [u8]) -> Result<Self, TableError> {
        let mut rest = table.get(RECORDS..).ok_or(TableError::Malformed)?;
        while !rest.is_empty() {
            (_, rest) = split_record(rest).ok_or(TableError::Malformed)?;
        }
        Ok(Self { table })
    }

    /// Physical address of the local APIC's registers, the same on every core.
    pub fn local_apic_address(&self) -> u64 {
        // Type 5: the 64-bit address, which overrides the field of the header.
        self.records(5)
            .find_map(|record| field::u64_at(record, 4))
            .or_else(|| field::u32_at(self.table, HEADER_LEN).map(u64::from))
            .unwrap_or(0)
    }

    /// Whether there is a pair of 8259 PICs too, which have to be masked.
    pub fn has_pic(&self) -> bool {
        field::u32_at(self.table, HEADER_LEN + 4).is_some_and(|flags| flags & 1 != 0)
    }

    /// The processors in the firmware's order, which the boot processor usually leads.
    pub fn processors(&self) -> impl Iterator<Item = Processor> + use<'m> {
        self.all().filter_map(|record| {
            let (apic_id, flags) = match record[0] {
                0 => (
                    u32::from(field::u8_at(record, 3)?),
                    field::u32_at(record, 4)?,
                ),
                9 => (field::u32_at(record, 4)?, field::u32_at(record, 8)?),
                _ => return None,
            };
            // The broadcast id names no processor; firmware uses it for empty sockets.
            let broadcast = if record[0] == 0 { 0xFF } else { u32::MAX };
            let processor = Processor {
                apic_id,
                enabled: flags & 1 != 0,
                online_capable: flags & 2 != 0,
            };
            (apic_id != broadcast).then_some(processor)
        })
    }

    /// The I/O APICs.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + use<'m> {
        self.records(1).filter_map(|record| {
            Some(IoApic {
                id: field::u8_at(record, 2)?,
                address: field::u32_at(record, 4)?,
                gsi_base: field::u32_at(record, 8)?,
            })
        })
    }

    /// Where the ISA interrupt `irq` arrives: as an override says, else at the pin of its number.
    pub fn isa_line(&self, irq: u8) -> Line {
        self.records(2)
            .filter(|record| record.get(2..4) == Some(&[0, irq]))
            .find_map(|record| {
                let flags = field::u16_at(record, 8)?;
                // 0 conforms to ISA: active high, edge triggered.
                Some(Line {
                    gsi: field::u32_at(record, 4)?,
                    active_low: flags & 0b11 == 0b11,
                    level: (flags >> 2) & 0b11 == 0b11,
                })
            })
            .unwrap_or(Line {
                gsi: u32::from(irq),
                active_low: false,
                level: false,
            })
    }

    fn records(&self, kind: u8) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        self.all().filter(move |record| record[0] == kind)
    }

    /// All records, each of at least two bytes.
    fn all(&self) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let mut rest = self.table.get(RECORDS..).unwrap_or(&[]);
        core::iter::from_fn(move || {
            let (record, after) = split_record(rest)?;
            rest = after;
            Some(record)
        })
    }
}

/// Cuts the first record off; its length includes type and length.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(field::u8_at(bytes, 1)?);
    if len < 2 {
        None
    } else {
        bytes.split_at_checked(len)
    }
}
