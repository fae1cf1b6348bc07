//! The stack of the running core, and the thread that takes its turns.

use alloc::boxed::Box;
use core::cell::RefCell;
use core::marker::PhantomData;

use toro_dev::socket::{SocketDevice, VsockAddr};
use toro_service::Service;
use toro_sync::PerCore;
use toro_time::Instant;

use crate::config::{Config, Times};
use crate::error::BindError;
use crate::stack::Stack;
use crate::stats::Stats;

/// Packets received before the services have their turn.
const RECEIVE_BUDGET: usize = 64;

/// The stack of each core that has a socket device.
static STACK: PerCore<RefCell<Stack>> = PerCore::new();

/// Gives this core a stack on `device`. The caller then spawns a thread for [`run`].
///
/// # Panics
/// Panics if the core has one already.
pub fn init(device: Box<dyn SocketDevice>, config: Config) {
    STACK.init(RefCell::new(Stack::new(device, config)));
}

/// Whether this core has a socket device.
pub fn is_init() -> bool {
    STACK.is_init()
}

/// Calls `f` with the stack of this core; `None` if it has none.
///
/// `f` must not park and must not call a socket.
pub(crate) fn with_stack<R>(f: impl FnOnce(&mut Stack) -> R) -> Option<R> {
    STACK.try_with(|stack| f(&mut stack.borrow_mut()))
}

/// Takes the turns of this core's stack, for ever.
///
/// # Context
/// A thread of its own on the core that called [`init`].
///
/// # Panics
/// Panics if the core has no stack.
pub fn run() -> ! {
    let waker = toro_sched::current().waker();
    loop {
        let more = turn(|stack| {
            let now = Instant::now();
            let more = stack.receive(now, RECEIVE_BUDGET);
            stack.serve(now);
            more
        });
        // Those whom this woke answer first: then their answers leave together.
        toro_sched::yield_now();
        let (now, deadline) = turn(|stack| {
            let now = Instant::now();
            stack.advance(now);
            (now, stack.next_deadline().unwrap_or(Instant::FAR_FUTURE))
        });
        if !more && deadline > now && turn(|stack| stack.sleep(&waker)) {
            toro_sched::park_until(deadline);
        }
    }
}

fn turn<R>(f: impl FnOnce(&mut Stack) -> R) -> R {
    with_stack(f).expect("init came before run")
}

/// Binds `port` and serves it on the event loop of this core, from now on; port 0 stands for a free one.
///
/// # Errors
/// Fails if the port is taken or this core has no socket device.
pub fn serve(port: u32, service: impl Service<VsockAddr>) -> Result<Serving, BindError> {
    let port = with_stack(|stack| stack.register(port, service)).ok_or(BindError::NoStack)??;
    Ok(Serving {
        port,
        core: PhantomData,
    })
}

/// A service at work. Dropping it resets its connections.
#[derive(Debug)]
pub struct Serving {
    port: u32,
    /// Keeps it on its core: a raw pointer is neither `Send` nor `Sync`.
    core: PhantomData<*const ()>,
}

impl Serving {
    /// The port it is bound to.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Parks the calling thread for ever: the service does not need it.
    pub fn for_ever(&self) -> ! {
        loop {
            toro_sched::park();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        with_stack(|stack| stack.withdraw(Instant::now(), self.port));
    }
}

/// The context id of this machine; `None` without a socket device on this core.
pub fn cid() -> Option<u32> {
    with_stack(|stack| stack.cid())
}

/// Changes how long this core waits for silent hosts, from now on. Without a socket device it does nothing.
pub fn set_times(times: Times) {
    with_stack(|stack| stack.set_times(times));
}

/// What the stack of this core has done and holds; all zero without one.
pub fn stats() -> Stats {
    with_stack(|stack| stack.stats()).unwrap_or_default()
}
