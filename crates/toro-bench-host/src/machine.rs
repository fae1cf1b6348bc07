//! A machine for Toro inside a program of the host: per-core block, memory, page tables that nobody walks.
//!
//! Toro finds its core through the GS base, which programs of the host leave alone, so it can be pointed at a block. Making
//! a stack takes a page away in the page tables: the privileged instructions for that fault, and the handler of the fault
//! gives the address of tables made of ordinary memory instead. All that happens once for each stack and not in what is
//! measured, which is code that runs here as it runs in an image.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use libc::{c_int, c_void, siginfo_t, ucontext_t};
use toro_mem::KernelHeap;

/// Memory of the machine's core, of which the host provides what is touched.
const MEMORY: usize = 2 << 30;
/// Where a heap starts before [`start`].
const NOT_YET: u64 = u64::MAX;
/// `ARCH_SET_GS` of arch_prctl(2).
const SET_GS: c_int = 0x1001;

/// The root of the page tables.
static TABLES: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Allocates from Toro's heap once there is one, and from the host's before.
#[derive(Debug)]
pub struct Heap {
    start: AtomicU64,
}

impl Heap {
    /// A heap that is the host's until [`start`].
    pub const fn new() -> Self {
        Self {
            start: AtomicU64::new(NOT_YET),
        }
    }

    fn holds(&self, object: *mut u8) -> bool {
        (object.addr() as u64).wrapping_sub(self.start.load(Ordering::Relaxed)) < MEMORY as u64
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: both heaps are allocators, and an object goes back to the one whose memory it lies in.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.start.load(Ordering::Relaxed) != NOT_YET {
            // SAFETY: the caller's duty is passed on.
            unsafe { KernelHeap.alloc(layout) }
        } else {
            // SAFETY: the caller's duty is passed on.
            unsafe { System.alloc(layout) }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        if self.holds(object) {
            // SAFETY: the object is of this heap, by its address; the rest is the caller's duty.
            unsafe { KernelHeap.dealloc(object, layout) };
        } else {
            // SAFETY: the object is not of the other heap; the rest is the caller's duty.
            unsafe { System.dealloc(object, layout) };
        }
    }
}

/// Makes the running thread core 0 of a machine with a heap, which becomes `heap`, and a scheduler, whose first thread it is.
///
/// Only one thread of the program may use either from now on, and only this program's `heap` may be given.
///
/// # Panics
/// Panics if the host says no.
pub fn start(heap: &Heap) {
    // Core 0, a word for interrupts, none of which ever comes, and a place for the scheduler.
    let block: &[AtomicU64; 16] = Box::leak(Box::new([const { AtomicU64::new(0) }; 16]));
    // SAFETY: sets the GS base, which no program of this host uses, to the core's block, which is never moved.
    let set = unsafe { libc::syscall(libc::SYS_arch_prctl, SET_GS, block.as_ptr()) };
    assert_eq!(set, 0, "the GS base is this program's");
    TABLES.store(reserve(4096), Ordering::Relaxed);
    answer_faults();
    let start = reserve(MEMORY).expose_provenance() as u64;
    let memory = [(start, start + MEMORY as u64)];
    // SAFETY: 1. and 2. the memory was just reserved for this, and there is one core.
    unsafe { toro_mem::init(memory.into_iter()) };
    heap.start.store(start, Ordering::Relaxed);
    toro_sched::init(0..0, 0);
}

/// Address space for ever, with zeroes wherever it is touched.
fn reserve(len: usize) -> *mut c_void {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a free address touches nothing else.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, rights, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "address space is plentiful");
    start
}

/// Has privileged instructions carried out by [`on_fault`].
fn answer_faults() {
    // SAFETY: an action is plain data, and zeroes mean no flags and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action is complete; its function allocates nothing and touches only the frame that it is given.
    let set = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) };
    assert_eq!(set, 0, "a program may handle its faults");
}

/// Where the registers of an instruction's operand are in a signal's frame, by their number in the instruction.
const REGISTERS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// What can fault here: reading the root of the page tables into a register, and forgetting a translation.
enum Privileged {
    ReadRoot(usize),
    Forget,
}

/// Steps over the instruction that faulted, as if the processor had carried it out.
unsafe extern "C" fn on_fault(_: c_int, _: *mut siginfo_t, frame: *mut c_void) {
    // SAFETY: the host passes the frame of the signal, which is this function's to change.
    let frame = unsafe { &mut *frame.cast::<ucontext_t>() };
    let registers = &mut frame.uc_mcontext.gregs;
    let bytes = registers[index(libc::REG_RIP)] as *const [u8; 4];
    // SAFETY: an instruction that was fetched can be read, and no function ends within four bytes of a privileged one.
    let Some((privileged, len)) = decode(unsafe { bytes.read() }) else {
        // SAFETY: ends the program at once.
        unsafe { libc::abort() };
    };
    if let Privileged::ReadRoot(register) = privileged {
        let root = TABLES.load(Ordering::Relaxed).addr() as u64;
        registers[index(REGISTERS[register])] = root.cast_signed();
    }
    registers[index(libc::REG_RIP)] += len;
}

/// The instruction and its length. Intel SDM volume 2, 2.2.1: bit 0 of a REX prefix is bit 3 of the register's number.
fn decode(bytes: [u8; 4]) -> Option<(Privileged, i64)> {
    let [prefix, rest @ ..] = bytes;
    if prefix & 0xf0 == 0x40 {
        let (privileged, len) = decode_plain(rest, prefix & 1)?;
        return Some((privileged, len + 1));
    }
    decode_plain([bytes[0], bytes[1], bytes[2]], 0)
}

fn decode_plain(bytes: [u8; 3], high: u8) -> Option<(Privileged, i64)> {
    let [first, second, operand] = bytes;
    let register = operand & 7;
    match (first, second, operand >> 3) {
        // mov register, cr3
        (0x0f, 0x20, 0b11_011) => {
            Some((Privileged::ReadRoot(usize::from(register | high << 3)), 3))
        }
        // invlpg [register], without a displacement
        (0x0f, 0x01, 0b00_111) if register != 4 && register != 5 => Some((Privileged::Forget, 3)),
        _ => None,
    }
}

fn index(register: c_int) -> usize {
    usize::try_from(register).expect("registers count from 0")
}
