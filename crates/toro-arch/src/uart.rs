//! [`Uart`]: a 16550 serial port that is polled in both directions, and that can tell of what comes in by its line.

use crate::port::{inb, outb};

/// Where the ports of a PC are, and their interrupt lines.
const PORTS: [(u16, u32); 4] = [(0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3)];

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const DATA_READY: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// A serial port.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    base: u16,
    line: u32,
}

impl Uart {
    /// The port that Linux calls `ttyS` and `number`, at 115,200 8N1; `None` if there is none.
    pub fn open(number: usize) -> Option<Self> {
        let &(base, line) = PORTS.get(number)?;
        let uart = Self { base, line };
        for probe in [0x5A, 0xA5] {
            uart.write_register(SCRATCH, probe);
            if uart.read_register(SCRATCH) != probe {
                return None;
            }
        }
        uart.set_interrupts(false);
        uart.write_register(LINE_CONTROL, 0x80); // divisor latch
        uart.write_register(DATA, 1);
        uart.write_register(INTERRUPT_ENABLE, 0);
        uart.write_register(LINE_CONTROL, 0x03); // 8N1
        uart.write_register(FIFO_CONTROL, 0x07); // on, empty, an interrupt for each byte
        uart.write_register(MODEM_CONTROL, 0x0B); // DTR, RTS, and the gate of the interrupt line
        Some(uart)
    }

    /// The global interrupt of its line.
    pub fn line(self) -> u32 {
        self.line
    }

    /// Whether its line rises when a byte has come in, or is there already.
    pub fn set_interrupts(self, wanted: bool) {
        self.write_register(INTERRUPT_ENABLE, u8::from(wanted));
    }

    /// Whether a byte has come in.
    pub fn has_input(self) -> bool {
        self.read_register(LINE_STATUS) & DATA_READY != 0
    }

    /// The next byte that has come in.
    pub fn read(self) -> Option<u8> {
        self.has_input().then(|| self.read_register(DATA))
    }

    /// Writes a byte, waiting for the port; gives up on one that does not answer.
    pub fn write(self, byte: u8) {
        for _ in 0..1_000_000 {
            if self.read_register(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                return self.write_register(DATA, byte);
            }
            crate::cpu::relax();
        }
    }

    fn read_register(self, register: u16) -> u8 {
        inb(self.base + register)
    }

    fn write_register(self, register: u16, value: u8) {
        outb(self.base + register, value);
    }
}
