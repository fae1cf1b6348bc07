//! [`KvmVcpu`]: one processor of KVM, and how it goes in and out.

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use kvm_bindings::{KVM_EXIT_IO, kvm_regs, kvm_xsave};
use kvm_ioctls::{SyncReg, VcpuFd};
use torov_memory::{KERNEL_BASE, Memory};

use super::{IA32_FS_BASE, IA32_GS_BASE, failed, set_msrs, system_registers};
use crate::tables::{self, Desk, Frame};
use crate::{Exit, Fault, Registers, Vcpu, VcpuError, extended, stubs};

const PAGE_FAULT: u64 = 14;

const KVM_RUN: u64 = 0xae80;

/// Where the processor is, as far as the monitor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// In the program.
    Program,
    /// Behind the `out` of `ENTRY`: `sysret` goes back to `rcx` with the flags in `r11`.
    Entry,
    /// Behind the `out` of an exception: `iretq` goes back by the frame.
    Vector,
}

/// What kind of processor one is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Make {
    /// XCR0.
    pub(super) states: u64,
    /// How long an image of the registers of these states is: to ask the processor may take microseconds for each of them.
    pub(super) extended_len: usize,
    /// What the register says that tells where the interrupt controller is, 0 if there is none.
    pub(super) controller: u64,
}

/// A processor of KVM.
#[derive(Debug)]
pub(super) struct KvmVcpu {
    fd: VcpuFd,
    memory: Arc<Memory>,
    desk: Desk,
    make: Make,
    registers: Registers,
    /// What the registers were when it came back.
    seen: Registers,
    inside: Inside,
}

impl Vcpu for KvmVcpu {
    fn run(&mut self) -> Result<Exit, VcpuError> {
        self.enter();
        let mut missed = false;
        loop {
            let request = [number(self.fd.as_raw_fd()), KVM_RUN, 0, 0, 0, 0];
            let mut words = [libc::SYS_ioctl.cast_unsigned(); 7];
            words[1..].copy_from_slice(&request);
            // SAFETY: KVM_RUN takes no pointer; the page that it writes to is mapped while `fd` lives.
            match unsafe { torov_interrupt::call(words) } {
                0 => {}
                error if error == -i64::from(libc::EINTR) || error == torov_interrupt::NOT_MADE => {
                    if self.is_settled() {
                        return Ok(self.interrupted());
                    }
                    // In the middle of a stub: the program has asked for something and tells of it at once.
                    torov_interrupt::lower();
                    missed = true;
                    continue;
                }
                // The monitor was changing the host's mapping of a page: the instruction is tried again.
                error
                    if [libc::EAGAIN, libc::EFAULT]
                        .map(|n| -i64::from(n))
                        .contains(&error) =>
                {
                    continue;
                }
                error => {
                    let error = i32::try_from(-error).unwrap_or(0);
                    let error = io::Error::from_raw_os_error(error);
                    return Err(VcpuError(format!("the virtual machine fails: {error}")));
                }
            }
            if missed {
                torov_interrupt::raise();
            }
            let run = self.fd.get_kvm_run();
            if run.exit_reason != KVM_EXIT_IO {
                let reason = run.exit_reason;
                return Err(VcpuError(format!(
                    "the virtual machine stopped, with reason {reason} of KVM"
                )));
            }
            // SAFETY: the kernel says by `exit_reason` that this is the part of the union that it has filled.
            let port = unsafe { run.__bindgen_anon_1.io.port };
            return match port {
                stubs::CALL_PORT => Ok(self.entered()),
                stubs::FAULT_PORT => self.faulted(),
                _ => Err(VcpuError(format!("a write to port {port:#x}"))),
            };
        }
    }

    fn registers(&self) -> &Registers {
        &self.registers
    }

    fn registers_mut(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn set_fs_base(&mut self, base: u64) -> Result<(), VcpuError> {
        set_msrs(&self.fd, &[(IA32_FS_BASE, base)])
    }

    fn set_gs_base(&mut self, base: u64) -> Result<(), VcpuError> {
        set_msrs(&self.fd, &[(IA32_GS_BASE, base)])
    }

    fn bases(&self) -> Result<[u64; 2], VcpuError> {
        let sregs = self.fd.get_sregs().map_err(failed("a look"))?;
        Ok([sregs.fs.base, sregs.gs.base])
    }

    fn states(&self) -> u64 {
        self.make.states
    }

    fn extended_len(&self) -> usize {
        self.make.extended_len
    }

    fn extended(&self) -> Result<Vec<u8>, VcpuError> {
        let area = self.fd.get_xsave().map_err(failed("a look"))?;
        let bytes = area.region.iter().flat_map(|word| word.to_le_bytes());
        Ok(bytes.take(self.make.extended_len).collect())
    }

    fn set_extended(&mut self, image: &[u8]) -> Result<(), VcpuError> {
        let image = extended::harmless(image, self.make.states, self.make.extended_len);
        let mut area = kvm_xsave::default();
        for (word, bytes) in area.region.iter_mut().zip(image.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        // SAFETY: the kernel reads the 4096 bytes of the structure; more are for states that XCR0 has not here.
        let set = unsafe { self.fd.set_xsave(&area) };
        set.map_err(failed("the floating-point registers"))
    }

    fn took_the_long_way(&self) -> bool {
        self.inside == Inside::Vector
    }

    fn restart(&mut self, registers: &Registers, fs_base: u64) -> Result<(), VcpuError> {
        let sregs = system_registers(self.memory.root(), self.desk, fs_base, self.make);
        self.fd
            .set_sregs(&sregs)
            .map_err(failed("the system registers"))?;
        let mut regs = kvm_regs {
            rip: registers.rip,
            rsp: registers.rsp,
            rflags: registers.user_flags(),
            ..kvm_regs::default()
        };
        store(registers, &mut regs);
        self.fd.set_regs(&regs).map_err(failed("the registers"))?;
        // Who wants the thread's attention before it has run at all finds them here.
        self.fd.sync_regs_mut().regs = regs;
        self.set_extended(&extended::initial())?;
        self.registers = *registers;
        self.seen = *registers;
        self.inside = Inside::Program;
        Ok(())
    }
}

impl KvmVcpu {
    /// A processor that has not been started.
    pub(super) fn new(fd: VcpuFd, memory: Arc<Memory>, desk: Desk, make: Make) -> Self {
        Self {
            fd,
            memory,
            desk,
            make,
            registers: Registers::default(),
            seen: Registers::default(),
            inside: Inside::Program,
        }
    }

    /// Whether the registers of the program are known: it runs itself, or a stub is on its way back to it. On the way
    /// in they are known only when the stub has told.
    fn is_settled(&self) -> bool {
        let rip = self.fd.sync_regs().regs.rip;
        let events = self.fd.get_vcpu_events();
        let delivers = events.is_ok_and(|events| events.exception.injected != 0);
        !delivers && (rip < KERNEL_BASE || stubs::is_way_out(rip - KERNEL_BASE))
    }

    /// Hands the registers to the processor, if they have changed.
    fn enter(&mut self) {
        if self.registers == self.seen {
            return;
        }
        let new = self.registers;
        let regs = &mut self.fd.sync_regs_mut().regs;
        store(&new, regs);
        match self.inside {
            Inside::Program => {
                regs.rip = new.rip;
                regs.rsp = new.rsp;
                regs.rflags = new.user_flags();
            }
            Inside::Entry if simple(&self.seen, &new) => {
                regs.rcx = new.rip;
                regs.r11 = new.user_flags();
            }
            Inside::Entry => {
                regs.rip = KERNEL_BASE + stubs::RETURN;
                regs.rsp = tables::return_stack(self.desk);
                self.leave_by_frame(&new);
            }
            Inside::Vector => self.leave_by_frame(&new),
        }
        self.fd.set_sync_dirty_reg(SyncReg::Register);
    }

    fn leave_by_frame(&self, new: &Registers) {
        let frame = Frame::of(self.desk);
        frame.write(self.memory.ram(), new.rip, new.user_flags(), new.rsp);
    }

    /// A signal came: wherever the processor is, the registers that the monitor holds are those of its last exit,
    /// unless the program itself was running.
    fn interrupted(&mut self) -> Exit {
        let regs = self.fd.sync_regs().regs;
        if regs.rip < KERNEL_BASE {
            load(&regs, &mut self.registers);
            self.registers.rip = regs.rip;
            self.registers.rsp = regs.rsp;
            self.registers.rflags = regs.rflags;
            self.inside = Inside::Program;
        }
        self.seen = self.registers;
        Exit::Interrupted
    }

    /// `syscall` reached its stub at privilege level 0.
    fn entered(&mut self) -> Exit {
        let regs = self.fd.sync_regs().regs;
        load(&regs, &mut self.registers);
        self.registers.rip = regs.rcx;
        self.registers.rsp = regs.rsp;
        self.registers.rflags = regs.r11;
        self.seen = self.registers;
        self.inside = Inside::Entry;
        Exit::Call
    }

    fn faulted(&mut self) -> Result<Exit, VcpuError> {
        let regs = self.fd.sync_regs().regs;
        load(&regs, &mut self.registers);
        let [vector, error, rip, selector, rflags, rsp, _] =
            Frame::of(self.desk).read(self.memory.ram());
        self.inside = Inside::Vector;
        self.registers.rip = rip;
        self.registers.rsp = rsp;
        self.registers.rflags = rflags;
        if selector & 3 != 3 {
            let place = format!("exception {vector} at {rip:#x}, error {error:#x}");
            return Err(VcpuError(format!("the monitor's stub failed: {place}")));
        }
        if vector == PAGE_FAULT && rip == KERNEL_BASE + stubs::ENTRY {
            // `syscall` without a change of privilege: `rcx` and `r11` hold what it has saved.
            self.registers.rip = regs.rcx;
            self.registers.rflags = regs.r11;
            self.seen = Registers {
                rip,
                ..self.registers
            };
            return Ok(Exit::Call);
        }
        self.seen = self.registers;
        let address = if vector == PAGE_FAULT {
            let sregs = self.fd.get_sregs();
            sregs.map_err(|error| VcpuError(error.to_string()))?.cr2
        } else {
            0
        };
        let vector = u8::try_from(vector).map_err(|_| VcpuError("a vector over 255".to_owned()))?;
        Ok(Exit::Fault(Fault {
            vector,
            error,
            address,
        }))
    }
}

/// Whether `sysret` can go back with `new`: it leaves the stack alone, and loses `rcx` and `r11` as any call does.
fn simple(old: &Registers, new: &Registers) -> bool {
    old.rsp == new.rsp && old.rip == new.rip && old.rcx == new.rcx && old.r11 == new.r11
}

/// An argument that is a descriptor.
fn number(fd: i32) -> u64 {
    i64::from(fd).cast_unsigned()
}

fn load(from: &kvm_regs, to: &mut Registers) {
    *to = Registers {
        rax: from.rax,
        rbx: from.rbx,
        rcx: from.rcx,
        rdx: from.rdx,
        rsi: from.rsi,
        rdi: from.rdi,
        rbp: from.rbp,
        r8: from.r8,
        r9: from.r9,
        r10: from.r10,
        r11: from.r11,
        r12: from.r12,
        r13: from.r13,
        r14: from.r14,
        r15: from.r15,
        rip: to.rip,
        rsp: to.rsp,
        rflags: to.rflags,
    };
}

fn store(from: &Registers, to: &mut kvm_regs) {
    to.rax = from.rax;
    to.rbx = from.rbx;
    to.rcx = from.rcx;
    to.rdx = from.rdx;
    to.rsi = from.rsi;
    to.rdi = from.rdi;
    to.rbp = from.rbp;
    to.r8 = from.r8;
    to.r9 = from.r9;
    to.r10 = from.r10;
    to.r11 = from.r11;
    to.r12 = from.r12;
    to.r13 = from.r13;
    to.r14 = from.r14;
    to.r15 = from.r15;
}
