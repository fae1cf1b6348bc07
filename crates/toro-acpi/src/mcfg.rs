//! The MCFG: where the configuration space of PCI Express is mapped (PCI Firmware 3.2, 4.1.2).

use crate::field;
use crate::tables::{HEADER_LEN, TableError};

const WINDOWS: usize = HEADER_LEN + 8;
const WINDOW_LEN: usize = 16;

/// A checked MCFG.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'m> {
    windows: &'m [u8],
}

/// The configuration space of a range of buses, 1 MiB each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcamWindow {
    /// Physical address of bus 0's configuration space, even if the window starts at a later bus.
    pub base: u64,
    /// The PCI segment group.
    pub segment: u16,
    /// First bus of the window.
    pub first_bus: u8,
    /// Last bus of the window, included.
    pub last_bus: u8,
}

impl<'m> Mcfg<'m> {
    pub(crate) fn parse(table: &'m [u8]) -> Result<Self, TableError> {
        let windows = table.get(WINDOWS..).ok_or(TableError::Malformed)?;
        if !windows.len().is_multiple_of(WINDOW_LEN) {
            return Err(TableError::Malformed);
        }
        Ok(Self { windows })
    }

    /// The windows; those that make no sense are left out.
    pub fn windows(&self) -> impl Iterator<Item = EcamWindow> + use<'m> {
        self.windows.chunks_exact(WINDOW_LEN).filter_map(|window| {
            let window = EcamWindow {
                base: field::u64_at(window, 0)?,
                segment: field::u16_at(window, 8)?,
                first_bus: field::u8_at(window, 10)?,
                last_bus: field::u8_at(window, 11)?,
            };
            window.is_sound().then_some(window)
        })
    }
}

impl EcamWindow {
    fn is_sound(&self) -> bool {
        let end = self.base.checked_add((u64::from(self.last_bus) + 1) << 20);
        self.base != 0
            && self.base.is_multiple_of(1 << 20)
            && end.is_some()
            && self.first_bus <= self.last_bus
    }
}
