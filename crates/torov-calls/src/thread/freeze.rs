//! How threads stand still, and how they go on elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use torov_abi::{Call, Signal};
use torov_interrupt::Line;
use torov_vcpu::{Exit, Vcpu, VcpuError};

use super::{Origin, Thread, drive};
use crate::ending::Ending;
use crate::frozen::{self, Frozen, Still};
use crate::process::Process;
use crate::signals::{Info, Stack};

/// Drives the threads of a program that was [thawed](Process::thaw), each on a processor that has its registers, in the order
/// of `frozen`, until the program ends. The first processor has run already, and `exit` is how it came back.
///
/// # Errors
/// A sentence that says what the program cannot have again. It is not to be run then.
pub fn resume(
    process: &Arc<Process>,
    vcpus: Vec<Box<dyn Vcpu>>,
    frozen: &Frozen,
    exit: Exit,
) -> Result<(), String> {
    process
        .threads
        .store(frozen.threads.len(), Ordering::Relaxed);
    let threads = vcpus.into_iter().zip(&frozen.threads);
    let mut threads: Vec<_> = threads
        .map(|(vcpu, still)| (vcpu, still, join(process, still)))
        .collect();
    for waiting in &frozen.waiting {
        let sent = Info::from_plain(*waiting).and_then(|(to, info)| process.signals.send(to, info));
        sent.map_err(|error| format!("a signal that waits: {error}"))?;
    }
    let restored = process.alarms.restore(&frozen.timers);
    restored.map_err(|error| format!("its timers: {error}"))?;
    let others = threads.split_off(1.min(threads.len()));
    for (vcpu, still, line) in others {
        let (shared, origin) = (Arc::clone(process), origin(still, None));
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let spawned = thread.spawn(move || drive(&shared, vcpu, origin, line));
        spawned.map_err(|error| format!("the host gives no thread: {error}"))?;
    }
    if let Some((vcpu, still, line)) = threads.pop() {
        drive(process, vcpu, origin(still, Some(exit)), line);
    }
    Ok(())
}

fn origin(still: &Still, exit: Option<Exit>) -> Origin {
    let [clear_tid, robust_list] = still.at_end;
    Origin {
        tid: still.tid,
        clear_tid,
        robust_list,
        exit,
    }
}

/// Makes the thread one of those that signals reach.
fn join(process: &Process, still: &Still) -> Arc<Line> {
    let line = Arc::new(Line::default());
    process.standstill.join();
    process.signals.join(still.tid, still.mask, &line);
    if let Some(debug) = &process.debug {
        debug.join(still.tid);
    }
    let (start, len, disarms) = still.stack;
    let stack = Stack {
        start,
        len,
        disarms,
    };
    process.signals.set_stack(still.tid, stack);
    process.signals.set_name(still.tid, &still.name);
    line
}

impl Thread<'_> {
    /// If `call` is the one before which the program is to be frozen, does so: the program ends here. True if it has.
    pub(super) fn freezes(&mut self, call: &Call) -> bool {
        let process = self.process;
        let Some(point) = &process.freeze_at else {
            return false;
        };
        // Relaxed: the count says only how often.
        if call.number != u64::from(point.number)
            || point.passes.fetch_sub(1, Ordering::Relaxed) != 1
        {
            return false;
        }
        self.again(call);
        let kept = self
            .freeze()
            .and_then(|frozen| process.observer.frozen(process, &frozen));
        process.end(&match kept {
            Ok(()) => Ending::Exit(0),
            Err(why) => Ending::Machine(format!("no snapshot: {why}")),
        });
        true
    }

    /// Stands still if another thread is where the program is to be frozen. True if the program is over then.
    pub(super) fn stands_still(&self) -> Result<bool, VcpuError> {
        let process = self.process;
        if !process.standstill.is_asked() {
            return Ok(false);
        }
        process
            .standstill
            .stand(self.still()?, || process.is_over());
        Ok(true)
    }

    /// What the thread has.
    fn still(&self) -> Result<Still, VcpuError> {
        let signals = &self.process.signals;
        let stack = signals.stack(self.tid);
        let [fs_base, _] = self.vcpu.bases()?;
        Ok(Still {
            tid: self.tid,
            registers: *self.vcpu.registers(),
            extended: self.vcpu.extended()?,
            fs_base,
            at_end: [self.clear_tid, self.robust_list],
            mask: signals.mask(self.tid),
            stack: (stack.start, stack.len, stack.disarms),
            name: signals.name(self.tid),
        })
    }

    fn freeze(&self) -> Result<Frozen, String> {
        let process = self.process;
        process.standstill.ask();
        process.signals.raise_all();
        let others = process.standstill.wait();
        let others = others.ok_or("a thread of the program cannot be interrupted")?;
        let own = self.still().map_err(|error| error.to_string())?;
        let timers = process.alarms.keep();
        let timers = timers.map_err(|error| format!("a timer: {error}"))?;
        // What has come from outside by now is the program's.
        process.hear();
        let (open, pipes) = frozen::write_down(process)?;
        let signals = &process.signals;
        let actions = (1..=64).filter_map(Signal::new);
        let cwd = process.cwd.lock();
        Ok(Frozen {
            states: self.vcpu.states(),
            threads: [own].into_iter().chain(others).collect(),
            next_tid: process.next_tid.load(Ordering::Relaxed),
            actions: actions.map(|signal| signals.action(signal)).collect(),
            waiting: signals.keep(),
            timers,
            vdso: process.clock.as_ref().map(crate::Clock::place),
            umask: 0o777 & !process.masked(0o777),
            cwd: cwd
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone(),
            executable: process.executable.clone(),
            pipes,
            open,
        })
    }
}
