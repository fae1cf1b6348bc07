//! The time stamp counter of the host's processors.

use std::arch::x86_64::{__cpuid as cpuid, _rdtsc};

/// The counter of the processor that this thread is on.
#[must_use]
pub fn read() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { _rdtsc() }
}

/// Whether it counts at one rate whatever the processor does (Intel SDM 3B, 18.17.1).
#[must_use]
pub fn is_invariant() -> bool {
    const LEAF: u32 = 0x8000_0007;
    cpuid(0x8000_0000).eax >= LEAF && cpuid(LEAF).edx >> 8 & 1 == 1
}
