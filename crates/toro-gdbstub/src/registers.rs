//! [`Registers`]: the registers of a thread in the order and the sizes in which gdb numbers them, and the description that says so.

use core::ops::Range;

/// How many registers there are at most; a machine without AVX lacks those from [`UPPER`] on.
const COUNT: usize = UPPER + 16;

/// The bytes of all of them.
const BYTES: usize = 17 * 8 + 7 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 2 * 8 + 16 * 16;

/// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15.
pub(crate) const GENERAL: usize = 0;
/// The number of RBX.
pub(crate) const RBX: usize = 1;
/// The number of RBP.
pub(crate) const RBP: usize = 6;
/// The number of RSP.
pub(crate) const RSP: usize = 7;
/// The number of R12, which R13 to R15 follow.
pub(crate) const R12: usize = 12;
/// The number of RIP.
pub(crate) const RIP: usize = 16;
/// The number of the flags.
pub(crate) const FLAGS: usize = 17;
/// CS, SS, DS, ES, FS, GS.
pub(crate) const SEGMENTS: usize = 18;
/// The number of ST0.
pub(crate) const ST: usize = 24;
/// Control, status, tag, and of the last instruction: segment, offset, operand's segment and offset, opcode.
pub(crate) const X87: usize = 32;
/// The number of XMM0.
pub(crate) const XMM: usize = 40;
/// The number of MXCSR.
pub(crate) const MXCSR: usize = 56;
/// The bases of FS and GS.
pub(crate) const BASES: usize = 57;
/// The number of the upper half of YMM0.
pub(crate) const UPPER: usize = 59;

/// How many registers a machine has.
pub(crate) fn count(has_avx: bool) -> usize {
    if has_avx { COUNT } else { UPPER }
}

/// What a thread's registers hold, as far as that is known: a parked thread has kept only those that a call keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    bytes: [u8; BYTES],
    /// A bit for each register that is known.
    known: u128,
}

impl Registers {
    /// None is known.
    pub const fn new() -> Self {
        Self {
            bytes: [0; BYTES],
            known: 0,
        }
    }

    /// The bytes of register `number`, if it is known.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        let known = number < COUNT && self.known >> number & 1 != 0;
        known.then(|| &self.bytes[place(number)])
    }

    /// The value of register `number`, of which the lowest 64 bits are told; 0 if it is not known.
    pub fn value(&self, number: usize) -> u64 {
        let mut value = [0; 8];
        let bytes = self.get(number).unwrap_or_default();
        let len = bytes.len().min(8);
        value[..len].copy_from_slice(&bytes[..len]);
        u64::from_le_bytes(value)
    }

    /// Sets register `number` to `bytes`; `false` if there is no such register, or it has another size.
    pub fn set(&mut self, number: usize, bytes: &[u8]) -> bool {
        if number >= COUNT || bytes.len() != size(number) {
            return false;
        }
        self.bytes[place(number)].copy_from_slice(bytes);
        self.known |= 1 << number;
        true
    }

    /// Sets register `number` to the lowest bytes of `value`. Not for larger registers.
    pub(crate) fn set_value(&mut self, number: usize, value: u64) {
        let len = size(number).min(8);
        self.set(number, &value.to_le_bytes()[..len]);
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

/// The bytes of register `number`.
pub(crate) fn size(number: usize) -> usize {
    match number {
        FLAGS..ST | X87..XMM | MXCSR => 4,
        ST..X87 => 10,
        XMM..MXCSR | UPPER.. => 16,
        _ => 8,
    }
}

fn place(number: usize) -> Range<usize> {
    let start = (0..number).map(size).sum();
    start..start + size(number)
}

/// The target description (GDB manual, G.5.15, "i386 Features"), in pieces: some depend on the machine.
pub(crate) fn description(has_avx: bool) -> [&'static str; 3] {
    const AVX: &str = include_str!("target-avx.xml");
    let avx = if has_avx { AVX } else { "" };
    [include_str!("target.xml"), avx, "</target>\n"]
}

#[cfg(test)]
mod tests {
    use super::{BYTES, COUNT, Registers, UPPER, count, description, place, size};

    #[test]
    fn the_sizes_add_up() {
        assert_eq!((0..COUNT).map(size).sum::<usize>(), BYTES);
        assert_eq!(place(COUNT - 1).end, BYTES);
    }

    #[test]
    fn the_description_lists_the_same_registers() {
        for has_avx in [false, true] {
            let text = description(has_avx).concat();
            let sizes: Vec<usize> = text
                .split("<reg ")
                .skip(1)
                .map(|reg| {
                    let (_, behind) = reg.split_once("bitsize=\"").expect("a size");
                    let (bits, _) = behind.split_once('"').expect("a number");
                    bits.parse::<usize>().expect("a number") / 8
                })
                .collect();
            assert_eq!(
                sizes,
                (0..count(has_avx)).map(size).collect::<Vec<_>>(),
                "{text}"
            );
            assert!(text.ends_with("</feature>\n</target>\n"), "{text}");
        }
    }

    #[test]
    fn registers_keep_what_they_are_set_to() {
        let mut registers = Registers::new();
        assert_eq!(registers.get(3), None);
        registers.set_value(3, 0x0102);
        assert_eq!(registers.value(3), 0x0102);
        assert!(registers.set(40, &[7; 16]));
        assert!(!registers.set(40, &[7; 8]) && !registers.set(COUNT, &[0; 8]));
        assert_eq!(registers.get(40), Some(&[7; 16][..]));
        assert_eq!(registers.get(41), None);
        assert!(registers.set(UPPER + 15, &[9; 16]));
        assert_eq!(registers.get(UPPER + 15), Some(&[9; 16][..]));
        assert_eq!(registers.get(UPPER), None);
    }
}
