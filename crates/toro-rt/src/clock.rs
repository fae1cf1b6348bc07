//! The clock's frequencies: asked where the machine or KVM names them, else measured, never assumed.
//!
//! The time stamp counter and the local APIC's timer are measured together against a ruler of known rate. A ruler is the ACPI
//! timer or the PIT; a machine with neither (a microvm without a PIT under an emulator) is left with the local APIC's timer
//! itself, whose rate QEMU and KVM fix at 1 GHz.

use core::time::Duration;

use log::{debug, warn};
use toro_arch::{apic, cpu, kvmclock, pit, port, rtc, tsc, watch};
use toro_boot::BootInfo;
use toro_sync::Once;
use toro_time::{Alarm, Clock, SystemTime};

use crate::machine::Machine;

/// How long to measure, in microseconds: the ends are sampled to well below a microsecond, so that the error is below 0.2 %.
const WINDOW_US: u64 = 300;

const PM_TIMER_HZ: u64 = 3_579_545;
/// QEMU's `APIC_BUS_FREQ`-less model and KVM's `APIC_BUS_FREQUENCY` both tick once a nanosecond.
const HYPERVISOR_APIC_HZ: u64 = 1_000_000_000;

/// What the boot core found, for the others: all cores' counters run alike.
static TIME: Once<(Clock, Alarm)> = Once::new();

/// Something that counts at a known rate.
#[derive(Clone, Copy, Debug)]
enum Ruler {
    PmTimer(u16),
    Pit,
    LocalApic,
}

impl Ruler {
    fn choose(machine: &Machine) -> Option<Self> {
        let counts = |port| {
            let first = port::inl(port);
            (0..64).any(|_| port::inl(port) != first)
        };
        if let Some(port) = machine.pm_timer().filter(|&port| counts(port)) {
            return Some(Self::PmTimer(port));
        }
        if pit::is_present() {
            return Some(Self::Pit);
        }
        match cpu::hypervisor() {
            Some((_, cpu::TCG | cpu::KVM)) => Some(Self::LocalApic),
            _ => None,
        }
    }

    const fn hz(self) -> u64 {
        match self {
            Self::PmTimer(_) => PM_TIMER_HZ,
            Self::Pit => pit::HZ,
            Self::LocalApic => HYPERVISOR_APIC_HZ,
        }
    }

    fn start(self) {
        if let Self::Pit = self {
            pit::start();
        }
    }

    /// Reads the ruler, counting upwards.
    fn read(self) -> u64 {
        match self {
            Self::PmTimer(port) => u64::from(port::inl(port)),
            Self::Pit => u64::from(u16::MAX - pit::read()),
            Self::LocalApic => u64::from(apic::counted()),
        }
    }

    /// Ticks from `start` to `end`, of which the lower 16 or 24 bits count.
    const fn ticks(self, start: u64, end: u64) -> u64 {
        match self {
            // 24 bits are enough for a millisecond, and every ACPI timer has them.
            Self::PmTimer(_) => end.wrapping_sub(start) & 0xFF_FFFF,
            Self::Pit => end.wrapping_sub(start) & 0xFFFF,
            Self::LocalApic => end.wrapping_sub(start) & 0xFFFF_FFFF,
        }
    }
}

/// The three counters at one moment.
#[derive(Clone, Copy)]
struct Sample {
    tsc: u64,
    ruler: u64,
    apic: u64,
}

/// Reads the three counters; the first number says how many ticks that took.
///
/// Not inlined: an emulator translates code when it first runs, and a copy for each call would be slow each time.
#[inline(never)]
fn read_all(ruler: Ruler) -> (u64, Sample) {
    let before = tsc::read();
    let value = ruler.read();
    let apic = u64::from(apic::counted());
    let after = tsc::read();
    let tsc = before + (after - before) / 2;
    (
        after - before,
        Sample {
            tsc,
            ruler: value,
            apic,
        },
    )
}

/// The tightest of a few samples: one that the host interrupted is off by the time it was away.
fn sample(ruler: Ruler) -> Sample {
    let (mut width, mut tightest) = read_all(ruler);
    for _ in 0..3 {
        let (next_width, next) = read_all(ruler);
        if next_width < width {
            (width, tightest) = (next_width, next);
        }
    }
    tightest
}

/// Frequencies of the time stamp counter and the local APIC's timer, in hertz.
fn measure(ruler: Ruler) -> (u64, u64) {
    apic::start_counting();
    ruler.start();
    let start = sample(ruler);
    let wanted = ruler.hz() * WINDOW_US / 1_000_000;
    while ruler.ticks(start.ruler, ruler.read()) < wanted {
        cpu::relax();
    }
    let end = sample(ruler);
    let ticks = ruler.ticks(start.ruler, end.ruler).max(1);
    let hz = |counted: u64| {
        let hz = u128::from(counted) * u128::from(ruler.hz()) / u128::from(ticks);
        u64::try_from(hz).unwrap_or(u64::MAX).max(1)
    };
    (hz(end.tsc - start.tsc), hz(end.apic - start.apic))
}

/// Measures the local APIC's timer against the counter, whose frequency is known.
fn measure_apic(tsc_hz: u64) -> u64 {
    apic::start_counting();
    let (start, first) = (tsc::read(), u64::from(apic::counted()));
    while tsc::read() - start < tsc_hz / 5000 {
        cpu::relax();
    }
    let (end, last) = (tsc::read(), u64::from(apic::counted()));
    u64::try_from(u128::from(last - first) * u128::from(tsc_hz) / u128::from(end - start))
        .unwrap_or(1)
        .max(1)
}

/// Finds the frequencies and the time of day, and starts this core's clock and timers.
pub(crate) fn init(info: &BootInfo, machine: &Machine) {
    let kvm = kvmclock::read();
    let named = kvm.map(|kvm| kvm.tsc_hz).or_else(tsc::named_frequency);
    let (vector, compares) = (watch::TIMER, cpu::Features::detect().tsc_deadline);
    let (tsc_hz, apic_hz) = if let Some(hz) = named {
        // What compares with the counter needs no rate of its own.
        (hz, if compares { 0 } else { measure_apic(hz) })
    } else if let Some(ruler) = Ruler::choose(machine) {
        measure(ruler)
    } else {
        log::error!(
            "no clock: this machine has no ACPI timer, no PIT and no hypervisor that names a frequency"
        );
        crate::exit::fail_early()
    };
    let alarm = if compares {
        Alarm::tsc_deadline(vector)
    } else {
        Alarm::countdown(vector, apic_hz)
    };
    let mut clock = Clock::new(tsc_hz, info.entry_tsc);
    let now = kvm
        .and_then(|kvm| kvm.unix_ns)
        .map(|ns| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns))
        .or_else(|| rtc::read().map(|date| SystemTime::from_unix_secs(date.unix_seconds())));
    match now {
        Some(now) => {
            let since_entry = clock.ns(tsc::read());
            clock = clock.booted_at(now - Duration::from_nanos(since_entry));
        }
        None => warn!("no clock that knows the date: the time of day starts in 1970"),
    }
    debug!(
        "clock: TSC {} kHz{}",
        tsc_hz / 1000,
        kvm.map_or("", |_| ", from KVM")
    );
    #[cfg(feature = "watchdog")]
    let alarm = crate::watchdog::install(alarm);
    #[cfg(feature = "trace")]
    let alarm = crate::sampler::install(alarm);
    #[cfg(feature = "idle-poll")]
    if crate::environment::value("idle") == Some("poll") {
        // Some round trips of a message between two cores.
        toro_sched::look_before_halt(clock.ticks(Duration::from_micros(200)));
    }
    TIME.call_once(|| (clock, alarm));
    start(clock, alarm);
}

/// Starts the clock and timers of a core that is not the boot core, with the boot core's numbers.
pub(crate) fn init_core() {
    let &(clock, alarm) = TIME.get().expect("the boot core has its clock first");
    start(clock, alarm);
}

fn start(clock: Clock, alarm: Alarm) {
    toro_time::init(clock, alarm);
    #[cfg(feature = "watchdog")]
    crate::watchdog::start_core(&clock, &alarm);
    #[cfg(feature = "trace")]
    crate::sampler::start_core(&clock, &alarm);
}
