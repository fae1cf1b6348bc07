//! What becomes of an exception of the processor: it is tried again, is a signal, or is the end.

use torov_abi::Signal;
use torov_memory::{Access, MemoryFault};
use torov_vcpu::{Fault, Registers, VcpuError};

use super::Thread;
use crate::ending::FaultReport;
use crate::signals::frame::LastFault;
use crate::signals::{Info, SI_KERNEL, To};

// `si_code`s, as <asm-generic/siginfo.h> has them.
const ILL_ILLOPN: i32 = 2;
const FPE_INTDIV: i32 = 1;
const FPE_FLTINV: i32 = 7;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;

impl Thread<'_> {
    /// Decides about an exception: `None` if the instruction can be tried again, or a handler is to run.
    pub(super) fn judge(&mut self, fault: Fault) -> Result<Option<FaultReport>, VcpuError> {
        let registers = *self.vcpu.registers();
        let (signal, what, code, address) = if fault.vector == 14 {
            match self
                .process
                .memory
                .fault(fault.address, access(fault.error))
            {
                Ok(()) => return Ok(None),
                Err(cause) => {
                    let code = match cause {
                        MemoryFault::Unmapped => SEGV_MAPERR,
                        MemoryFault::NoRight(_) => SEGV_ACCERR,
                        MemoryFault::OutOfMemory => SI_KERNEL,
                    };
                    let what = page_fault(fault, cause);
                    (Signal::SIGSEGV, what, code, fault.address)
                }
            }
        } else {
            let (signal, what, code) = exception(fault.vector);
            let address = if code == SI_KERNEL { 0 } else { registers.rip };
            (signal, what, code, address)
        };
        self.last_fault = LastFault {
            vector: fault.vector.into(),
            error: fault.error,
            address: fault.address,
        };
        let info = Info {
            signal,
            code,
            words: [address, 0],
        };
        if self.process.signals.has_handler(self.tid, signal) {
            if !self.may_handle(signal)? {
                return Ok(None);
            }
            let sent = self.process.signals.send(To::Thread(self.tid), info);
            if sent.is_ok() {
                return Ok(None);
            }
        }
        Ok(Some(self.report(signal, what)))
    }

    /// What is known of a thread that ends the program.
    pub(super) fn report(&self, signal: Signal, what: String) -> FaultReport {
        let registers = *self.vcpu.registers();
        FaultReport {
            signal,
            what,
            tid: self.tid,
            registers,
            extended: self.vcpu.extended().unwrap_or_default(),
            bases: self.vcpu.bases().unwrap_or_default(),
            frames: self.frames(&registers),
            areas: self.process.memory.areas(),
        }
    }

    /// Follows the frame pointers, as far as they make sense.
    fn frames(&self, registers: &Registers) -> Vec<u64> {
        let mut frames = vec![registers.rip];
        let mut frame = registers.rbp;
        while frames.len() < 32 {
            let words = (
                self.process.memory.read_u64(frame),
                self.process.memory.read_u64(frame.wrapping_add(8)),
            );
            let (Ok(next), Ok(address)) = words else {
                break;
            };
            if address == 0 {
                break;
            }
            frames.push(address);
            if next <= frame {
                break;
            }
            frame = next;
        }
        frames
    }
}

fn access(error: u64) -> Access {
    match error {
        _ if error & 0x10 != 0 => Access::Execute,
        _ if error & 2 != 0 => Access::Write,
        _ => Access::Read,
    }
}

fn page_fault(fault: Fault, cause: MemoryFault) -> String {
    let deed = match access(fault.error) {
        Access::Execute => "executing",
        Access::Write => "writing to",
        Access::Read => "reading",
    };
    let address = fault.address;
    match cause {
        MemoryFault::Unmapped if address < 4096 => format!("{deed} {address:#x}, a null pointer"),
        MemoryFault::Unmapped => format!("{deed} {address:#x}, where nothing is"),
        MemoryFault::NoRight(rights) => format!("{deed} {address:#x}, which is {rights}"),
        MemoryFault::OutOfMemory => {
            format!("{deed} {address:#x}: the memory limit of the profile is reached")
        }
    }
}

/// The signal that Linux sends for an exception.
fn exception(vector: u8) -> (Signal, String, i32) {
    let (signal, what, code) = match vector {
        0 => (
            Signal::SIGFPE,
            "a division by zero, or its result is too large",
            FPE_INTDIV,
        ),
        1 | 3 => (Signal::SIGTRAP, "a breakpoint", SI_KERNEL),
        6 => (
            Signal::SIGILL,
            "an instruction that the processor does not know",
            ILL_ILLOPN,
        ),
        13 => (
            Signal::SIGSEGV,
            "a general protection fault: a privileged instruction or an odd address",
            SI_KERNEL,
        ),
        16 | 19 => (Signal::SIGFPE, "a floating-point exception", FPE_FLTINV),
        12 | 17 => (
            Signal::SIGBUS,
            "an address that is not aligned or not canonical",
            BUS_ADRALN,
        ),
        _ => return (Signal::SIGSEGV, format!("exception {vector}"), SI_KERNEL),
    };
    (signal, what.to_owned(), code)
}
