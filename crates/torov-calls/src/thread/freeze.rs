//! How a thread stands still, and how it goes on elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use torov_abi::{Call, Signal};
use torov_interrupt::Line;
use torov_vcpu::{Exit, Vcpu};

use super::{Origin, Thread, drive};
use crate::ending::Ending;
use crate::frozen::{self, Frozen};
use crate::process::Process;
use crate::signals::Stack;

/// Drives the only thread of a program that was [thawed](Process::thaw), on a processor that has its registers, until
/// the program ends. The processor has run already, and `exit` is how it came back.
pub fn resume(process: &Arc<Process>, vcpu: Box<dyn Vcpu>, frozen: &Frozen, exit: Exit) {
    process.threads.fetch_add(1, Ordering::Relaxed);
    let [tid, _] = frozen.tids;
    let line = Arc::new(Line::default());
    process.signals.join(tid, frozen.mask, &line);
    let (start, len, disarms) = frozen.stack;
    let stack = Stack {
        start,
        len,
        disarms,
    };
    process.signals.set_stack(tid, stack);
    let [clear_tid, robust_list] = frozen.at_end;
    let origin = Origin {
        tid,
        clear_tid,
        robust_list,
        exit: Some(exit),
    };
    drive(process, vcpu, origin, line);
}

impl Thread<'_> {
    /// If `call` is the one before which the program is to be frozen, does so: the program ends here. True if it has.
    pub(super) fn freezes(&self, call: &Call) -> bool {
        let process = self.process;
        let Some(point) = &process.freeze_at else {
            return false;
        };
        // Relaxed: the count says only how often.
        if call.number != u64::from(point.number)
            || point.passes.fetch_sub(1, Ordering::Relaxed) > 1
        {
            return false;
        }
        let kept = self
            .freeze(call)
            .and_then(|frozen| process.observer.frozen(process, &frozen));
        process.end(&match kept {
            Ok(()) => Ending::Exit(0),
            Err(why) => Ending::Machine(format!("no snapshot: {why}")),
        });
        true
    }

    fn freeze(&self, call: &Call) -> Result<Frozen, String> {
        let process = self.process;
        if process.threads.load(Ordering::Acquire) != 1 {
            return Err("the program has several threads, and only one can be kept".to_owned());
        }
        if !process.alarms.are_silent() {
            return Err("the program has set a timer, which is not kept".to_owned());
        }
        process.hear();
        if process.signals.any_waits() {
            return Err("a signal waits, which is not kept".to_owned());
        }
        let failed = |error: torov_vcpu::VcpuError| error.to_string();
        let mut registers = *self.vcpu.registers();
        registers.rax = call.number;
        // Back to the `syscall`, of two bytes.
        registers.rip = registers.rip.wrapping_sub(2);
        let [fs_base, _] = self.vcpu.bases().map_err(failed)?;
        let signals = &process.signals;
        let actions = (1..=64).filter_map(Signal::new);
        let cwd = process.cwd.lock();
        Ok(Frozen {
            registers,
            extended: self.vcpu.extended().map_err(failed)?,
            states: self.vcpu.states(),
            fs_base,
            tids: [self.tid, process.next_tid.load(Ordering::Relaxed)],
            at_end: [self.clear_tid, self.robust_list],
            mask: signals.mask(self.tid),
            stack: frozen::plain_stack(signals.stack(self.tid)),
            actions: actions.map(|signal| signals.action(signal)).collect(),
            umask: 0o777 & !process.masked(0o777),
            cwd: cwd
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone(),
            executable: process.executable.clone(),
            open: frozen::write_down(process)?,
        })
    }
}
