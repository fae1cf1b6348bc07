//! The stack of the running core, and the thread that takes its turns.
//!
//! A turn: receive a budget of frames, call the services, let the threads that this woke run, then send and flush once. So an answer
//! carries the acknowledgement of its request, and the answers to a batch of requests cost one notification.

use alloc::boxed::Box;
use core::cell::RefCell;
use core::future;
use core::marker::PhantomData;
use core::net::SocketAddrV4;
use core::task::Poll;

use toro_dev::net::NetDevice;
use toro_service::Service;
use toro_sync::PerCore;
use toro_time::Instant;

use crate::config::Config;
use crate::error::BindError;
use crate::local::Addresses;
use crate::stack::Stack;
use crate::stats::Stats;

/// Frames received before the services have their turn.
const RECEIVE_BUDGET: usize = 64;

/// The stack of each core that has a network.
static STACK: PerCore<RefCell<Stack>> = PerCore::new();

/// Gives this core a network on `device`. The caller then spawns a thread for [`run`].
///
/// # Panics
/// Panics if the core has one already.
pub fn init(device: Box<dyn NetDevice>, config: Config) {
    STACK.init(RefCell::new(Stack::new(device, config, Instant::now())));
}

/// Whether this core has a network.
pub fn is_init() -> bool {
    STACK.is_init()
}

/// Calls `f` with the stack of this core; `None` if it has no network.
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
/// Panics if the core has no network.
pub fn run() -> ! {
    let waker = toro_sched::current().waker();
    loop {
        let more = turn(|stack| {
            let now = Instant::now();
            let more = stack.receive(now, RECEIVE_BUDGET);
            stack.serve(now);
            more
        });
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

/// Binds `address` and serves it on the event loop of this core, from now on.
///
/// The unspecified address stands for each of ours, port 0 for a free one.
///
/// # Errors
/// Fails if the port is taken, the address is not ours, or this core has no network.
pub fn serve(
    address: impl Into<SocketAddrV4>,
    service: impl Service,
) -> Result<Serving, BindError> {
    let address = address.into();
    let address =
        with_stack(|stack| stack.register(address, service)).ok_or(BindError::NoStack)??;
    Ok(Serving {
        address,
        core: PhantomData,
    })
}

/// A service at work. Dropping it resets its connections.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddrV4,
    /// Keeps it on its core: a raw pointer is neither `Send` nor `Sync`.
    core: PhantomData<*const ()>,
}

impl Serving {
    /// The address it is bound to, with the port it got.
    pub fn local_addr(&self) -> SocketAddrV4 {
        self.address
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
        with_stack(|stack| stack.withdraw(Instant::now(), self.address.port()));
    }
}

/// The addresses this core has now; `None` without a network or before DHCP has answered.
pub fn addresses() -> Option<Addresses> {
    with_stack(|stack| stack.addresses().cloned()).flatten()
}

/// Waits until this core has an address, at most until `deadline`.
///
/// Returns `None` without a network, or if there was no address in time.
pub fn wait_for_address(deadline: Instant) -> Option<Addresses> {
    let configured = future::poll_fn(|cx| {
        let found = with_stack(|stack| match stack.addresses() {
            Some(addresses) => Poll::Ready(Some(addresses.clone())),
            None => {
                stack.wait_for_address(cx.waker());
                Poll::Pending
            }
        });
        found.unwrap_or(Poll::Ready(None))
    });
    toro_sched::block_on_until(deadline, configured).flatten()
}

/// What the stack of this core has done and holds; all zero without a network.
pub fn stats() -> Stats {
    with_stack(|stack| stack.stats()).unwrap_or_default()
}
