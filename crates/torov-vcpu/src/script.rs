//! [`Script`]: a processor without a machine, for tests of what stands above it.

use crate::{Exit, Registers, Vcpu, VcpuError, extended};

/// What happens next: changes the registers as a program would, and exits. `None` ends the script.
type Next = Box<dyn FnMut(&mut Registers) -> Option<Exit> + Send>;

/// A processor that exits as it is told, and fails when its script ends.
pub struct Script {
    registers: Registers,
    next: Next,
    fs_base: u64,
    extended: Vec<u8>,
}

impl Script {
    /// A processor whose exits come from `next`.
    pub fn new(next: impl FnMut(&mut Registers) -> Option<Exit> + Send + 'static) -> Self {
        Self {
            registers: Registers::default(),
            next: Box::new(next),
            fs_base: 0,
            extended: extended::initial().to_vec(),
        }
    }

    /// A processor that makes `calls`, one after the other; each is a number and its arguments.
    #[must_use]
    pub fn calls(calls: Vec<(u64, [u64; 6])>) -> Self {
        let mut calls = calls.into_iter();
        Self::new(move |registers| {
            let (number, args) = calls.next()?;
            Self::ask(registers, number, args);
            Some(Exit::Call)
        })
    }

    /// Sets the registers as a call wants them.
    pub fn ask(registers: &mut Registers, number: u64, args: [u64; 6]) {
        registers.rax = number;
        [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ] = args;
    }
}

impl Vcpu for Script {
    fn run(&mut self) -> Result<Exit, VcpuError> {
        let exit = (self.next)(&mut self.registers);
        exit.ok_or_else(|| VcpuError("the script has ended".to_owned()))
    }

    fn registers(&self) -> &Registers {
        &self.registers
    }

    fn registers_mut(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn set_fs_base(&mut self, base: u64) -> Result<(), VcpuError> {
        self.fs_base = base;
        Ok(())
    }

    fn set_gs_base(&mut self, _: u64) -> Result<(), VcpuError> {
        Ok(())
    }

    fn bases(&self) -> Result<[u64; 2], VcpuError> {
        Ok([self.fs_base, 0])
    }

    fn states(&self) -> u64 {
        0
    }

    fn extended_len(&self) -> usize {
        extended::len(0)
    }

    fn extended(&self) -> Result<Vec<u8>, VcpuError> {
        Ok(self.extended.clone())
    }

    fn set_extended(&mut self, image: &[u8]) -> Result<(), VcpuError> {
        self.extended = extended::harmless(image, 0, extended::len(0));
        Ok(())
    }

    fn took_the_long_way(&self) -> bool {
        false
    }

    fn restart(&mut self, registers: &Registers, fs_base: u64) -> Result<(), VcpuError> {
        self.registers = *registers;
        self.set_fs_base(fs_base)
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script")
            .field("registers", &self.registers)
            .field("fs_base", &self.fs_base)
            .finish_non_exhaustive()
    }
}
