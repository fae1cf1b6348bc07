//! A thread of the program: one processor, driven until it ends.

mod begin;
mod debugged;
mod deliver;
mod end;
mod fault;
mod freeze;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use torov_abi::word::{low, wide};
use torov_abi::{Call, Errno};
use torov_host as host;
use torov_interrupt::{Attached, Line};
use torov_policy::Subject;
use torov_vcpu::{Exit, Vcpu, VcpuError};

use crate::batch;
use crate::context::{Context, Held};
use crate::dispatch::{self, Answerer, Table};
use crate::ending::Ending;
use crate::process::Process;
use crate::ring::Burst;
use crate::signals::frame::LastFault;

use self::deliver::Ended;
pub use self::freeze::resume;

/// Calls that change the processor or end the thread; they are answered here.
pub(crate) const OWN: [&str; 9] = [
    "exit",
    "exit_group",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "clone",
    "clone3",
    "rt_sigreturn",
    "sigaltstack",
];

/// What a call does to its thread.
enum Next {
    /// It goes on with this in `rax`.
    Answer(Result<u64, Errno>),
    /// It goes on with other registers.
    Elsewhere,
    /// It ends.
    Over,
}

struct Thread<'a> {
    process: &'a Arc<Process>,
    vcpu: Box<dyn Vcpu>,
    table: Table,
    tid: i32,
    /// Its slot in the ring.
    seat: Option<usize>,
    burst: Burst,
    /// Where to write 0 and wake when the thread ends.
    clear_tid: u64,
    /// The locks that it holds when it ends, if it told.
    robust_list: u64,
    line: Arc<Line>,
    /// A signal waits, and could not be delivered where the thread was.
    is_due: bool,
    last_fault: LastFault,
    /// The debugger wants it to make one step.
    steps: bool,
    /// The debugger watches memory: it makes nothing but steps.
    watches: bool,
    /// Its last step changed what is watched, which has been told.
    has_written: bool,
}

/// Runs the first thread of `process` on `vcpu` until the program ends.
pub fn run(process: &Arc<Process>, vcpu: Box<dyn Vcpu>) {
    process.threads.fetch_add(1, Ordering::Relaxed);
    process.standstill.join();
    let tid = process.new_tid();
    let line = Arc::new(Line::default());
    process.signals.join(tid, 0, &line);
    let name = process.executable.rsplit('/').next().unwrap_or_default();
    process.signals.set_name(tid, name.as_bytes());
    let origin = Origin {
        tid,
        ..Origin::default()
    };
    drive(process, vcpu, origin, line);
}

/// What a thread begins with.
#[derive(Debug, Default)]
struct Origin {
    tid: i32,
    clear_tid: u64,
    robust_list: u64,
    /// How its processor came back, if it has run already.
    exit: Option<Exit>,
}

/// Drives a thread of the program, which is among those that signals reach already, to its end.
fn drive(process: &Arc<Process>, vcpu: Box<dyn Vcpu>, origin: Origin, line: Arc<Line>) {
    let attached: Attached = line.attach();
    let Origin {
        tid,
        clear_tid,
        robust_list,
        exit,
    } = origin;
    if let Some(debug) = &process.debug {
        debug.join(tid);
    }
    let mut thread = Thread {
        process,
        vcpu,
        table: Table::default(),
        tid,
        seat: None,
        burst: Burst::default(),
        clear_tid,
        robust_list,
        line,
        is_due: false,
        last_fault: LastFault::default(),
        steps: false,
        watches: false,
        has_written: false,
    };
    if let Err(error) = thread.sit().and_then(|()| thread.run(exit)) {
        process.end(&Ending::Machine(error.to_string()));
    }
    process.keep_remains(tid, thread.vcpu.as_ref());
    thread.leave();
    drop(attached);
    // What comes from outside is for the threads that are left.
    torov_interrupt::shut();
}

impl Thread<'_> {
    /// Takes a slot in the ring, if there is one.
    fn sit(&mut self) -> Result<(), VcpuError> {
        let Some((index, address)) = self
            .process
            .ring
            .as_ref()
            .and_then(|ring| ring.sit(&self.process.memory, self.tid))
        else {
            return Ok(());
        };
        self.seat = Some(index);
        self.vcpu.set_gs_base(address)
    }

    /// Looks at the ring before a call is answered outside: `Some` if its answer is there already.
    fn by_ring(&mut self, call: &Call) -> Option<u64> {
        let (ring, seat) = (self.process.ring.as_ref()?, self.seat?);
        let rip = self.vcpu.registers().rip;
        if !ring.is_exit(rip) {
            // With other threads about, code cannot be changed under them.
            let alone = self.process.threads.load(Ordering::Acquire) == 1;
            // The clock's own calls set it, which takes the thread that made them.
            let is_clock = self
                .process
                .clock
                .as_ref()
                .is_some_and(|clock| clock.holds(rip));
            if alone && !is_clock && crate::ring::may_be_quick(call.number) {
                ring.notice(self.process, rip, call.number);
            }
            return None;
        }
        ring.came_outside(self.process, &mut self.burst, now());
        ring.reclaim(&self.process.memory, seat)
    }

    fn run(&mut self, mut exit: Option<Exit>) -> Result<(), VcpuError> {
        loop {
            self.halt()?;
            if self.stands_still()? {
                return Ok(());
            }
            let exit = match exit.take() {
                Some(exit) => exit,
                None => self.enter()?,
            };
            if self.process.is_over() {
                return Ok(());
            }
            if self.is_for_debugger(&exit) {
                continue;
            }
            match exit {
                Exit::Call => {
                    if !self.call()? {
                        return Ok(());
                    }
                    self.has_stepped();
                }
                Exit::Fault(fault) => {
                    if let Some(report) = self.judge(fault)? {
                        self.dies(report.signal)?;
                        self.process.end(&Ending::Fault(Box::new(report)));
                        return Ok(());
                    }
                    self.attend(Ended::Whole)?;
                }
                Exit::Interrupted => self.attend(Ended::Whole)?,
            }
            if self.process.is_over() {
                return Ok(());
            }
        }
    }

    /// Answers a call; false if the thread is over.
    fn call(&mut self) -> Result<bool, VcpuError> {
        let call = self.vcpu.registers().call();
        if let Some(result) = self.by_ring(&call) {
            self.vcpu.registers_mut().rax = result;
            self.attend(Ended::Whole)?;
            return Ok(true);
        }
        if self.freezes(&call) {
            return Ok(false);
        }
        if call.number == batch::NUMBER {
            let next = |_: &Call| {
                keep_pace(self.process);
                Some(Held::Nothing)
            };
            let made = batch::make(self.process, self.tid, &mut self.table, &call, next);
            // None of them is made where the program is over.
            let made = made.unwrap_or(Ok(0));
            self.vcpu.registers_mut().rax = made.unwrap_or_else(Errno::to_register);
            self.attend(Ended::of_batch(&call, made))?;
            return Ok(true);
        }
        keep_pace(self.process);
        let observer = &self.process.observer;
        let start = observer.wants_calls().then(now);
        let next = self.answer(&call);
        let result = match &next {
            Next::Answer(Ok(value)) => *value,
            // It is made again, and the number is Linux's own affair.
            Next::Answer(Err(Errno::ERESTARTSYS)) => Errno::EINTR.to_register(),
            Next::Answer(Err(error)) => error.to_register(),
            Next::Elsewhere | Next::Over => 0,
        };
        let is_made = !matches!(next, Next::Answer(Err(Errno::ERESTARTSYS)));
        if let Some(start) = start.filter(|_| is_made) {
            let took = now().saturating_sub(start);
            self.process.observer.called(self.tid, &call, result, took);
        }
        match next {
            Next::Over => return Ok(false),
            Next::Elsewhere => self.attend(Ended::Whole)?,
            Next::Answer(answer) => {
                self.vcpu.registers_mut().rax = result;
                self.attend(Ended::of(&call, answer))?;
            }
        }
        Ok(true)
    }

    fn answer(&mut self, call: &Call) -> Next {
        let number = match dispatch::admit(self.process, call) {
            Ok(number) => number,
            Err(error) => return Next::Answer(Err(error)),
        };
        let context = Context {
            process: self.process,
            number,
            tid: self.tid,
            held: Held::Nothing,
        };
        let name = match self.table.find(number) {
            Answerer::Thread(name) => name,
            other => return Next::Answer(dispatch::answer(other, &context, call)),
        };
        if let Err(error) = context.permit(Subject::Nothing) {
            return Next::Answer(Err(error));
        }
        match name {
            "exit" => self.exit(call.args[0]),
            "exit_group" => {
                self.process.end(&Ending::Exit(status(call.args[0])));
                Next::Over
            }
            "set_tid_address" => {
                self.clear_tid = call.args[0];
                Next::Answer(Ok(wide_tid(self.tid)))
            }
            "arch_prctl" => Next::Answer(self.arch_prctl(call.args)),
            "clone" => Next::Answer(self.clone(call.args)),
            "sigaltstack" => Next::Answer(self.sigaltstack(call.args)),
            "set_robust_list" => Next::Answer(self.set_robust_list(call.args)),
            "rt_sigreturn" => self.sigreturn(),
            // Libraries fall back to `clone`.
            _ => Next::Answer(Err(Errno::ENOSYS)),
        }
    }

    /// `exit` ends one thread; the last one ends the program.
    fn exit(&self, code: u64) -> Next {
        if self.process.threads.load(Ordering::Acquire) == 1 {
            self.process.end(&Ending::Exit(status(code)));
        }
        Next::Over
    }

    fn arch_prctl(&mut self, [code, address, ..]: [u64; 6]) -> Result<u64, Errno> {
        const ARCH_SET_FS: u32 = 0x1002;
        const ARCH_GET_FS: u32 = 0x1003;
        match low(code) {
            ARCH_SET_FS => {}
            ARCH_GET_FS => {
                let [fs, _] = self.vcpu.bases().map_err(|_| Errno::EIO)?;
                self.process.memory.write(address, &fs.to_le_bytes())?;
                return Ok(0);
            }
            _ => return Err(Errno::EINVAL),
        }
        if address >= torov_abi::USER_END {
            return Err(Errno::EPERM);
        }
        let set = self.vcpu.set_fs_base(address);
        set.map(|()| 0).map_err(|_| Errno::EIO)
    }
}

/// Waits where the program makes more calls than it may in a second.
fn keep_pace(process: &Process) {
    if let Some(wait) = process.pace() {
        // Interrupted or not, the call goes on: the limit is about the rate.
        let _ = host::sleep(1, wait, false);
    }
}

/// The monotonic clock.
pub(crate) fn now() -> Duration {
    host::clock_get(1).unwrap_or_default()
}

/// The status that a program's parent sees: the lowest byte.
fn status(code: u64) -> u8 {
    low(code).to_le_bytes()[0]
}

fn wide_tid(tid: i32) -> u64 {
    wide(usize::try_from(tid).unwrap_or(0))
}
