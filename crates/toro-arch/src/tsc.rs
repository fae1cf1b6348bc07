//! The time stamp counter.

use core::arch::x86_64::_rdtsc;

/// Ticks since some moment before the boot.
///
/// Not ordered with the instructions around it: where that matters, the caller's next device access orders it.
#[inline(always)]
pub fn read() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and ring 0 may use it.
    unsafe { _rdtsc() }
}

/// The counter's frequency in hertz, if the processor or the hypervisor names it.
///
/// CPUID leaf 0x15 (Intel SDM volume 2, CPUID) and the hypervisors' common leaf 0x4000_0010 (kHz).
pub fn named_frequency() -> Option<u64> {
    let highest = crate::cpu::cpuid(0)[0];
    if highest >= 0x15 {
        let [denominator, numerator, crystal_hz, _] = crate::cpu::cpuid(0x15);
        if denominator != 0 && numerator != 0 && crystal_hz != 0 {
            return Some(u64::from(crystal_hz) * u64::from(numerator) / u64::from(denominator));
        }
    }
    match crate::cpu::hypervisor() {
        Some((highest, _)) if (0x4000_0010..0x4001_0000).contains(&highest) => {
            let khz = crate::cpu::cpuid(0x4000_0010)[0];
            (khz != 0).then(|| u64::from(khz) * 1000)
        }
        _ => None,
    }
}
