//! An ELF core file: what a machine held when it failed, for a debugger to open afterwards.
//!
//! ```text
//! ELF header, a program header for the notes, one for each segment
//! notes       NT_PRSTATUS and NT_FPREGSET of each thread, then a text for people
//! memory      the segments, each from a page border on
//! ```
//! The file is written front to back, so that a socket can take it, by code that may run after anything has gone wrong: nothing is allocated,
//! and what the [`Source`] tells is asked for in small pieces. [`Segments`] remembers which memory is worth keeping in a table of fixed size.
//! What the file may be long is said beforehand: memory that does not fit is left out, that of least use first.
//!
//! Source: System V ABI, chapter 5; Linux' `struct elf_prstatus` and `struct user_fpregs_struct`, as gdb reads them.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod file;
mod note;
mod segments;

pub use file::{Scratch, Source, Write, WriteError, write};
pub use note::{FX, Registers, Thread, UpperHalves, register};
pub use segments::{PAGE, PAGE_BYTES, Segments};
