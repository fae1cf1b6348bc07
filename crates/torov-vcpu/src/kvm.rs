//! The back end for `/dev/kvm`: [`KvmMachine`] and its processors. Only documented interfaces are used.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kvm_bindings::{
    CpuId, Msrs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs,
    kvm_userspace_memory_region, kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::{Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};
use torov_abi::Errno;
use torov_memory::{KERNEL_BASE, Memory, Slots};

use crate::tables::{self, Desk, Frame};
use crate::{Exit, Fault, Machine, Registers, Vcpu, VcpuError, cpuid, stubs};

const IA32_STAR: u32 = 0xc000_0081;
const IA32_LSTAR: u32 = 0xc000_0082;
const IA32_FMASK: u32 = 0xc000_0084;
const IA32_FS_BASE: u32 = 0xc000_0100;
const IA32_GS_BASE: u32 = 0xc000_0101;

/// Flags that `syscall` clears: trap, interrupts, direction, port rights, nested task, alignment check.
const FMASK: u64 = 0x0004_7700;

const PAGE_FAULT: u64 = 14;

/// A virtual machine of KVM.
#[derive(Debug)]
pub struct KvmMachine {
    vm: Arc<VmFd>,
    memory: Mutex<Option<Arc<Memory>>>,
    next: AtomicU64,
}

/// What gives the virtual machine its memory.
#[derive(Debug)]
struct KvmSlots {
    vm: Arc<VmFd>,
    next: u32,
}

impl Slots for KvmSlots {
    fn add(&mut self, gpa: u64, host: u64, len: u64) -> Result<(), Errno> {
        let region = kvm_userspace_memory_region {
            slot: self.next,
            guest_phys_addr: gpa,
            memory_size: len,
            userspace_addr: host,
            ..kvm_userspace_memory_region::default()
        };
        // SAFETY: `host..host + len` is part of the `Ram` that `Memory` keeps mapped; the machine keeps the `Memory`,
        // and processors hold the machine's file, so the guest cannot run once the mapping is gone.
        let added = unsafe { self.vm.set_user_memory_region(region) };
        added.map_err(|error| Errno::new(error.errno()))?;
        self.next += 1;
        Ok(())
    }
}

impl KvmMachine {
    /// Opens `/dev/kvm` and makes a virtual machine without memory.
    ///
    /// # Errors
    /// A sentence that names the cause and what helps.
    pub fn try_new() -> Result<Self, VcpuError> {
        let kvm = Kvm::new().map_err(|error| VcpuError(no_kvm(error.errno())))?;
        let vm = kvm
            .create_vm()
            .map_err(|error| VcpuError(format!("KVM makes no virtual machine: {error}")))?;
        Ok(Self {
            vm: Arc::new(vm),
            memory: Mutex::new(None),
            next: AtomicU64::new(0),
        })
    }

    /// What puts memory into this machine.
    #[must_use]
    pub fn slots(&self) -> Box<dyn Slots> {
        let vm = Arc::clone(&self.vm);
        Box::new(KvmSlots { vm, next: 0 })
    }

    /// Gives the machine its memory, made with [`slots`](Self::slots), and puts the monitor's pages into it.
    ///
    /// # Errors
    /// `ENOMEM` if they do not fit.
    pub fn attach(&self, memory: &Arc<Memory>) -> Result<(), Errno> {
        tables::install(memory)?;
        let mut place = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::clone(memory));
        Ok(())
    }
}

fn no_kvm(errno: i32) -> String {
    let cause = match errno {
        libc::ENOENT => {
            "there is no /dev/kvm. Load the module kvm_intel or kvm_amd; inside a virtual machine, \
                         let its host allow nested virtualisation"
        }
        libc::EACCES | libc::EPERM => {
            "/dev/kvm may not be opened. Join the group that owns it: \
                         sudo usermod -aG kvm $USER, and log in again"
        }
        libc::ENODEV | libc::ENXIO => "/dev/kvm is there but no module stands behind it",
        _ => {
            return format!(
                "/dev/kvm cannot be opened: {}",
                io::Error::from_raw_os_error(errno)
            );
        }
    };
    cause.to_owned()
}

impl Machine for KvmMachine {
    fn add_vcpu(&self, registers: &Registers, fs_base: u64) -> Result<Box<dyn Vcpu>, VcpuError> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = memory.clone();
        let memory = memory.ok_or_else(|| VcpuError("the machine has no memory".to_owned()))?;
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let desk = tables::desk(&memory, index).map_err(|error| VcpuError(error.to_string()))?;
        let mut fd = self.vm.create_vcpu(index).map_err(failed("a processor"))?;
        let states = enable_states(&fd);
        let leaves = CpuId::from_entries(&cpuid::leaves(states));
        let leaves = leaves.map_err(|error| VcpuError(format!("{error:?}")))?;
        fd.set_cpuid2(&leaves).map_err(failed("the CPUID leaves"))?;
        set_msrs(
            &fd,
            &[
                (IA32_STAR, tables::STAR),
                (IA32_LSTAR, KERNEL_BASE + stubs::ENTRY),
                (IA32_FMASK, FMASK),
            ],
        )?;
        fd.set_sync_valid_reg(SyncReg::Register);
        let mut vcpu = KvmVcpu {
            fd,
            memory,
            desk,
            states,
            registers: *registers,
            seen: *registers,
            inside: Inside::Program,
        };
        vcpu.restart(registers, fs_base)?;
        Ok(Box::new(vcpu))
    }
}

fn failed(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> VcpuError {
    move |error| VcpuError(format!("KVM refuses {what}: {error}"))
}

/// Sets XCR0 to what the host offers and returns it, or 0 if it takes nothing.
fn enable_states(fd: &VcpuFd) -> u64 {
    let offered = cpuid::offered_states();
    for states in [offered, offered & 7] {
        let mut xcrs = kvm_xcrs {
            nr_xcrs: 1,
            ..kvm_xcrs::default()
        };
        xcrs.xcrs[0] = kvm_xcr {
            xcr: 0,
            reserved: 0,
            value: states,
        };
        if states != 0 && fd.set_xcrs(&xcrs).is_ok() {
            return states;
        }
    }
    0
}

fn set_msrs(fd: &VcpuFd, values: &[(u32, u64)]) -> Result<(), VcpuError> {
    let entries: Vec<kvm_msr_entry> = values
        .iter()
        .map(|&(index, data)| kvm_msr_entry {
            index,
            data,
            ..kvm_msr_entry::default()
        })
        .collect();
    let list = Msrs::from_entries(&entries).map_err(|error| VcpuError(format!("{error:?}")))?;
    match fd.set_msrs(&list) {
        Ok(set) if set == values.len() => Ok(()),
        Ok(set) => Err(VcpuError(format!("KVM refuses MSR {:#x}", values[set].0))),
        Err(error) => Err(VcpuError(format!("KVM refuses MSRs: {error}"))),
    }
}

/// Long mode at privilege level 3, with the monitor's tables.
fn system_registers(root: u64, desk: Desk, fs_base: u64, states: u64) -> kvm_sregs {
    let code = kvm_segment {
        limit: u32::MAX,
        selector: tables::USER_CODE,
        type_: 11,
        present: 1,
        dpl: 3,
        s: 1,
        l: 1,
        g: 1,
        ..kvm_segment::default()
    };
    let data = kvm_segment {
        selector: tables::USER_DATA,
        type_: 3,
        l: 0,
        db: 1,
        ..code
    };
    let empty = kvm_segment {
        unusable: 1,
        ..kvm_segment::default()
    };
    let task = kvm_segment {
        base: desk.address,
        limit: tables::TASK_LEN - 1,
        selector: tables::TASK,
        type_: 11,
        present: 1,
        ..kvm_segment::default()
    };
    let table = |base, len: u16| kvm_dtable {
        base,
        limit: len - 1,
        ..kvm_dtable::default()
    };
    // PE, MP, ET, NE, WP, AM, PG; PAE, OSFXSR, OSXMMEXCPT and OSXSAVE; SCE, LME, LMA, NXE.
    let os_xsave = if states == 0 { 0 } else { 1 << 18 };
    kvm_sregs {
        cs: code,
        ss: data,
        ds: data,
        es: data,
        fs: kvm_segment {
            base: fs_base,
            ..data
        },
        gs: data,
        tr: task,
        ldt: empty,
        gdt: table(tables::GDT_AT, tables::GDT_LEN),
        idt: table(tables::IDT_AT, tables::IDT_LEN),
        cr0: 0x8005_0033,
        cr3: root,
        cr4: 0x620 | os_xsave,
        efer: 0xd01,
        ..kvm_sregs::default()
    }
}

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

/// A processor of KVM.
#[derive(Debug)]
struct KvmVcpu {
    fd: VcpuFd,
    memory: Arc<Memory>,
    desk: Desk,
    /// XCR0.
    states: u64,
    registers: Registers,
    /// What the registers were when it came back.
    seen: Registers,
    inside: Inside,
}

impl Vcpu for KvmVcpu {
    fn run(&mut self) -> Result<Exit, VcpuError> {
        self.enter();
        loop {
            let port = match self.fd.run() {
                Ok(VcpuExit::IoOut(port, _)) => port,
                Ok(VcpuExit::Intr) => return Ok(self.interrupted()),
                Ok(other) => {
                    let what = format!("{other:?}");
                    return Err(VcpuError(format!("the virtual machine stopped: {what}")));
                }
                Err(error) if error.errno() == libc::EINTR => return Ok(self.interrupted()),
                // The monitor was changing the host's mapping of a page: the instruction is tried again.
                Err(error) if [libc::EAGAIN, libc::EFAULT].contains(&error.errno()) => continue,
                Err(error) => return Err(VcpuError(format!("the virtual machine fails: {error}"))),
            };
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

    fn took_the_long_way(&self) -> bool {
        self.inside == Inside::Vector
    }

    fn restart(&mut self, registers: &Registers, fs_base: u64) -> Result<(), VcpuError> {
        let sregs = system_registers(self.memory.root(), self.desk, fs_base, self.states);
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
        self.registers = *registers;
        self.seen = *registers;
        self.inside = Inside::Program;
        Ok(())
    }
}

impl KvmVcpu {
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
