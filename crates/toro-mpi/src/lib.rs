//! Ranks that compute together, one on each core, in the manner of MPI.
//!
//! ```ignore
//! let sums = toro::mpi::run(|comm| {
//!     let mut sum = [0_u64];
//!     comm.all_reduce(Op::Sum, &[comm.rank() as u64], &mut sum)?;
//!     Ok::<_, CommError>(sum[0])
//! })?;
//! ```
//!
//! Every two ranks are joined by channels of their own ([`group`]), so nothing is locked and nothing overtakes. A message is a shared,
//! counted slice ([`Element`]): it is copied in once, however many ranks it goes to, and each of them copies out of it what it needs.
//! Hence the shapes in `collectives.rs`: a binomial tree where work or latency is divided by it (broadcast, reduce), an exchange
//! with ever farther ranks where all need the result (barrier, all-reduce), and no tree where it would only copy again (gather).
//!
//! Each rank calls the same collectives in the same order, with the same lengths. A rank that ends early is an error for those that
//! wait for it; one that panics is not noticed, since a thread that panics drops nothing.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blocking;
mod collectives;
mod comm;
mod element;

pub use blocking::run;
pub use comm::{Comm, CommError, group};
pub use element::{Element, Op};

#[cfg(test)]
mod tests;
