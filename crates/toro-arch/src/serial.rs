//! The first serial port (16550 at 0x3F8): bytes out, one look at the status for every sixteen.

use crate::port::{inb, outb};

const BASE: u16 = 0x3F8;
const LINE_STATUS: u16 = BASE + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes that the transmit FIFO takes once it is empty.
const FIFO: usize = 16;

/// Sets the port to 115,200 8N1 with its FIFO on.
pub fn init() {
    outb(BASE + 1, 0); // no interrupts
    outb(BASE + 3, 0x80); // divisor latch
    outb(BASE, 1);
    outb(BASE + 1, 0);
    outb(BASE + 3, 0x03); // 8N1
    outb(BASE + 2, 0x07); // FIFO on and empty
}

/// Writes `bytes`, waiting for the port as long as it takes; gives up on a port that does not answer.
pub fn write(bytes: &[u8]) {
    for chunk in bytes.chunks(FIFO) {
        let mut patience = 1_000_000;
        while inb(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
            patience -= 1;
            if patience == 0 {
                return;
            }
            crate::cpu::relax();
        }
        for &byte in chunk {
            outb(BASE, byte);
        }
    }
}
