//! [`Capabilities`]: the list of capabilities of a function.

use crate::config::{Address, ConfigSpace};

/// The first byte behind the header, where capabilities may start.
const FIRST: u8 = 0x40;
/// As many capabilities of four bytes as fit behind the header: a longer list runs in a circle.
const MOST: u8 = 48;

/// One entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it describes: 0x09 vendor specific, 0x11 MSI-X.
    pub id: u8,
    /// Where it starts in configuration space.
    pub offset: u8,
    /// The two bytes behind id and link.
    pub header: u16,
}

/// The capabilities of a function, in the order of the list.
#[expect(
    missing_debug_implementations,
    reason = "holds a trait object; the address says nothing more"
)]
pub struct Capabilities<'a> {
    config: &'a dyn ConfigSpace,
    function: Address,
    next: u8,
    left: u8,
}

impl<'a> Capabilities<'a> {
    pub(crate) fn new(config: &'a dyn ConfigSpace, function: Address) -> Self {
        /// Status register: the function has a list of capabilities.
        const HAS_LIST: u32 = 1 << (16 + 4);
        let has_list = config.read(function, 0x04) & HAS_LIST != 0;
        let [next, ..] = config.read(function, 0x34).to_le_bytes();
        Self {
            config,
            function,
            next: if has_list { next & !3 } else { 0 },
            left: MOST,
        }
    }
}

impl Iterator for Capabilities<'_> {
    type Item = Capability;

    fn next(&mut self) -> Option<Capability> {
        if self.next < FIRST || self.left == 0 {
            return None;
        }
        let offset = self.next;
        let [id, next, low, high] = self.config.read(self.function, offset).to_le_bytes();
        self.next = next & !3;
        self.left -= 1;
        Some(Capability {
            id,
            offset,
            header: u16::from_le_bytes([low, high]),
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::fake::FakeConfig;

    #[test]
    fn list_is_walked_in_order() {
        let config = FakeConfig::virtio();
        let found: Vec<_> = Capabilities::new(&config, FakeConfig::FUNCTION)
            .map(|c| (c.id, c.offset))
            .collect();
        assert_eq!(found, [(0x11, 0x40), (0x09, 0x50)]);
    }

    #[test]
    fn circle_ends() {
        let config = FakeConfig::virtio();
        config.set(0x50, 0x0000_4009);
        assert_eq!(Capabilities::new(&config, FakeConfig::FUNCTION).count(), 48);
    }

    #[test]
    fn link_into_the_header_ends_the_list() {
        let config = FakeConfig::virtio();
        config.set(0x50, 0x0000_1009);
        assert_eq!(Capabilities::new(&config, FakeConfig::FUNCTION).count(), 2);
    }

    #[test]
    fn function_without_list_has_none() {
        let config = FakeConfig::virtio();
        config.set(0x04, 0);
        assert_eq!(Capabilities::new(&config, FakeConfig::FUNCTION).count(), 0);
    }
}
