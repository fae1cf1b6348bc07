//! [`Function`]: one device function, with its capabilities, BARs and command bits.

use core::fmt;

use crate::bar::{self, BARS, BarError, MemoryBar};
use crate::capability::Capabilities;
use crate::config::{Address, ConfigSpace, Part};
use crate::registers::{MapDevice, Registers};

/// Offset of the command register (low half) and status register (high half).
const COMMAND: u8 = 0x04;
/// The function answers at its memory BARs.
const MEMORY: u32 = 1 << 1;
const BUS_MASTER: u32 = 1 << 2;
const INTX_DISABLE: u32 = 1 << 10;

/// A device function that answered the scan.
pub struct Function<'a> {
    config: &'a dyn ConfigSpace,
    address: Address,
    vendor: u16,
    device: u16,
    /// Sized on first use: sizing costs a dozen configuration accesses, each an exit to the hypervisor.
    bars: [Option<MemoryBar>; BARS as usize],
    /// The command register as it was last read or written.
    command: Option<u32>,
}

impl<'a> Function<'a> {
    /// The function at `address`, or `None` if nothing answers there.
    pub fn at(config: &'a dyn ConfigSpace, address: Address) -> Option<Self> {
        let [vendor_low, vendor_high, device_low, device_high] =
            config.read(address, 0).to_le_bytes();
        let vendor = u16::from_le_bytes([vendor_low, vendor_high]);
        let device = u16::from_le_bytes([device_low, device_high]);
        let bars = [None; BARS as usize];
        (vendor != u16::MAX).then_some(Self {
            config,
            address,
            vendor,
            device,
            bars,
            command: None,
        })
    }

    /// Where it sits.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Vendor id, for instance 0x1AF4 for virtio.
    pub fn vendor(&self) -> u16 {
        self.vendor
    }

    /// Device id, as the vendor numbers them.
    pub fn device(&self) -> u16 {
        self.device
    }

    /// Reads the word at `offset` of the configuration space.
    pub fn read(&self, offset: u8) -> u32 {
        self.config.read(self.address, offset)
    }

    pub(crate) fn write(&self, offset: u8, value: u32) {
        self.config.write(self.address, offset, value);
    }

    /// Writes a part of a word of the configuration space, at `offset` exactly.
    pub fn write_part(&self, offset: u8, value: Part) {
        self.config.write_part(self.address, offset, value);
    }

    /// The capabilities, in the order of the list.
    pub fn capabilities(&self) -> Capabilities<'a> {
        Capabilities::new(self.config, self.address)
    }

    /// The interrupt line (GSI) of the function's INTx pin, if firmware has routed it.
    pub fn interrupt_line(&self) -> Option<u8> {
        let [line, pin, ..] = self.read(0x3c).to_le_bytes();
        (pin != 0 && line != 0 && line != u8::MAX).then_some(line)
    }

    /// Keeps the function from answering at its memory BARs, until [`start`](Self::start).
    ///
    /// BARs can only be sized meanwhile. [`map`](Self::map) sees to that by itself, but each change makes the
    /// hypervisor rebuild its map of the machine, so whoever maps several BARs stops the function before.
    pub fn stop(&mut self) {
        let command = self.command();
        self.set_command(command & !MEMORY);
    }

    /// Lets the function answer at its memory BARs and reach memory by itself, and raise INTx or not: one that
    /// uses MSI-X must not.
    pub fn start(&mut self, with_intx: bool) {
        let command = self.command() | MEMORY | BUS_MASTER;
        let intx = if with_intx { 0 } else { INTX_DISABLE };
        self.set_command((command & !INTX_DISABLE) | intx);
    }

    /// The `len` bytes at `offset` of BAR `bar`, mapped by `map`.
    ///
    /// # Errors
    /// Fails if the BAR does not exist, is no memory, has no address, or does not hold or map the range.
    ///
    /// # Safety
    /// 1. The configuration space is the machine's own, so that BARs hold registers and not memory in use.
    /// 2. `map` gives a mapping of the range that it is asked for, and leaves it mapped.
    pub unsafe fn map(
        &mut self,
        bar: u8,
        offset: u32,
        len: u32,
        map: MapDevice,
    ) -> Result<Registers, BarError> {
        let MemoryBar { address, size } = self.bar(bar)?;
        if u64::from(offset) + u64::from(len) > size {
            return Err(BarError::OutOfRange(bar));
        }
        let address = address + u64::from(offset);
        let len = len as usize;
        let base = map(address, len).ok_or(BarError::Unmapped { bar, address })?;
        // SAFETY: duty 1 of `Registers::new`: the range lies inside the function's BAR and is mapped, by duties 1
        // and 2. Duty 2 there: a device moves data only where its driver told it to.
        Ok(unsafe { Registers::new(base, len) })
    }

    fn bar(&mut self, bar: u8) -> Result<MemoryBar, BarError> {
        if let Some(Some(known)) = self.bars.get(usize::from(bar)) {
            return Ok(*known);
        }
        let command = self.command();
        self.stop();
        let sized = bar::size(self.config, self.address, bar);
        self.set_command(command);
        let sized = sized?;
        if let Some(slot) = self.bars.get_mut(usize::from(bar)) {
            *slot = Some(sized);
        }
        Ok(sized)
    }

    fn command(&mut self) -> u32 {
        let config = self.config;
        *self
            .command
            .get_or_insert_with(|| config.read(self.address, COMMAND) & 0xffff)
    }

    fn set_command(&mut self, command: u32) {
        if self.command != Some(command) {
            // The status half is cleared by ones: zeros leave it alone.
            self.write(COMMAND, command);
            self.command = Some(command);
        }
    }
}

impl fmt::Debug for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Function({} {:04x}:{:04x})",
            self.address, self.vendor, self.device
        )
    }
}

#[cfg(test)]
mod tests {
    use core::ptr::NonNull;

    use super::*;
    use crate::fake::FakeConfig;
    use crate::registers::map_low;

    #[test]
    fn a_part_of_a_word_leaves_the_rest() {
        let fake = FakeConfig::virtio();
        fake.set(0x60, 0x4433_2211);
        let function = Function::at(&fake, FakeConfig::FUNCTION).expect("it answers");
        function.write_part(0x60, Part::Half(0xbbaa));
        function.write_part(0x63, Part::Byte(0xdd));
        assert_eq!(fake.get(0x60), 0xdd33_bbaa);
    }

    fn anywhere(address: u64, _len: usize) -> Option<NonNull<u8>> {
        NonNull::new(core::ptr::without_provenance_mut(
            usize::try_from(address).ok()?,
        ))
    }

    fn map(bar: u8, offset: u32, len: u32, map: MapDevice) -> Result<usize, BarError> {
        let config = FakeConfig::virtio();
        let mut function = Function::at(&config, FakeConfig::FUNCTION).expect("it answers");
        // SAFETY: the registers are not accessed.
        let registers = unsafe { function.map(bar, offset, len, map) };
        registers.map(|registers| registers.len())
    }

    #[test]
    fn range_must_lie_inside_its_bar() {
        assert_eq!(map(4, 0x3000, 0x1000, anywhere), Ok(0x1000));
        assert_eq!(
            map(4, 0x3000, 0x1001, anywhere),
            Err(BarError::OutOfRange(4))
        );
        assert_eq!(
            map(4, u32::MAX, u32::MAX, anywhere),
            Err(BarError::OutOfRange(4))
        );
        assert_eq!(map(7, 0, 1, anywhere), Err(BarError::NoSuchBar(7)));
    }

    #[test]
    fn bar_above_4_gib_needs_a_mapping() {
        let address = 0xe_0000_4000;
        assert_eq!(
            map(4, 0, 4, map_low),
            Err(BarError::Unmapped { bar: 4, address })
        );
    }

    #[test]
    fn interrupt_line_is_what_firmware_wrote() {
        let config = FakeConfig::virtio();
        let function = Function::at(&config, FakeConfig::FUNCTION).expect("it answers");
        assert_eq!(function.interrupt_line(), Some(11));
        config.set(0x3c, 0x01ff);
        assert_eq!(function.interrupt_line(), None);
    }

    #[test]
    fn stopped_function_is_started_once() {
        let config = FakeConfig::virtio();
        let mut function = Function::at(&config, FakeConfig::FUNCTION).expect("it answers");
        function.start(false);
        let before = config.writes();
        function.stop();
        // SAFETY: the registers are not accessed.
        unsafe { function.map(4, 0, 4, anywhere) }.expect("bar 4 maps");
        // SAFETY: the registers are not accessed.
        unsafe { function.map(1, 0, 4, anywhere) }.expect("bar 1 maps");
        function.start(false);
        assert_eq!(
            config.writes() - before,
            2 + 4 + 2,
            "command, a wide BAR, a narrow one"
        );
    }

    #[test]
    fn decoding_is_back_on_after_sizing() {
        let config = FakeConfig::virtio();
        let mut function = Function::at(&config, FakeConfig::FUNCTION).expect("it answers");
        function.start(true);
        // SAFETY: the registers are not accessed.
        unsafe { function.map(4, 0, 4, anywhere) }.expect("bar 4 maps");
        assert_eq!(function.read(COMMAND) & 0xffff, MEMORY | BUS_MASTER);
    }
}
