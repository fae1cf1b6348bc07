//! KVM's clock, read once: the exact frequency of the time stamp counter, and the time of day to the nanosecond.
//!
//! KVM writes two records into memory that an MSR names (Linux, `Documentation/virt/kvm/x86/msr.rst`). The first says how it
//! computes time from the counter, from which follows the counter's frequency; the second says when that time was zero. One
//! look is enough, for the counter runs at one rate: then the memory is taken away from KVM again.

use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use x86_64::registers::model_specific::Msr;

use crate::{cpu, tsc};

/// The bit of leaf 1 of KVM's leaves that offers both MSRs.
const CLOCKSOURCE2: u32 = 1 << 3;
const WALL_CLOCK_MSR: u32 = 0x4B56_4D00;
const SYSTEM_TIME_MSR: u32 = 0x4B56_4D01;
/// KVM writes a record within microseconds; this many looks at one that never settles take less than a millisecond.
const LOOKS: usize = 1000;
/// What KVM must say to be believed: a clock can do its sums with such numbers.
const PLAUSIBLE_HZ: Range<u64> = 1_000_000..50_000_000_000;
const PLAUSIBLE_SHIFT: Range<i32> = -32..32;

/// What KVM's clock said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The frequency of the time stamp counter, in hertz: from 1 MHz to 50 GHz.
    pub tsc_hz: u64,
    /// The time of day, in nanoseconds since 1970; `None` if KVM does not tell.
    pub unix_ns: Option<u64>,
}

/// A record: eight words, of which the first counts its versions. Aligned, so that none lies on two pages.
#[repr(C, align(32))]
#[derive(Default)]
struct Record([AtomicU32; 8]);

/// Reads the clock; `None` if there is none, or it says nothing that can be believed.
pub fn read() -> Option<Reading> {
    if cpu::cpuid(base()? + 1)[0] & CLOCKSOURCE2 == 0 {
        return None;
    }
    // In the record of the counter, bit 0 of the address asks KVM to fill it.
    let time = ask(SYSTEM_TIME_MSR, 1)?;
    reading(time, ask(WALL_CLOCK_MSR, 0), tsc::read())
}

/// KVM's first leaf: those of others, whose interfaces KVM offers too, may come before it.
fn base() -> Option<u32> {
    // Without a hypervisor these leaves say 0, or what the last of the processor's says.
    for base in (0x4000_0000..0x4001_0000).step_by(0x100) {
        let [highest, name @ ..] = cpu::cpuid(base);
        if name == cpu::KVM {
            return Some(base);
        }
        if highest < base {
            break;
        }
    }
    None
}

/// Has KVM fill a record, and copies it. The register must exist.
#[inline(never)]
fn ask(register: u32, enable: u64) -> Option<[u32; 8]> {
    let record = Record::default();
    let address = (&raw const record).expose_provenance() as u64;
    let mut register = Msr::new(register);
    // SAFETY: the register exists. Memory is mapped one to one, the record lies on one page and lives until the register is
    // cleared below; KVM writes its 32 bytes at most, which are atomic, for they change behind our back.
    unsafe { register.write(address | enable) };
    let words = settled(&mut |word| record.0[word].load(Ordering::Acquire));
    // SAFETY: the register exists; 0 takes the record away from KVM.
    unsafe { register.write(0) };
    words
}

/// A record that did not change while it was read; `None` if it never settles.
fn settled(load: &mut dyn FnMut(usize) -> u32) -> Option<[u32; 8]> {
    for _ in 0..LOOKS {
        let version = load(0);
        let words = core::array::from_fn(|word| if word == 0 { version } else { load(word) });
        // Odd while KVM writes. Each load is an Acquire, so this one comes after those of the words.
        if version & 1 == 0 && load(0) == version {
            return Some(words);
        }
        cpu::relax();
    }
    None
}

/// What the records say when the counter stands at `tsc`.
///
/// ```text
/// counter:   version, -, counter (2 words), ns at that moment (2 words), factor, shift (8 bits) and flags
/// day:       version, s, ns                                              since 1970, when the ns above were 0
/// ```
fn reading(counter: [u32; 8], day: Option<[u32; 8]>, tsc: u64) -> Option<Reading> {
    let long = |word: usize| u64::from(counter[word + 1]) << 32 | u64::from(counter[word]);
    let (then, ns, factor) = (long(2), long(4), u64::from(counter[6]));
    let shift = i32::from(counter[7].to_le_bytes()[0].cast_signed());
    // ns = ((ticks << shift) * factor) >> 32; a record that was never written has the factor 0.
    let tsc_hz = shifted((1_000_000_000_u64 << 32).checked_div(factor)?, -shift);
    if !PLAUSIBLE_SHIFT.contains(&shift) || !PLAUSIBLE_HZ.contains(&tsc_hz) {
        return None;
    }
    let ticks = shifted(tsc.saturating_sub(then), shift);
    #[expect(clippy::cast_possible_truncation, reason = "only a lie is so long")]
    let elapsed = ((u128::from(ticks) * u128::from(factor)) >> 32) as u64;
    // A record that was never written has no seconds.
    let unix_ns = day.filter(|day| day[1] != 0).map(|[_, s, fraction, ..]| {
        let zero = u64::from(s) * 1_000_000_000 + u64::from(fraction);
        zero.wrapping_add(ns).wrapping_add(elapsed)
    });
    Some(Reading { tsc_hz, unix_ns })
}

/// `value` shifted to the left, to the right if `by` is negative.
fn shifted(value: u64, by: i32) -> u64 {
    if by < 0 {
        value.wrapping_shr(by.unsigned_abs())
    } else {
        value.wrapping_shl(by.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counter's record at `counter` and `ns`, as KVM fills it for `factor` and `shift`.
    fn record(counter: u64, ns: u64, factor: u32, shift: i8) -> [u32; 8] {
        let halves =
            |value: u64| [value & 0xFFFF_FFFF, value >> 32].map(|half| half.try_into().unwrap());
        let ([c, d], [n, o]) = (halves(counter), halves(ns));
        // Flag 1: all counters run alike.
        let last = u32::from_le_bytes([shift.to_le_bytes()[0], 1, 0, 0]);
        [2, 0, c, d, n, o, factor, last]
    }

    const DAY: [u32; 8] = [2, 1_700_000_000, 250, 0, 0, 0, 0, 0];
    const DAY_NS: u64 = 1_700_000_000_000_000_250;

    /// Checks the frequency that follows from what KVM computes for `khz`: one part in a thousand million.
    fn check(khz: u64, factor: u32, shift: i8) {
        let reading = reading(record(0, 0, factor, shift), None, 0).unwrap();
        let hz = khz * 1000;
        assert!(
            reading.tsc_hz.abs_diff(hz) <= hz / 1_000_000_000 + 1,
            "{khz} kHz: {reading:?}"
        );
    }

    #[test]
    fn finds_the_frequency_in_factor_and_shift() {
        // By `kvm_get_time_scale` of Linux: 2^32 * 10^6 / kHz, with the shift that puts it between 2^31 and 2^32.
        check(1_000_000, 1 << 31, 1);
        check(2_000_000, 1 << 31, 0);
        check(2_000_001, 4_294_965_148, -1);
        check(2_600_000, 3_303_820_996, -1);
        check(3_700_000, 2_321_603_943, -1);
        check(24_000, 2_796_202_666, 6);
        check(5_800_000, 2_962_046_411, -2);
    }

    #[test]
    fn understands_what_kvm_has_written() {
        // By Linux 6.18, for a machine of 2,596,136 kHz; 19 us later its own clock said 1,795,268,739.546260574 s.
        let counter = [2, 0, 1_291_762_121, 4449, 706_920, 0, 3_308_738_291, 511];
        let day = [2, 1_795_268_739, 545_459_154, 0, 0, 0, 0, 0];
        let read = reading(counter, Some(day), 19_109_601_458_143).unwrap();
        assert_eq!(read.tsc_hz / 1000, 2_596_136);
        assert_eq!(read.unix_ns, Some(1_795_268_739_546_241_616));
    }

    #[test]
    fn finds_the_time_of_day() {
        // 1 GHz: a tick is a nanosecond.
        let counter = record(5_000, 40, 1 << 31, 1);
        let at = |tsc| reading(counter, Some(DAY), tsc).unwrap().unix_ns;
        assert_eq!(at(5_000), Some(DAY_NS + 40));
        assert_eq!(at(1_000_005_000), Some(DAY_NS + 1_000_000_040));
        // The counter of another core may be a little behind.
        assert_eq!(at(4_990), Some(DAY_NS + 40));
        // 4 GHz, and more than 32 bits of everything.
        let counter = record(7 << 40, 9 << 40, 1 << 31, -1);
        let read = reading(counter, Some(DAY), (7 << 40) + (4 << 33)).unwrap();
        assert_eq!(read.unix_ns, Some(DAY_NS + (9 << 40) + (1 << 33)));
        assert_eq!(read.tsc_hz, 4_000_000_000);
    }

    #[test]
    fn does_without_the_day() {
        let read = |day| reading(record(0, 0, 1 << 31, 1), day, 77);
        let expected = Reading {
            tsc_hz: 1_000_000_000,
            unix_ns: None,
        };
        assert_eq!(read(None), Some(expected));
        assert_eq!(read(Some([0; 8])), Some(expected), "never written");
    }

    #[test]
    fn does_not_believe_a_frequency_that_no_counter_has() {
        for (factor, shift) in [
            (0, 0),
            (0, -128),
            (1, 0),
            (1 << 31, 127),
            (1 << 31, -128),
            (1 << 31, 12),
            (u32::MAX, i8::MIN),
        ] {
            let counter = record(0, 0, factor, shift);
            assert_eq!(reading(counter, Some(DAY), 1), None, "{factor} {shift}");
        }
    }

    #[test]
    fn survives_any_numbers() {
        let lie = [u32::MAX; 8];
        assert!(reading(record(u64::MAX, u64::MAX, 1 << 31, 1), Some(lie), 0).is_some());
        assert!(reading(record(0, u64::MAX, u32::MAX, 31), Some(lie), u64::MAX).is_none());
        assert!(reading(record(0, u64::MAX, u32::MAX, 5), Some(lie), u64::MAX).is_some());
        assert_eq!(
            reading(lie, Some(lie), u64::MAX).map(|read| read.tsc_hz),
            Some(2_000_000_000)
        );
    }

    #[test]
    fn takes_a_record_that_does_not_change() {
        let words = record(1, 2, 3, 4);
        assert_eq!(settled(&mut |word| words[word]), Some(words));
    }

    #[test]
    fn reads_again_what_changed_meanwhile() {
        let (old, new) = (record(1, 2, 3, 4), [4, 0, 9, 9, 9, 9, 9, 9]);
        // KVM comes between the `n`th load and the next: before, in the middle of, and after the first look.
        for n in 0..12 {
            let mut loads = 0;
            let read = settled(&mut |word| {
                loads += 1;
                if loads > n { new[word] } else { old[word] }
            });
            let expected = if n < 9 { new } else { old };
            assert_eq!(read, Some(expected), "after {n} loads");
        }
    }

    #[test]
    fn gives_up_on_a_record_that_never_settles() {
        let mut version = 0;
        let growing = |word| {
            version += 2;
            if word == 0 { version } else { 0 }
        };
        assert_eq!(settled(&mut { growing }), None);
        for version in [1, u32::MAX] {
            assert_eq!(settled(&mut |_| version), None, "version {version}");
        }
    }
}
