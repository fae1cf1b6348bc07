//! The programmable interval timer (8254), as a ruler: its channel 2 counts down at a known rate.

use crate::port::{inb, outb};

/// Ticks a second.
pub const HZ: u64 = 1_193_182;

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// Bit 0 gates channel 2, bit 1 lets it through to the speaker.
const GATE: u16 = 0x61;

/// Starts channel 2 from 65,535 downwards.
pub fn start() {
    outb(GATE, inb(GATE) & !2 | 1);
    // Channel 2, both bytes, mode 0 (count down once), binary.
    outb(COMMAND, 0b1011_0000);
    outb(CHANNEL_2, 0xFF);
    outb(CHANNEL_2, 0xFF);
}

/// The count that is left.
pub fn read() -> u16 {
    // Latch channel 2, then its two bytes.
    outb(COMMAND, 0b1000_0000);
    u16::from_le_bytes([inb(CHANNEL_2), inb(CHANNEL_2)])
}

/// Whether the machine has a timer at all: ports without a device read as ones and never count.
pub fn is_present() -> bool {
    start();
    let first = read();
    (0..64).any(|_| read() != first)
}
