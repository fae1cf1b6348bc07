//! The I/O APIC: from an interrupt line to a vector of a core.
//!
//! Every line is used edge-triggered: the stubs do not ask the device, so a level that stays up would fire for ever. A driver
//! acknowledges its device until the device is silent, and then the next interrupt is a new edge.

/// One I/O APIC, by the address of its registers (82093AA data sheet, 3.0).
#[derive(Clone, Copy, Debug)]
pub struct IoApic {
    base: u64,
    first_gsi: u32,
}

const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const ACTIVE_LOW: u32 = 1 << 13;
const MASKED: u32 = 1 << 16;
const NMI_DELIVERY: u32 = 4 << 8;

impl IoApic {
    /// The I/O APIC whose registers lie at `base` and whose first line is global interrupt `first_gsi`.
    ///
    /// # Safety
    /// 1. `base` must be the address of an I/O APIC, as ACPI or the MP table names it, mapped one to one.
    /// 2. No other value may be in use for the same one while this one is being called.
    pub const unsafe fn new(base: u64, first_gsi: u32) -> Self {
        Self { base, first_gsi }
    }

    fn read(self, register: u32) -> u32 {
        // SAFETY: duty 1 of `new`: the register select, at offset 0.
        unsafe { (self.base as *mut u32).write_volatile(register) };
        // SAFETY: duty 1 of `new`: the window, at offset 16.
        unsafe { ((self.base + 0x10) as *const u32).read_volatile() }
    }

    fn write(self, register: u32, value: u32) {
        // SAFETY: duty 1 of `new`: the register select, at offset 0.
        unsafe { (self.base as *mut u32).write_volatile(register) };
        // SAFETY: duty 1 of `new`: the window, at offset 16.
        unsafe { ((self.base + 0x10) as *mut u32).write_volatile(value) };
    }

    /// Whether global interrupt `gsi` is a line of this one.
    pub fn owns(self, gsi: u32) -> bool {
        let lines = (self.read(VERSION) >> 16 & 0xFF) + 1;
        (self.first_gsi..self.first_gsi + lines).contains(&gsi)
    }

    /// Sends global interrupt `gsi` to `vector` of the core with APIC id `target`, on each edge.
    pub fn route(self, gsi: u32, vector: u8, target: u32, active_low: bool) {
        let register = REDIRECTION + 2 * (gsi - self.first_gsi);
        let polarity = if active_low { ACTIVE_LOW } else { 0 };
        self.write(register + 1, target << 24);
        self.write(register, u32::from(vector) | polarity);
    }

    /// Keeps global interrupt `gsi` from the cores, or lets it come again. Edges meanwhile are lost.
    pub fn mask(self, gsi: u32, is_masked: bool) {
        let register = REDIRECTION + 2 * (gsi - self.first_gsi);
        let others = self.read(register) & !MASKED;
        self.write(register, if is_masked { others | MASKED } else { others });
    }

    /// Sends global interrupt `gsi` to the core with APIC id `target` as one that cannot be masked, on each rising edge.
    pub fn route_nmi(self, gsi: u32, target: u32) {
        let register = REDIRECTION + 2 * (gsi - self.first_gsi);
        self.write(register + 1, target << 24);
        self.write(register, NMI_DELIVERY);
    }
}
