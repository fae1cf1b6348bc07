//! What a thread does about signals before it returns to the program.

use torov_abi::{Call, Errno, Signal};
use torov_vcpu::{VcpuError, extended};

use super::{Next, Thread};
use crate::ending::Ending;
use crate::signals::frame::{self, Interrupted};
use crate::signals::{Delivery, Info, SA_RESTART, Stack};

/// Calls that a signal ends for good, whatever its handler asked for (signal(7)).
const NEVER_AGAIN: [&str; 14] = [
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_wait",
    "epoll_pwait",
    "nanosleep",
    "clock_nanosleep",
    "rt_sigtimedwait",
    "rt_sigsuspend",
    "pause",
    "io_getevents",
    "semop",
    "semtimedop",
];

/// How the call ended that the thread has made just now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended<'a> {
    /// It has its answer, or there was none.
    Whole,
    /// By `EINTR`.
    Interrupted(&'a Call),
    /// Before it was made: the thread's attention was drawn.
    NotMade(&'a Call),
}

impl<'a> Ended<'a> {
    /// By its answer.
    pub(super) fn of(call: &'a Call, answer: Result<u64, Errno>) -> Self {
        match answer {
            Err(Errno::EINTR) => Self::Interrupted(call),
            Err(Errno::ERESTARTSYS) => Self::NotMade(call),
            _ => Self::Whole,
        }
    }

    /// The same for calls that are made together.
    pub(super) fn of_batch(call: &'a Call, answer: Result<u64, Errno>) -> Self {
        match Self::of(call, answer) {
            Self::Interrupted(_) => Self::Whole,
            ended => ended,
        }
    }
}

impl Thread<'_> {
    /// Delivers the signals that wait, if the thread's attention was drawn or its call `ended` for it.
    pub(super) fn attend(&mut self, ended: Ended<'_>) -> Result<(), VcpuError> {
        self.is_due |= self.line.take();
        if matches!(ended, Ended::Whole) && !self.is_due {
            return Ok(());
        }
        self.process.hear();
        if self.process.is_over() {
            return Ok(());
        }
        if !self.settle() {
            // It will come outside by itself in a moment.
            return Ok(());
        }
        self.is_due = false;
        let mut interrupted = match ended {
            Ended::Interrupted(call) => Some(call),
            Ended::Whole => None,
            Ended::NotMade(call) => {
                // The signal came before the call, as far as the program can tell.
                self.again(call);
                None
            }
        };
        while let Some(delivery) = self.process.signals.take(self.tid) {
            match delivery {
                Delivery::Death(signal) => {
                    self.dies(signal)?;
                    self.process.end(&self.death(signal));
                    return Ok(());
                }
                Delivery::Handler { info, action, mask } => {
                    if let Some(call) = interrupted.take()
                        && action[1] & SA_RESTART != 0
                        && may_be_made_again(call)
                    {
                        self.again(call);
                    }
                    if !self.handle(&info, &action, mask)? {
                        return Ok(());
                    }
                }
            }
        }
        if let Some(call) = interrupted {
            // Nothing came of it: the program does not learn of the interruption.
            self.process.signals.return_mask(self.tid);
            self.again(call);
        }
        Ok(())
    }

    /// How a signal without a handler ends the program: those that mean that something is wrong leave a report.
    fn death(&self, signal: Signal) -> Ending {
        // SIGQUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS: Linux leaves a core file then.
        match signal.number() {
            3..=8 | 11 | 24 | 25 | 31 => {
                let report = self.report(signal, "the program was sent it".to_owned());
                Ending::Fault(Box::new(report))
            }
            _ => Ending::Signal(signal),
        }
    }

    /// Has the program make `call` again.
    pub(super) fn again(&mut self, call: &Call) {
        let registers = self.vcpu.registers_mut();
        registers.rax = call.number;
        // Back to the `syscall`, of two bytes.
        registers.rip = registers.rip.wrapping_sub(2);
    }

    /// Brings a thread that was interrupted in the shim to where signals can be delivered. False if it must go on first.
    pub(super) fn settle(&mut self) -> bool {
        match (&self.process.ring, self.seat) {
            (Some(ring), Some(seat)) => {
                ring.settle(&self.process.memory, seat, self.vcpu.registers_mut())
            }
            _ => true,
        }
    }

    /// Makes the thread run a handler; false if the program ended instead.
    fn handle(&mut self, info: &Info, action: &[u64; 4], mask: u64) -> Result<bool, VcpuError> {
        let registers = *self.vcpu.registers();
        let stack = self.process.signals.stack(self.tid);
        let interrupted = Interrupted {
            registers: &registers,
            extended: self.vcpu.extended()?,
            states: self.vcpu.states(),
            mask,
            stack,
            fault: self.last_fault,
        };
        let Ok(new) = frame::push(&self.process.memory, &interrupted, info, action) else {
            return Ok(self.give_up(&format!("no room on the stack for {}", info.signal)));
        };
        *self.vcpu.registers_mut() = new;
        self.vcpu.set_extended(&extended::initial())?;
        if stack.disarms {
            self.process.signals.set_stack(self.tid, Stack::default());
        }
        Ok(true)
    }

    /// The program ends as by a fault that it has no handler for.
    fn give_up(&self, what: &str) -> bool {
        let report = self.report(Signal::SIGSEGV, what.to_owned());
        self.process.end(&Ending::Fault(Box::new(report)));
        false
    }

    /// `rt_sigreturn`: back to where the signal came.
    pub(super) fn sigreturn(&mut self) -> Next {
        let pointer = self.vcpu.registers().rsp;
        let len = self.vcpu.extended_len();
        let Ok(restored) = frame::pop(&self.process.memory, pointer, len) else {
            self.give_up("a return from a signal without its frame");
            return Next::Over;
        };
        *self.vcpu.registers_mut() = restored.registers;
        let set = match &restored.extended {
            Some(image) => self.vcpu.set_extended(image),
            None => self.vcpu.set_extended(&extended::initial()),
        };
        if let Err(error) = set {
            self.process.end(&Ending::Machine(error.to_string()));
            return Next::Over;
        }
        let signals = &self.process.signals;
        signals.set_mask(self.tid, |_| restored.mask);
        if let Some(stack) = restored.stack {
            signals.set_stack(self.tid, stack);
        }
        Next::Elsewhere
    }

    /// `sigaltstack`.
    pub(super) fn sigaltstack(&self, [new, old, ..]: [u64; 6]) -> Result<u64, Errno> {
        let pointer = self.vcpu.registers().rsp;
        let signals = &self.process.signals;
        let current = signals.stack(self.tid);
        let wanted = match new {
            0 => None,
            at => Some(self.process.memory.read_array(at)?),
        };
        if old != 0 {
            let bytes = frame::stack_bytes(current, pointer);
            self.process.memory.write(old, &bytes)?;
        }
        if let Some(bytes) = wanted {
            if current.len != 0 && current.holds(pointer) {
                return Err(Errno::EPERM);
            }
            signals.set_stack(self.tid, frame::stack_of(&bytes)?);
        }
        Ok(0)
    }
}

fn may_be_made_again(call: &Call) -> bool {
    let name = call.name().unwrap_or_default();
    !NEVER_AGAIN.contains(&name)
}
