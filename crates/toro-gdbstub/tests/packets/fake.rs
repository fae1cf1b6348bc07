//! [`Fake`]: a machine of two threads and a page of memory, for tests and the fuzzer.

use core::fmt;

use toro_gdbstub::{Machine, Point, Registers, Thread};

/// Where its memory begins.
const START: u64 = 0x1000;

/// A machine that keeps what it is told.
#[derive(Debug)]
pub(crate) struct Fake {
    memory: Vec<u8>,
    registers: Registers,
    points: Vec<Point>,
}

impl Fake {
    /// Memory full of zeros, registers of which RIP is known.
    pub(crate) fn new() -> Self {
        let mut registers = Registers::new();
        registers.set(16, &START.to_le_bytes());
        Self {
            memory: vec![0; 4096],
            registers,
            points: Vec::new(),
        }
    }

    fn place(&self, addr: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(addr.checked_sub(START)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.memory.len()).then_some(start..end)
    }
}

impl Machine for Fake {
    fn threads(&mut self, visit: &mut dyn FnMut(&Thread<'_>)) {
        for (id, name, on_core) in [(1, "boot", true), (2, "<parked> & \"quoted\"", false)] {
            visit(&Thread {
                id,
                core: 0,
                name,
                on_core,
                state: "tested",
            });
        }
    }

    fn registers(&mut self, thread: u64) -> Option<Registers> {
        matches!(thread, 1 | 2).then(|| self.registers.clone())
    }

    fn set_registers(&mut self, thread: u64, registers: &Registers) -> bool {
        if thread == 1 {
            self.registers = registers.clone();
        }
        thread == 1
    }

    fn has_avx(&self) -> bool {
        true
    }

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> usize {
        let found = (0..=bytes.len())
            .rev()
            .find_map(|len| self.place(addr, len));
        let Some(place) = found else {
            return 0;
        };
        bytes[..place.len()].copy_from_slice(&self.memory[place.clone()]);
        place.len()
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let place = self.place(addr, bytes.len());
        place
            .map(|place| self.memory[place].copy_from_slice(bytes))
            .is_some()
    }

    fn insert(&mut self, point: Point) -> bool {
        let fits = self.points.len() < 64;
        if fits {
            self.points.push(point);
        }
        fits
    }

    fn remove(&mut self, point: Point) -> bool {
        let at = self.points.iter().position(|known| *known == point);
        at.map(|at| self.points.remove(at)).is_some()
    }

    fn monitor(&mut self, command: &str, out: &mut dyn fmt::Write) {
        write!(out, "no such command: {command}").expect("a console takes everything");
    }
}
