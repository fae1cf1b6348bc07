//! The back end for `/dev/kvm`: [`KvmMachine`] and its processors. Only documented interfaces are used.

mod processor;

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kvm_bindings::{
    CpuId, KVM_CAP_SPLIT_IRQCHIP, KVM_MP_STATE_RUNNABLE, Msrs, kvm_device_attr, kvm_dtable,
    kvm_enable_cap, kvm_mp_state, kvm_msr_entry, kvm_segment, kvm_sregs,
    kvm_userspace_memory_region, kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::{Kvm, SyncReg, VcpuFd, VmFd};
use torov_abi::Errno;
use torov_memory::{KERNEL_BASE, Memory, Slots};

use self::processor::{KvmVcpu, Make};
use crate::tables::{self, Desk};
use crate::{Machine, Registers, Vcpu, VcpuError, cpuid, extended, stubs};

const IA32_STAR: u32 = 0xc000_0081;
const IA32_LSTAR: u32 = 0xc000_0082;
const IA32_FMASK: u32 = 0xc000_0084;
const IA32_FS_BASE: u32 = 0xc000_0100;
const IA32_GS_BASE: u32 = 0xc000_0101;

/// Flags that `syscall` clears: trap, interrupts, direction, port rights, nested task, alignment check.
const FMASK: u64 = 0x0004_7700;

/// A virtual machine of KVM.
#[derive(Debug)]
pub struct KvmMachine {
    vm: Arc<VmFd>,
    memory: Mutex<Option<Arc<Memory>>>,
    next: AtomicU64,
    /// Whether its processors have interrupt controllers.
    has_controllers: AtomicBool,
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
            has_controllers: AtomicBool::new(false),
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
        let has_controllers = add_controllers(&self.vm, memory.ram().len());
        self.has_controllers
            .store(has_controllers, Ordering::Relaxed);
        let mut place = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::clone(memory));
        Ok(())
    }
}

/// Where the interrupt controllers of processors are.
const CONTROLLERS: u64 = 0xfee0_0000;

/// Gives the processors to come interrupt controllers of KVM's own, if the machine has no memory where they are. Nothing here uses them, but
/// while there is a processor without, KVM runs other code: it changes that when the first comes and when the last goes, which
/// stops all processors of the host and takes a fifth of a millisecond each time.
fn add_controllers(vm: &VmFd, memory: u64) -> bool {
    let mut wanted = kvm_enable_cap {
        cap: KVM_CAP_SPLIT_IRQCHIP,
        ..kvm_enable_cap::default()
    };
    // How many lines the controller of devices has, which is not there.
    wanted.args[0] = 24;
    memory <= CONTROLLERS && vm.enable_cap(&wanted).is_ok()
}

/// The base of the interrupt controller of processor `index`, as it is when the processor begins: on, and the first one
/// marked.
fn controller_base(index: u64) -> u64 {
    let first = if index == 0 { 1 << 8 } else { 0 };
    CONTROLLERS | 1 << 11 | first
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
        let (states, extended_len) = enable_states(&fd)?;
        set_msrs(
            &fd,
            &[
                (IA32_STAR, tables::STAR),
                (IA32_LSTAR, KERNEL_BASE + stubs::ENTRY),
                (IA32_FMASK, FMASK),
            ],
        )?;
        share_counter(&fd);
        fd.set_sync_valid_reg(SyncReg::Register);
        let has_controller = self.has_controllers.load(Ordering::Relaxed);
        if has_controller && index != 0 {
            // It would wait for another processor to start it.
            let mp_state = KVM_MP_STATE_RUNNABLE;
            fd.set_mp_state(kvm_mp_state { mp_state })
                .map_err(failed("to start a processor"))?;
        }
        let make = Make {
            states,
            extended_len,
            controller: if has_controller {
                controller_base(index)
            } else {
                0
            },
        };
        let mut vcpu = KvmVcpu::new(fd, memory, desk, make);
        vcpu.restart(registers, fs_base)?;
        Ok(Box::new(vcpu))
    }
}

/// Lets the program read the host's time stamp counter as it is. Where KVM does not know how, the program's may be another; whoever
/// relies on it looks.
fn share_counter(fd: &VcpuFd) {
    const KVM_SET_DEVICE_ATTR: libc::Ioctl = 0x4018_aee1;
    const KVM_VCPU_TSC_CTRL: u32 = 0;
    const KVM_VCPU_TSC_OFFSET: u64 = 0;
    let offset = 0_u64;
    let attribute = kvm_device_attr {
        flags: 0,
        group: KVM_VCPU_TSC_CTRL,
        attr: KVM_VCPU_TSC_OFFSET,
        addr: torov_abi::word::wide((&raw const offset).addr()),
    };
    // SAFETY: the kernel reads the structure and the word that it names, both of which live during the call.
    let _ = unsafe { libc::ioctl(fd.as_raw_fd(), KVM_SET_DEVICE_ATTR, &raw const attribute) };
}

fn failed(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> VcpuError {
    move |error| VcpuError(format!("KVM refuses {what}: {error}"))
}

/// Tells the guest by `cpuid` what the host offers, sets XCR0 to it and returns it, or 0 if it takes nothing, with the length of
/// the image of its registers. The leaves come
/// first: KVM takes only what they say.
fn enable_states(fd: &VcpuFd) -> Result<(u64, usize), VcpuError> {
    let offered = cpuid::offered_states();
    for states in [offered, offered & 7, 0] {
        let len = extended::len(states);
        let leaves = CpuId::from_entries(&cpuid::leaves(states, len));
        let leaves = leaves.map_err(|error| VcpuError(format!("{error:?}")))?;
        fd.set_cpuid2(&leaves).map_err(failed("the CPUID leaves"))?;
        let mut xcrs = kvm_xcrs {
            nr_xcrs: 1,
            ..kvm_xcrs::default()
        };
        xcrs.xcrs[0] = kvm_xcr {
            xcr: 0,
            reserved: 0,
            value: states,
        };
        if states == 0 || fd.set_xcrs(&xcrs).is_ok() {
            return Ok((states, len));
        }
    }
    Ok((0, extended::len(0)))
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
fn system_registers(root: u64, desk: Desk, fs_base: u64, make: Make) -> kvm_sregs {
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
    let os_xsave = if make.states == 0 { 0 } else { 1 << 18 };
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
        apic_base: make.controller,
        ..kvm_sregs::default()
    }
}
