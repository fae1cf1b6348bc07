//! Cooperative threads of a core.
//!
//! A thread runs until it parks, yields, sleeps or ends; then the first that became ready runs next. Threads never leave
//! the core that they were spawned on. The rooms of a switch, in order:
//!
//! ```text
//! wait.rs   park: state Running -> Waiting      wake.rs   a Waker: Waiting -> Ready, into the run queue
//!    |                                             |
//! core_loop.rs   interrupts dispatched, next thread picked, context changed
//!    |
//! idle.rs   nothing ready: wait for an interrupt
//! ```
//!
//! Beside threads there are tasks, which need no stack: [`task`]; and [`channel`] for both.
//!
//! `core::task::Waker` is the one way to make something runnable, so a thread can wait for whatever a future waits for:
//! see [`block_on`].

#![no_std]

extern crate alloc;

pub mod channel;
mod core_loop;
mod idle;
mod inspect;
mod join;
mod roster;
mod run_queue;
mod stack;
mod stats;
pub mod task;
mod thread;
mod tracing;
mod wait;
mod wake;

pub use core_loop::{can_end_alone, cores, end, end_panicked, init, set_cores, stats, yield_now};
pub use idle::look_before_halt;
pub use inspect::{Doing, Frame, Seen, threads_of};
pub use join::{JoinHandle, NoResult};
pub use stats::Stats;
pub use thread::{
    Builder, DEFAULT_STACK, SpawnError, Thread, current, is_stack_overflow, on_each_core, spawn,
    stack_range, try_current,
};
pub use tracing::trace_here;
pub use wait::{block_on, block_on_for, block_on_until, park, park_until, sleep};
