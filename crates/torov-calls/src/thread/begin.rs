//! How a thread starts another (clone(2)).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use torov_abi::Errno;
use torov_interrupt::Line;
use torov_vcpu::{Registers, Vcpu, VcpuError};

use super::{Origin, Thread, drive, wide_tid};
use crate::process::Process;

impl Thread<'_> {
    /// Starts another thread. Processes of their own are not for this machine.
    pub(super) fn clone(
        &mut self,
        [flags, stack, parent_tid, child_tid, tls, _]: [u64; 6],
    ) -> Result<u64, Errno> {
        const CLONE_VM: u64 = 0x100;
        const CLONE_SIGHAND: u64 = 0x800;
        const CLONE_THREAD: u64 = 0x1_0000;
        const CLONE_SETTLS: u64 = 0x8_0000;
        const CLONE_PARENT_SETTID: u64 = 0x10_0000;
        const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
        const CLONE_CHILD_SETTID: u64 = 0x100_0000;
        // CLONE_VM, FS, FILES, SIGHAND, THREAD: all that makes a thread.
        const THREAD: u64 = 0x1_0f00;
        if flags & CLONE_THREAD != 0 && flags & CLONE_SIGHAND == 0
            || flags & CLONE_SIGHAND != 0 && flags & CLONE_VM == 0
        {
            return Err(Errno::EINVAL);
        }
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
            let mut vcpu = processor(process, &registers, fs_base).map_err(|_| Errno::EAGAIN)?;
            let extended = self.vcpu.extended();
            let copied = extended.and_then(|image| vcpu.set_extended(&image));
            copied.map_err(|_| Errno::EAGAIN)?;
            let clear = if flags & CLONE_CHILD_CLEARTID != 0 {
                child_tid
            } else {
                0
            };
            let line = Arc::new(Line::default());
            // From now on signals reach it; it is attached to its line when it begins, and looks at it first.
            process
                .signals
                .join(tid, process.signals.mask(self.tid), &line);
            let name = process.signals.name(self.tid);
            process.signals.set_name(tid, &name);
            process.standstill.join();
            let origin = Origin {
                tid,
                clear_tid: clear,
                ..Origin::default()
            };
            let shared = Arc::clone(process);
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            let spawned = thread.spawn(move || drive(&shared, vcpu, origin, line));
            spawned.map_err(|_| {
                process.signals.leave(tid);
                process.standstill.leave();
                Errno::EAGAIN
            })?;
            Ok(wide_tid(tid))
        })();
        if started.is_err() {
            process.threads.fetch_sub(1, Ordering::AcqRel);
        }
        started
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
