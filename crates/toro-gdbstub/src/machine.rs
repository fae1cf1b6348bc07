//! [`Machine`]: what a debugger needs of what it debugs.

use core::fmt;

use crate::points::Point;
use crate::registers::Registers;

/// A thread as gdb shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread<'a> {
    /// The number by which packets name it, from 1.
    pub id: u64,
    /// The core that it lives on.
    pub core: usize,
    /// The name that it was given.
    pub name: &'a str,
    /// Whether its core is in it: its registers are all known, and it can be let go.
    pub on_core: bool,
    /// What it is about, in a word.
    pub state: &'static str,
}

/// Why the machine stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The thread that stopped it.
    pub thread: u64,
    /// What happened.
    pub kind: StopKind,
}

/// What happened to the thread that stopped the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// A signal of Unix by its number, such as 5 for a step and 11 for a wild pointer.
    Signal(u8),
    /// It came to this point.
    Point(Point),
}

/// What is debugged, while it stands still.
pub trait Machine {
    /// Calls `visit` with every thread.
    fn threads(&mut self, visit: &mut dyn FnMut(&Thread<'_>));

    /// The registers of `thread`; `None` if there is no such thread.
    fn registers(&mut self, thread: u64) -> Option<Registers>;

    /// Sets the registers of `thread`; `false` if that cannot be.
    fn set_registers(&mut self, thread: u64, registers: &Registers) -> bool;

    /// Whether it has AVX registers.
    fn has_avx(&self) -> bool;

    /// Reads memory from `addr` on until `bytes` are full or there is no memory; returns how many were read.
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> usize;

    /// Writes memory; `false`, and nothing written, if some of it is not there.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool;

    /// Makes `point` stop threads; `false` if that cannot be.
    fn insert(&mut self, point: Point) -> bool;

    /// Makes `point` stop threads no longer; `false` if it did not.
    fn remove(&mut self, point: Point) -> bool;

    /// Does what `monitor COMMAND` asks, and says so.
    fn monitor(&mut self, command: &str, out: &mut dyn fmt::Write);
}
