//! Segments and the task state of a core: flat code and data, and the stacks that interrupts switch to.
//!
//! The prebuilt `core` library keeps data below the stack pointer (the red zone), so no vector may run on the stack of
//! the thread that it interrupts. Every gate therefore names one of the stacks here (Intel SDM volume 3, 6.14.5). Below
//! each lies a guard page: a report that grows too long ends in the next one, not in somebody's data.

use alloc::boxed::Box;
use core::mem::ManuallyDrop;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::stack::Stack;

/// The stack that a gate switches to, as the gate counts it: from 1.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum InterruptStack {
    /// Device interrupts: never nested, a handful of instructions.
    Interrupt = 1,
    /// Exceptions: the report is written from here.
    Exception = 2,
    /// An exception while one is being reported.
    DoubleFault = 3,
    /// Non-maskable interrupts and machine checks, which come at any time.
    Nmi = 4,
}

/// The size of each stack; the index is that of [`InterruptStack`], less one.
pub const STACK_BYTES: [usize; 4] = [4096, 12 * 1024, 8 * 1024, 12 * 1024];

/// The same for an image whose debugger talks from its exceptions, or that writes core files there.
pub const DEBUGGED_STACK_BYTES: [usize; 4] = [4096, 32 * 1024, 8 * 1024, 32 * 1024];

/// Gives the running core its own descriptor table, task state and interrupt stacks of these sizes.
pub fn init(stack_bytes: [usize; 4]) {
    let tss = Box::leak(Box::new(TaskStateSegment::new()));
    let mut stacks = [VirtAddr::zero(); 7];
    for (top, bytes) in stacks.iter_mut().zip(stack_bytes) {
        // Never freed: a core lives as long as the image.
        let stack = Stack::try_new(bytes).expect("a core has memory for its interrupt stacks");
        *top = VirtAddr::from_ptr(ManuallyDrop::new(stack).top());
    }
    tss.interrupt_stack_table = stacks;

    let gdt = Box::leak(Box::new(GlobalDescriptorTable::new()));
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: `code` selects a 64-bit ring 0 code segment of the table that was just loaded.
    unsafe { CS::set_reg(code) };
    // SAFETY: `data` selects a flat writable segment of that table.
    unsafe { SS::set_reg(data) };
    // SAFETY: as for SS.
    unsafe { DS::set_reg(data) };
    // SAFETY: as for SS.
    unsafe { ES::set_reg(data) };
    // SAFETY: `task` selects this core's task state, which lives for ever.
    unsafe { load_tss(task) };
}
