//! The faces for threads, and [`run`], which gives each core a rank.
//!
//! Ranks come to a collective at nearly the same time, and the message that one waits for is on its way: so a thread looks for it
//! a number of times, letting others of its core run in between, before it parks. To park and be woken costs an interrupt.

use alloc::sync::Arc;
use alloc::vec::Vec;

use toro_sched::{Builder, JoinHandle, NoResult, SpawnError};

use crate::comm::{Comm, CommError, group};
use crate::element::{Element, Op};

/// Runs `body` as a rank on each core, and waits for all; the results are in the order of the ranks, which is that of the cores.
///
/// # Errors
/// Fails if a thread could not be spawned on the running core. `Err` inside: the rank panicked, or had no stack.
pub fn run<R: Send + 'static>(
    body: impl Fn(&mut Comm) -> R + Send + Sync + 'static,
) -> Result<Vec<Result<R, NoResult>>, SpawnError> {
    let body = Arc::new(body);
    let threads: Result<Vec<_>, _> = group(toro_sched::cores())
        .into_iter()
        .map(|mut comm| {
            let body = Arc::clone(&body);
            Builder::new()
                .name("rank")
                .stack_size(64 * 1024)
                .spawn_on(comm.rank(), move || body(&mut comm))
        })
        .collect();
    Ok(threads?.into_iter().map(JoinHandle::join).collect())
}

/// Methods that park the running thread, each with the errors of the future of the same name and `_async` behind it.
macro_rules! blocking {
    ($($(#[$doc:meta])* $name:ident => $future:ident $([$number:ident])? ($($argument:ident: $kind:ty),*);)*) => {
        impl Comm {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                #[doc = concat!("As for [`", stringify!($future), "`](Self::", stringify!($future), "), which is for tasks.")]
                pub fn $name$(<$number: Element>)?(&mut self, $($argument: $kind),*) -> Result<(), CommError> {
                    self.pause = Some(toro_sched::yield_now);
                    let outcome = toro_sched::block_on(self.$future($($argument),*));
                    self.pause = None;
                    outcome
                }
            )*
        }
    };
}

blocking! {
    /// Sends numbers to rank `to`, parked while there is no room for another message.
    send => send_async[T](to: usize, numbers: &[T]);
    /// Receives the next message of rank `from`, which must be as long as `numbers`.
    recv => recv_async[T](from: usize, numbers: &mut [T]);
    /// Waits until all ranks have come here.
    barrier => barrier_async();
    /// Gives all ranks the numbers of rank `root`.
    broadcast => broadcast_async[T](root: usize, numbers: &mut [T]);
    /// Combines the numbers of all ranks, place by place, into `output` of rank `root`.
    reduce => reduce_async[T](root: usize, op: Op, input: &[T], output: &mut [T]);
    /// Combines the numbers of all ranks, place by place, into the `output` of each.
    all_reduce => all_reduce_async[T](op: Op, input: &[T], output: &mut [T]);
    /// Puts the numbers of all ranks one behind the other into `output` of rank `root`.
    gather => gather_async[T](root: usize, input: &[T], output: &mut [T]);
    /// Puts the numbers of all ranks one behind the other into the `output` of each.
    all_gather => all_gather_async[T](input: &[T], output: &mut [T]);
    /// Cuts the numbers of rank `root` into equal parts and gives each rank its part.
    scatter => scatter_async[T](root: usize, input: &[T], output: &mut [T]);
}
