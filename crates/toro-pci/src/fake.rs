//! [`FakeConfig`]: the configuration space of one function, for the tests of this crate.

use core::cell::{Cell, RefCell};

use crate::config::{Address, ConfigSpace, Part};

/// One function that looks like QEMU's virtio-net, the way SeaBIOS leaves it.
pub(crate) struct FakeConfig {
    words: RefCell<[u32; 64]>,
    writes: Cell<u32>,
}

impl FakeConfig {
    pub(crate) const FUNCTION: Address = Address::new(0, 3, 0);

    pub(crate) fn virtio() -> Self {
        let fake = Self {
            words: RefCell::new([0; 64]),
            writes: Cell::new(0),
        };
        let words = [
            (0x00, 0x1041_1af4),
            (0x04, 1 << 20),
            (0x10, 0x0000_c001), // bar 0: ports
            (0x14, 0xfebd_1000), // bar 1: 4 KiB
            (0x20, 0x0000_400c), // bar 4 and 5: 16 KiB, 64 bits wide
            (0x24, 0x0000_000e),
            (0x34, 0x40),
            (0x3c, 0x010b),
            (0x40, 0x0002_5011), // MSI-X: three entries, at the start of bar 1
            (0x44, 0x0000_0001),
            (0x50, 0x0110_0009),
        ];
        for (offset, word) in words {
            fake.set(offset, word);
        }
        fake
    }

    pub(crate) fn set(&self, offset: u8, word: u32) {
        self.words.borrow_mut()[usize::from(offset / 4)] = word;
    }

    /// How often a driver has written.
    pub(crate) fn writes(&self) -> u32 {
        self.writes.get()
    }

    pub(crate) fn get(&self, offset: u8) -> u32 {
        self.words.borrow()[usize::from(offset / 4)]
    }
}

impl ConfigSpace for FakeConfig {
    fn read(&self, function: Address, offset: u8) -> u32 {
        if function == Self::FUNCTION {
            self.get(offset)
        } else {
            u32::MAX
        }
    }

    fn write_part(&self, function: Address, offset: u8, value: Part) {
        let (mask, value) = match value {
            Part::Byte(value) => (0xff, u32::from(value)),
            Part::Half(value) => (0xffff, u32::from(value)),
        };
        let shift = u32::from(offset & 3) * 8;
        let old = self.get(offset);
        self.write(
            function,
            offset & !3,
            old & !(mask << shift) | value << shift,
        );
    }

    fn write(&self, _function: Address, offset: u8, value: u32) {
        self.writes.set(self.writes.get() + 1);
        let old = self.get(offset);
        let new = match offset {
            0x04 => (old & 0xffff_0000) | (value & 0xffff),
            0x40 => (old & 0xffff) | (value & 0xffff_0000),
            0x14 => (value & !0xfff) | (old & 0xf),
            0x18 | 0x1c => 0,
            0x20 => (value & !0x3fff) | (old & 0xf),
            _ => value,
        };
        self.set(offset, new);
    }
}
