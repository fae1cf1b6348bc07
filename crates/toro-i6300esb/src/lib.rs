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

    use std::vec::Vec;

    use super::*;

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
