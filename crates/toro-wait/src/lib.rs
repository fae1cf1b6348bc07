//! Locks that park: what threads and tasks of all cores share.
//!
//! Whoever has to wait gives the core to others, and is served in the order of arrival: a lock that is given back goes to the
//! first in the line, not to whoever runs by. Threads wait in the plain methods, tasks in those named `_async`.
//!
//! ```text
//! queue.rs       who waits, in order            condvar.rs   a queue, and nothing else
//!    |
//! permits.rs     a number, and who waits for some of it
//!    |
//! semaphore.rs   the number    mutex.rs   1 of 1    rwlock.rs   1 or all of many    once.rs   1 of 1, and a value
//! ```
//!
//! The values lie in locks that spin, which are only ever asked for by whoever has the permit, so nobody spins; the proof is
//! the type's, and this crate needs no unsafe code.
//!
//! **Panics.** A thread that panics ends where it is, and its guards are never dropped: what it held stays held, because it may be
//! half changed. Who waits for it waits for ever, or until the deadline it gave. There is no poison. A service that
//! cannot have that makes the thread [essential](toro_sched::Builder::essential).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod condvar;
mod mutex;
mod once;
mod permits;
mod queue;
mod rwlock;
mod semaphore;

pub use condvar::Condvar;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Permit, Semaphore};

#[cfg(test)]
mod tests;
