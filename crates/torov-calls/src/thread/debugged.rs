//! A thread below a debugger.

use torov_abi::Signal;
use torov_vcpu::{Exit, Fault, VcpuError};

use super::Thread;
use crate::debug::{Event, Halted, TRAP};

const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;

impl Thread<'_> {
    /// Stops here if the debugger wishes it.
    pub(super) fn halt(&mut self) -> Result<(), VcpuError> {
        let Some(debug) = self.process.debug.clone() else {
            return Ok(());
        };
        while debug.halts(self.tid) && self.settle() {
            let before = Halted {
                registers: *self.vcpu.registers(),
                extended: self.vcpu.extended()?,
                bases: self.vcpu.bases()?,
            };
            let (after, steps) = debug.halt(self.tid, before.clone());
            *self.vcpu.registers_mut() = after.registers;
            if after.extended != before.extended {
                self.vcpu.set_extended(&after.extended)?;
            }
            if after.bases != before.bases && after.bases[0] < torov_abi::USER_END {
                self.vcpu.set_fs_base(after.bases[0])?;
            }
            self.steps = steps;
        }
        self.watches = debug.watches();
        // A handler begins without it.
        if self.watches || self.steps {
            self.vcpu.registers_mut().rflags |= TRAP;
        }
        Ok(())
    }

    /// Lets the program run until its processor comes back. Where memory is watched, that is one instruction, which no
    /// other thread makes one beside.
    pub(super) fn enter(&mut self) -> Result<Exit, VcpuError> {
        let Some(debug) = self.process.debug.as_ref().filter(|_| self.watches) else {
            return self.vcpu.run();
        };
        let turn = debug.turn();
        // Another's step was what the debugger waits for.
        if debug.halts(self.tid) {
            return Ok(Exit::Interrupted);
        }
        let exit = self.vcpu.run();
        self.has_written = debug.compare(self.process, self.tid);
        drop(turn);
        exit
    }

    /// Looks at an exit for the debugger; true if it was for it alone.
    pub(super) fn is_for_debugger(&mut self, exit: &Exit) -> bool {
        let Some(debug) = &self.process.debug else {
            return false;
        };
        let at = self.vcpu.registers().rip;
        match exit {
            Exit::Fault(Fault { vector: DEBUG, .. }) => {
                // Without a wish it is left from before, by way of a frame of a signal.
                self.vcpu.registers_mut().rflags &= !TRAP;
                self.has_stepped();
                true
            }
            Exit::Fault(Fault {
                vector: BREAKPOINT, ..
            }) if debug.is_breakpoint(at.wrapping_sub(1)) => {
                let debug = std::sync::Arc::clone(debug);
                self.vcpu.registers_mut().rip = at.wrapping_sub(1);
                debug.tell(self.process, Event::Breakpoint(self.tid));
                true
            }
            _ => false,
        }
    }

    /// The step is made: an instruction, or a call.
    pub(super) fn has_stepped(&mut self) {
        let Some(debug) = self.process.debug.clone() else {
            return;
        };
        let has_written = std::mem::take(&mut self.has_written);
        let changed = has_written || self.watches && debug.compare(self.process, self.tid);
        if self.steps {
            self.steps = false;
            // One stop for both.
            if !changed {
                debug.tell(self.process, Event::Signal(self.tid, Signal::SIGTRAP));
            }
        }
    }

    /// Stops before a handler gets the signal of a fault, if the debugger wishes it; false if none is to get it.
    pub(super) fn may_handle(&mut self, signal: Signal) -> Result<bool, VcpuError> {
        let Some(debug) = self.process.debug.clone() else {
            return Ok(true);
        };
        if !debug.tell_of_fault(self.process, self.tid, signal) {
            return Ok(true);
        }
        self.halt()?;
        Ok(debug.was_passed(self.tid))
    }

    /// Stops before the thread dies of a signal.
    pub(super) fn dies(&mut self, signal: Signal) -> Result<(), VcpuError> {
        if let Some(debug) = &self.process.debug {
            debug.tell(self.process, Event::Signal(self.tid, signal));
        }
        self.halt()
    }
}
