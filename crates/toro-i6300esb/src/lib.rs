//! The watchdog of the Intel 6300ESB (Intel 6300ESB I/O Controller Hub datasheet, chapter 16), which QEMU has as `i6300esb`.
//!
//! It counts down twice, and acts at the second end: what it does then is up to the machine (`-action watchdog=...`). Who
//! feeds it in time starts both countdowns anew. Its registers in memory take a value only behind two writes that unlock
//! them; two more lie in configuration space and take only writes of their own width.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use core::time::Duration;

use toro_pci::{Function, Part, Registers};

/// The vendor and the device by which it is found.
pub const ID: (u16, u16) = (0x8086, 0x25ab);

/// The bytes of its registers, at the start of BAR 0.
pub const REGISTERS: u32 = 16;

/// Configuration space: no interrupt between the countdowns (bits 0 and 1), the clock of 1 kHz (bit 2), and that it may reset
/// the machine (bit 5 clear).
const CONFIG: u8 = 0x60;
const CONFIG_RESET_AT_1_KHZ: u16 = 0x0003;
/// Configuration space: whether it counts.
const LOCK: u8 = 0x68;
const LOCK_STOPPED: u8 = 0x00;
const LOCK_ENABLED: u8 = 0x02;

/// Memory: the lengths of the countdowns, in ticks.
const FIRST: usize = 0x0;
const SECOND: usize = 0x4;
/// Memory: the two words that unlock, and then what starts the countdowns anew.
const RELOAD: usize = 0xc;
const UNLOCK: [u16; 2] = [0x80, 0x86];
const RESTART: u16 = 0x0100;
/// Clears the mark that it has once acted.
const FORGET: u16 = 0x0200;

/// The longest countdown: 20 bits of about a millisecond.
const MOST_TICKS: u32 = 0x000f_ffff;

/// A watchdog that counts: it acts unless it is [fed](Self::feed) within its time.
pub struct Watchdog {
    registers: Registers,
}

/// A write to a register in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Word(usize, u32),
    Half(usize, u16),
}

impl Watchdog {
    /// Starts the watchdog at `function`, whose [`REGISTERS`] are `registers`. It acts when it is not fed for `timeout`, which is
    /// cut to what it can count: 35 minutes.
    pub fn start(function: &mut Function<'_>, registers: Registers, timeout: Duration) -> Self {
        function.start(false);
        function.write_part(LOCK, Part::Byte(LOCK_STOPPED));
        function.write_part(CONFIG, Part::Half(CONFIG_RESET_AT_1_KHZ));
        let watchdog = Self { registers };
        setting(ticks(timeout)).for_each(|write| watchdog.carry_out(write));
        function.write_part(LOCK, Part::Byte(LOCK_ENABLED));
        watchdog
    }

    /// Starts the time anew.
    pub fn feed(&mut self) {
        unlocked(Write::Half(RELOAD, RESTART)).for_each(|write| self.carry_out(write));
    }

    fn carry_out(&self, write: Write) {
        match write {
            Write::Word(offset, value) => self.registers.write(offset, value),
            Write::Half(offset, value) => self.registers.write(offset, value),
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watchdog")
    }
}

/// The length of each of two countdowns that take `timeout` together: a tick is 2^15 cycles of 33 MHz, 0.993 ms.
fn ticks(timeout: Duration) -> u32 {
    let ticks = timeout.as_millis() / 2 * 1000 / 993;
    u32::try_from(ticks)
        .unwrap_or(MOST_TICKS)
        .clamp(1, MOST_TICKS)
}

/// What gives both countdowns their length, in order.
fn setting(ticks: u32) -> impl Iterator<Item = Write> {
    [
        Write::Half(RELOAD, FORGET),
        Write::Word(FIRST, ticks),
        Write::Word(SECOND, ticks),
        Write::Half(RELOAD, RESTART),
    ]
    .into_iter()
    .flat_map(unlocked)
}

/// A write with the two before it that unlock the registers.
fn unlocked(write: Write) -> impl Iterator<Item = Write> {
    let unlock = UNLOCK.map(|word| Write::Half(RELOAD, word));
    unlock.into_iter().chain([write])
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::cell::RefCell;
    use std::vec::Vec;

    use toro_fake::{FakeDevice, Random};
    use toro_pci::{Address, ConfigSpace};
    use toro_virtio::DeviceType;

    use super::*;

    /// A function that answers anything, and remembers what parts it was told.
    struct Liar {
        random: RefCell<Random>,
        parts: RefCell<Vec<(u8, Part)>>,
    }

    impl ConfigSpace for Liar {
        fn read(&self, _: Address, offset: u8) -> u32 {
            // Who it is it must say, or nobody asks it anything.
            match offset {
                0 => u32::from(ID.1) << 16 | u32::from(ID.0),
                _ => self.random.borrow_mut().next_u32(),
            }
        }

        fn write(&self, _: Address, _: u8, _: u32) {}

        fn write_part(&self, _: Address, offset: u8, value: Part) {
            self.parts.borrow_mut().push((offset, value));
        }
    }

    /// What the chip makes of writes: it takes one behind two that unlock it (16.5).
    #[derive(Default)]
    struct Chip {
        unlocked: usize,
        lengths: [u32; 2],
        /// How long it has counted.
        counted: u64,
    }

    impl Chip {
        fn take(&mut self, write: Write) {
            let key = |at| Write::Half(RELOAD, UNLOCK[at]);
            if self.unlocked < 2 && write == key(self.unlocked) {
                self.unlocked += 1;
                return;
            }
            if core::mem::take(&mut self.unlocked) < 2 {
                return;
            }
            match write {
                Write::Word(FIRST, length) => self.lengths[0] = length,
                Write::Word(SECOND, length) => self.lengths[1] = length,
                Write::Half(RELOAD, RESTART) => self.counted = 0,
                _ => {}
            }
        }

        fn acts(&self) -> bool {
            self.counted >= self.lengths.iter().map(|length| u64::from(*length)).sum()
        }
    }

    #[test]
    fn random_feeding_keeps_the_chip_from_acting_and_nothing_else_does() {
        let mut random = Random::new(1);
        for _ in 0..toro_fake::steps(20_000) / 10 {
            let mut chip = Chip::default();
            let most = ticks(Duration::from_millis(u64::from(random.below(3_000_000))));
            setting(most).for_each(|write| chip.take(write));
            for _ in 0..10 {
                chip.counted += u64::from(random.below(2 * most + 1));
                let was_late = chip.acts();
                let waited = chip.counted;
                assert_eq!(was_late, waited >= 2 * u64::from(most));
                if random.below(4) == 0 {
                    // Without the key, nothing is taken.
                    chip.take(Write::Half(RELOAD, RESTART));
                    assert_eq!(chip.counted, waited);
                }
                unlocked(Write::Half(RELOAD, RESTART)).for_each(|write| chip.take(write));
                assert!(!chip.acts());
            }
        }
    }

    #[test]
    fn nothing_that_a_device_does_changes_what_it_is_told() {
        let mut random = Random::new(2);
        let memory = FakeDevice::new(DeviceType::NET, 0, 1, 8).transport();
        let registers = memory.config().part(0, REGISTERS as usize);
        let registers = registers.expect("it has more");
        let liar = Liar {
            random: RefCell::new(Random::new(3)),
            parts: RefCell::new(Vec::new()),
        };
        let mut watchdog = None;
        for _ in 0..toro_fake::steps(200_000) {
            match (random.below(8), &mut watchdog) {
                (0, _) | (_, None) => {
                    liar.parts.borrow_mut().clear();
                    let mut function =
                        Function::at(&liar, Address::new(0, 4, 0)).expect("it answers");
                    let timeout = Duration::from_millis(u64::from(random.next_u32()));
                    watchdog = Some(Watchdog::start(&mut function, registers, timeout));
                    let lengths = [FIRST, SECOND].map(|at| registers.read::<u32>(at));
                    assert_eq!(lengths, [ticks(timeout); 2]);
                    assert!((1..=MOST_TICKS).contains(&lengths[0]));
                    let parts = [
                        (LOCK, Part::Byte(LOCK_STOPPED)),
                        (CONFIG, Part::Half(CONFIG_RESET_AT_1_KHZ)),
                        (LOCK, Part::Byte(LOCK_ENABLED)),
                    ];
                    assert_eq!(*liar.parts.borrow(), parts);
                }
                (1..4, Some(watchdog)) => {
                    watchdog.feed();
                    assert_eq!(registers.read::<u16>(RELOAD), RESTART);
                }
                _ => registers.write(random.index(REGISTERS as usize), random.next_u8()),
            }
        }
    }

    #[test]
    fn every_write_is_unlocked() {
        let writes: Vec<Write> = setting(500).collect();
        let unlock = [Write::Half(0xc, 0x80), Write::Half(0xc, 0x86)];
        assert_eq!(writes.len(), 12);
        for three in writes.chunks(3) {
            assert_eq!(three[..2], unlock);
        }
        assert_eq!(writes[5], Write::Word(0, 500));
        assert_eq!(writes[8], Write::Word(4, 500));
        assert_eq!(writes[11], Write::Half(0xc, 0x100));
    }

    #[test]
    fn countdowns_have_half_the_time_and_twenty_bits() {
        let check = |seconds, expected| assert_eq!(ticks(Duration::from_secs(seconds)), expected);
        check(20, 10_070);
        check(1, 503);
        check(0, 1);
        check(86_400, MOST_TICKS);
        check(u64::MAX, MOST_TICKS);
    }
}
