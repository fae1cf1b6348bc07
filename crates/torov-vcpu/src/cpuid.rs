//! What the program learns from `cpuid`: few leaves, made by hand.
//!
//! Asking KVM for its own list takes most of a millisecond, and where `cpuid` traps each leaf that a C library looks at
//! costs its share of the start. So the guest sees what a program can use (instruction sets) and nothing of caches,
//! power and topology; the vendor is nobody, which keeps libraries from looking for more.

use std::arch::x86_64::__cpuid_count as cpuid_count;

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use crate::extended;

/// The bits of XCR0 that a guest may have: x87, SSE, AVX, AVX-512.
const STATES: u64 = 0xe7;
const AVX: u64 = 0x07;
const AVX512: u64 = 0xe7;

/// The parts of the processor state that the host offers, as in XCR0. 0 if it has no XSAVE.
#[must_use]
pub fn offered_states() -> u64 {
    let has_xsave = cpuid_count(1, 0).ecx >> 27 & 1 == 1;
    let top = cpuid_count(0, 0).eax;
    if !has_xsave || top < 0xd {
        return 0;
    }
    u64::from(cpuid_count(0xd, 0).eax) & STATES
}

/// The leaves of a guest whose XCR0 is `states`, or that has none if `states` is 0. An image of its registers has `len` bytes.
#[must_use]
pub fn leaves(states: u64, len: usize) -> Vec<kvm_cpuid_entry2> {
    let one = cpuid_count(1, 0);
    let seven = cpuid_count(7, 0);
    let extended = cpuid_count(0x8000_0001, 0);
    let keep = Keep::with(states);
    let no_index = |function, [eax, ebx, ecx, edx]: [u32; 4]| kvm_cpuid_entry2 {
        function,
        eax,
        ebx,
        ecx,
        edx,
        ..kvm_cpuid_entry2::default()
    };
    let mut leaves = vec![
        // "ToroV VM    " in the order ebx, edx, ecx.
        no_index(0, [7, word(b"Toro"), word(b"    "), word(b"V VM")]),
        no_index(
            1,
            [
                one.eax,
                one.ebx & 0xff00,
                one.ecx & keep.one,
                one.edx & FEATURES,
            ],
        ),
        no_index(
            7,
            [
                0,
                seven.ebx & keep.seven_ebx,
                seven.ecx & keep.seven_ecx,
                seven.edx & keep.seven_edx,
            ],
        ),
        no_index(0x8000_0000, [0x8000_0001, 0, 0, 0]),
        no_index(
            0x8000_0001,
            [0, 0, extended.ecx & 0x0020_0121, extended.edx & 0x2010_0800],
        ),
    ];
    leaves[2].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    if states != 0 {
        // Beyond the highest leaf of leaf 0, so that no library looks at it: it is for KVM, which takes no other XCR0.
        let [low, high] = [states, states >> 32].map(torov_abi::word::low);
        let len = torov_abi::word::low(torov_abi::word::wide(len));
        let mut parts = no_index(0xd, [low, len, len, high]);
        parts.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        leaves.push(parts);
    }
    leaves
}

/// The words of those leaves that speak of instructions: what a program may have made up its mind by.
#[must_use]
pub fn fingerprint(states: u64) -> [u32; 7] {
    let leaves = leaves(states, extended::len(states));
    let [one, seven, extended] = [leaves[1], leaves[2], leaves[4]];
    [
        one.ecx,
        one.edx,
        seven.ebx,
        seven.ecx,
        seven.edx,
        extended.ecx,
        extended.edx,
    ]
}

/// The features that the C library finds in `AT_HWCAP`: leaf 1, `edx`.
#[must_use]
pub fn features() -> u32 {
    cpuid_count(1, 0).edx & FEATURES
}

/// FPU to SSE2, without what only a kernel uses.
const FEATURES: u32 = 0x0788_a1f9;

/// Masks of the feature words.
#[derive(Debug)]
struct Keep {
    one: u32,
    seven_ebx: u32,
    seven_ecx: u32,
    seven_edx: u32,
}

impl Keep {
    fn with(states: u64) -> Self {
        // SSE3, PCLMULQDQ, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND, hypervisor.
        let mut keep = Self {
            one: 0xc2d8_2203 & !(1 << 12),
            // BMI1, BMI2, ERMS, RDSEED, ADX, CLFLUSHOPT, CLWB, SHA.
            seven_ebx: 0x218c_0308,
            // GFNI.
            seven_ecx: 1 << 8,
            // FSRM.
            seven_edx: 1 << 4,
        };
        if states & AVX == AVX {
            // FMA, XSAVE, OSXSAVE, AVX, F16C; AVX2; VAES, VPCLMULQDQ.
            keep.one |= 1 << 12 | 3 << 26 | 3 << 28;
            keep.seven_ebx |= 1 << 5;
            keep.seven_ecx |= 3 << 9;
        }
        if states & AVX512 == AVX512 {
            keep.seven_ebx |= 0xd023_0000;
            keep.seven_ecx |= 1 << 1 | 1 << 6 | 7 << 11 | 1 << 14;
            keep.seven_edx |= 1 << 8 | 1 << 23;
        }
        keep
    }
}

const fn word(text: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*text)
}

#[cfg(test)]
mod tests {
    use crate::extended::len;

    use super::leaves;

    #[test]
    fn without_avx_nobody_is_told_of_it() {
        let leaves = leaves(0, len(0));
        assert_eq!(leaves[1].ecx & (1 << 28 | 1 << 27), 0);
        assert_eq!(leaves[2].ebx & (1 << 5 | 1 << 16), 0);
        assert_ne!(leaves[1].edx & (1 << 26), 0, "SSE2 is always there");
    }

    #[test]
    fn the_machine_is_not_shown() {
        for states in [0, 7, 0xe7] {
            let leaves = leaves(states, len(states));
            assert_eq!(
                leaves[1].ecx & 0x0120_8178,
                0,
                "VMX, MONITOR and their like"
            );
            assert_eq!(
                leaves[2].ebx & 0x0210_0485,
                0,
                "FSGSBASE, SMEP and their like"
            );
            assert_eq!(
                leaves.iter().map(|leaf| leaf.function).max(),
                Some(0x8000_0001)
            );
        }
    }
}
