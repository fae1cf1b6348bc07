//! The processors of a ToroV guest.
//!
//! A [`Vcpu`] runs the program until it wants something: a system call, or a fault. The program runs at privilege
//! level 3; descriptor tables and a page of stubs are the monitor's (`stubs`), and all that the stubs do is tell the
//! monitor by a write to a port. There is no kernel in the guest.
//!
//! Two back ends: [`kvm`] for `/dev/kvm`, [`script`] for tests of what stands above, which plays a list of exits.
//!
//! A KVM without hardware virtualisation may run `syscall` without leaving privilege level 3. The stub page is out of
//! the program's reach, so that such a call arrives as a page fault at the address of the stub: the monitor takes it as
//! the call it is. The same guest image works on both kinds of machine.

pub mod cpuid;
pub mod extended;
pub mod kvm;
mod registers;
pub mod script;
pub mod shim;
mod stubs;
mod tables;
pub mod tsc;
pub mod vdso;
pub mod yardstick;

use std::fmt;

pub use self::registers::Registers;

/// Why a processor came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A system call: the number is in `rax`, the result goes there.
    Call,
    /// An exception.
    Fault(Fault),
    /// Somebody wants the thread's attention.
    Interrupted,
}

/// An exception (Intel SDM 3A, 6.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one, 0 to 31.
    pub vector: u8,
    /// Its error code, or 0.
    pub error: u64,
    /// The address that a page fault is about.
    pub address: u64,
}

/// The virtual machine did something that the monitor does not know.
#[derive(Debug)]
pub struct VcpuError(pub String);

impl fmt::Display for VcpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VcpuError {}

/// One processor with a thread of the program on it.
pub trait Vcpu: Send {
    /// Runs the program until it wants something, or until the thread's line ([`torov_interrupt::Line`]) is raised. The
    /// registers are up to date then.
    ///
    /// # Errors
    /// The machine cannot go on; the program is lost.
    fn run(&mut self) -> Result<Exit, VcpuError>;

    /// The program's registers.
    fn registers(&self) -> &Registers;

    /// The program's registers, to change them before the next [`run`](Self::run).
    fn registers_mut(&mut self) -> &mut Registers;

    /// Sets the base of the `fs` segment: where a thread's own data are.
    ///
    /// # Errors
    /// What the virtual machine says.
    fn set_fs_base(&mut self, base: u64) -> Result<(), VcpuError>;

    /// Sets the base of the `gs` segment: where the shim finds the thread's slot.
    ///
    /// # Errors
    /// What the virtual machine says.
    fn set_gs_base(&mut self, base: u64) -> Result<(), VcpuError>;

    /// The bases of the `fs` and `gs` segments.
    ///
    /// # Errors
    /// What the virtual machine says.
    fn bases(&self) -> Result<[u64; 2], VcpuError>;

    /// The parts of the processor's state that the program may have, as in XCR0.
    fn states(&self) -> u64;

    /// How many bytes [`extended`](Self::extended) returns. Nothing is asked of the processor for it.
    fn extended_len(&self) -> usize;

    /// The floating-point and vector registers, as XSAVE lays them out (see [`extended`]).
    ///
    /// # Errors
    /// What the virtual machine says.
    fn extended(&self) -> Result<Vec<u8>, VcpuError>;

    /// Sets them. Whatever an image says, no processor refuses it: it is put right before.
    ///
    /// # Errors
    /// What the virtual machine says.
    fn set_extended(&mut self, image: &[u8]) -> Result<(), VcpuError>;

    /// Whether the last call came as a page fault, for want of a change of privilege.
    fn took_the_long_way(&self) -> bool;

    /// Gives the processor to another thread of the program, which starts with `registers` and `fs_base`.
    ///
    /// # Errors
    /// What the virtual machine says.
    fn restart(&mut self, registers: &Registers, fs_base: u64) -> Result<(), VcpuError>;
}

/// Makes processors.
pub trait Machine: Send + Sync {
    /// A new processor that starts with `registers` and `fs_base`.
    ///
    /// # Errors
    /// What the virtual machine says, such as that it has no room for more.
    fn add_vcpu(&self, registers: &Registers, fs_base: u64) -> Result<Box<dyn Vcpu>, VcpuError>;
}
