//! [`Random`]: numbers that repeat by their seed, and [`steps`], how many steps are taken with them.

/// How many steps a test with random ones takes: as many as the variable `TORO_STEPS` says, else `usual`.
///
/// # Panics
/// Panics if the variable is no number.
pub fn steps(usual: usize) -> usize {
    let steps = std::env::var("TORO_STEPS").ok();
    steps.map_or(usual, |steps| {
        steps.parse().expect("TORO_STEPS is a number")
    })
}

/// A xorshift generator: good enough to choose test steps.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u32(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }

    /// The next byte.
    pub fn next_u8(&mut self) -> u8 {
        self.next_u32().to_le_bytes()[3]
    }

    /// The next 16-bit number.
    pub fn next_u16(&mut self) -> u16 {
        u16::from_le_bytes([self.next_u8(), self.next_u8()])
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// Panics if `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.next_u32() % bound
    }

    /// An index below `len`.
    ///
    /// # Panics
    /// Panics if `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.next_u32() as usize % len
    }
}
