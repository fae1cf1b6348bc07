//! A thread of the program: one processor, driven until it ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use torov_abi::word::{low, wide};
use torov_abi::{Call, Errno, Signal};
use torov_host as host;
use torov_memory::{Access, MemoryFault};
use torov_policy::Subject;
use torov_vcpu::{Exit, Fault, Registers, Vcpu, VcpuError};

use crate::context::Context;
use crate::dispatch::{self, Table};
use crate::ending::{Ending, FaultReport};
use crate::process::Process;
use crate::ring::Burst;

/// Calls that change the processor or end the thread; they are answered here.
pub(crate) const OWN: [&str; 7] = [
    "exit",
    "exit_group",
    "arch_prctl",
    "set_tid_address",
    "clone",
    "clone3",
    "rt_sigreturn",
];

/// What a call does to its thread.
enum Next {
    /// It goes on with this in `rax`.
    Answer(Result<u64, Errno>),
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
}

/// Runs the first thread of `process` on `vcpu` until the program ends.
pub fn run(process: &Arc<Process>, vcpu: Box<dyn Vcpu>) {
    process.threads.fetch_add(1, Ordering::Relaxed);
    let tid = process.new_tid();
    drive(process, vcpu, tid, 0);
}

fn drive(process: &Arc<Process>, vcpu: Box<dyn Vcpu>, tid: i32, clear_tid: u64) {
    let table = Table::new();
    let mut thread = Thread {
        process,
        vcpu,
        table,
        tid,
        seat: None,
        burst: Burst::default(),
        clear_tid,
    };
    if let Err(error) = thread.sit().and_then(|()| thread.run()) {
        process.end(&Ending::Machine(error.to_string()));
    }
    thread.leave();
}

impl Thread<'_> {
    /// Takes a slot in the ring, if there is one.
    fn sit(&mut self) -> Result<(), VcpuError> {
        let Some((index, address)) = self
            .process
            .ring
            .as_ref()
            .and_then(|ring| ring.sit(self.tid))
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
            if alone && crate::ring::may_be_quick(call.number) {
                ring.notice(&self.process.memory, rip, call.number);
            }
            return None;
        }
        ring.came_outside(self.process, &mut self.burst, now());
        ring.reclaim(&self.process.memory, seat)
    }

    fn run(&mut self) -> Result<(), VcpuError> {
        loop {
            let exit = self.vcpu.run()?;
            if self.process.is_over() {
                return Ok(());
            }
            match exit {
                Exit::Call => {
                    if !self.call() {
                        return Ok(());
                    }
                }
                Exit::Fault(fault) => {
                    if let Some(report) = self.judge(fault) {
                        self.process.end(&Ending::Fault(Box::new(report)));
                        return Ok(());
                    }
                }
                Exit::Interrupted => {}
            }
        }
    }

    /// Answers a call; false if the thread is over.
    fn call(&mut self) -> bool {
        let call = self.vcpu.registers().call();
        if let Some(result) = self.by_ring(&call) {
            self.vcpu.registers_mut().rax = result;
            return !self.process.is_over();
        }
        if let Some(wait) = self.process.pace() {
            // Interrupted or not, the call goes on: the limit is about the rate.
            let _ = host::sleep(1, wait, false);
        }
        let observer = &self.process.observer;
        let start = observer.wants_calls().then(now);
        let next = self.answer(&call);
        let result = match &next {
            Next::Answer(Ok(value)) => *value,
            Next::Answer(Err(error)) => error.to_register(),
            Next::Over => 0,
        };
        if let Some(start) = start {
            let took = now().saturating_sub(start);
            self.process.observer.called(self.tid, &call, result, took);
        }
        match next {
            Next::Answer(_) if self.process.is_over() => false,
            Next::Answer(_) => {
                self.vcpu.registers_mut().rax = result;
                true
            }
            Next::Over => false,
        }
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
        };
        let name = torov_abi::name_of(call.number).unwrap_or_default();
        if !OWN.contains(&name) {
            return Next::Answer(dispatch::answer(&self.table, &context, call));
        }
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

    /// Tells those that wait for the thread's end, and leaves the processor for another.
    fn leave(self) {
        // AcqRel: the last thread sees what all others have done.
        let before = self.process.threads.fetch_sub(1, Ordering::AcqRel);
        if before == 1 {
            self.process.end(&Ending::Exit(0));
        }
        if let (Some(ring), Some(seat)) = (&self.process.ring, self.seat) {
            ring.leave(seat);
        }
        if self.clear_tid != 0 && self.process.memory.write(self.clear_tid, &[0; 4]).is_ok() {
            let word = self.process.memory.spans(self.clear_tid, 4, Access::Read);
            if let Ok([word, ..]) = word.as_deref() {
                let _ = host::futex_wake(word, 1, u32::MAX);
            }
        }
        let spares = &self.process.spares;
        spares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.vcpu);
    }

    fn arch_prctl(&mut self, [code, address, ..]: [u64; 6]) -> Result<u64, Errno> {
        const ARCH_SET_FS: u32 = 0x1002;
        if low(code) != ARCH_SET_FS {
            return Err(Errno::EINVAL);
        }
        if address >= torov_abi::USER_END {
            return Err(Errno::EPERM);
        }
        let set = self.vcpu.set_fs_base(address);
        set.map(|()| 0).map_err(|_| Errno::EIO)
    }

    /// Starts another thread. Processes of their own are not for this machine.
    fn clone(
        &mut self,
        [flags, stack, parent_tid, child_tid, tls, _]: [u64; 6],
    ) -> Result<u64, Errno> {
        const CLONE_SETTLS: u64 = 0x8_0000;
        const CLONE_PARENT_SETTID: u64 = 0x10_0000;
        const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
        const CLONE_CHILD_SETTID: u64 = 0x100_0000;
        // CLONE_VM, FS, FILES, SIGHAND, THREAD: all that makes a thread.
        const THREAD: u64 = 0x1_0f00;
        if flags & THREAD != THREAD {
            return Err(Errno::ENOSYS);
        }
        let process = self.process;
        let most = torov_abi::word::size(process.limits.threads.into());
        if process.threads.fetch_add(1, Ordering::AcqRel) >= most {
            process.threads.fetch_sub(1, Ordering::AcqRel);
            return Err(Errno::EAGAIN);
        }
        let tid = process.new_tid();
        let started = (|| {
            if flags & CLONE_PARENT_SETTID != 0 {
                process.memory.write(parent_tid, &tid.to_le_bytes())?;
            }
            if flags & CLONE_CHILD_SETTID != 0 {
                process.memory.write(child_tid, &tid.to_le_bytes())?;
            }
            let mut registers: Registers = *self.vcpu.registers();
            registers.rax = 0;
            if stack != 0 {
                registers.rsp = stack;
            }
            let fs_base = if flags & CLONE_SETTLS != 0 { tls } else { 0 };
            if fs_base >= torov_abi::USER_END {
                return Err(Errno::EPERM);
            }
            let vcpu = processor(process, &registers, fs_base).map_err(|_| Errno::EAGAIN)?;
            let clear = if flags & CLONE_CHILD_CLEARTID != 0 {
                child_tid
            } else {
                0
            };
            let process = Arc::clone(process);
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            thread
                .spawn(move || drive(&process, vcpu, tid, clear))
                .map_err(|_| Errno::EAGAIN)?;
            Ok(wide_tid(tid))
        })();
        if started.is_err() {
            process.threads.fetch_sub(1, Ordering::AcqRel);
        }
        started
    }

    /// Decides about an exception: `None` if the instruction can be tried again.
    fn judge(&self, fault: Fault) -> Option<FaultReport> {
        let (signal, what) = if fault.vector == 14 {
            match self
                .process
                .memory
                .fault(fault.address, access(fault.error))
            {
                Ok(()) => return None,
                Err(cause) => (Signal::SIGSEGV, page_fault(fault, cause)),
            }
        } else {
            exception(fault.vector)
        };
        let registers = *self.vcpu.registers();
        Some(FaultReport {
            signal,
            what,
            tid: self.tid,
            registers,
            frames: self.frames(&registers),
            areas: self.process.memory.areas(),
        })
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

/// A processor that a thread has left, or a new one.
fn processor(
    process: &Process,
    registers: &Registers,
    fs_base: u64,
) -> Result<Box<dyn Vcpu>, VcpuError> {
    let spare = process
        .spares
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop();
    match spare {
        Some(mut vcpu) => {
            vcpu.restart(registers, fs_base)?;
            Ok(vcpu)
        }
        None => process.machine.add_vcpu(registers, fs_base),
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
fn exception(vector: u8) -> (Signal, String) {
    let (signal, what) = match vector {
        0 => (
            Signal::SIGFPE,
            "a division by zero, or its result is too large",
        ),
        1 | 3 => (Signal::SIGTRAP, "a breakpoint"),
        6 => (
            Signal::SIGILL,
            "an instruction that the processor does not know",
        ),
        13 => (
            Signal::SIGSEGV,
            "a general protection fault: a privileged instruction or an odd address",
        ),
        16 | 19 => (Signal::SIGFPE, "a floating-point exception"),
        12 | 17 => (
            Signal::SIGBUS,
            "an address that is not aligned or not canonical",
        ),
        _ => return (Signal::SIGSEGV, format!("exception {vector}")),
    };
    (signal, what.to_owned())
}
