//! The stack of the running core, and the thread that takes its turns.
//!
//! A turn: receive a budget of frames, call the services, let the threads that this woke run, then send and flush once. So an answer
//! carries the acknowledgement of its request, and the answers to a batch of requests cost one notification.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future;
use core::marker::PhantomData;
use core::net::SocketAddrV4;
use core::task::Poll;
use core::time::Duration;

use toro_dev::net::NetDevice;
use toro_sched::JoinHandle;
use toro_service::Service;
use toro_sync::{LookError, PerCore, StoppedCore};
use toro_time::Instant;

use crate::config::Config;
use crate::error::BindError;
use crate::local::Addresses;
use crate::seat::Seat;
use crate::stack::Stack;
use crate::stats::Stats;

/// Frames received before the services have their turn.
const RECEIVE_BUDGET: usize = 64;

/// How long a service that ends waits for its peers.
const GRACE: Duration = Duration::from_secs(20);

/// How often a service that ends looks whether its connections are over.
const LOOK: Duration = Duration::from_millis(10);

/// The stack of each core that has a network.
static STACK: PerCore<RefCell<Stack>> = PerCore::new();

/// Gives this core a network on `device`. The caller then spawns a thread for [`run`].
///
/// # Panics
/// Panics if the core has one already.
pub fn init(device: Box<dyn NetDevice>, config: Config) {
    STACK.init(RefCell::new(Stack::new(device, config, Instant::now())));
}

/// Has the stack of this core share its card with those of other cores, before its first turn.
///
/// # Panics
/// Panics if the core has no network.
pub fn join(seat: Seat) {
    turn(|stack| stack.take_seat(seat));
}

/// Whether this core has a network.
pub fn is_init() -> bool {
    STACK.is_init()
}

/// Calls `f` with the stack of this core; `None` if it has no network.
///
/// `f` must not park and must not call a socket.
pub(crate) fn with_stack<R>(f: impl FnOnce(&mut Stack) -> R) -> Option<R> {
    STACK.try_change(f)
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
        is_everywhere: false,
        core: PhantomData,
    })
}

/// As [`serve`], on every core that shares the card of this one, each with a service of its own that `make` makes there. Waits
/// until all have begun.
///
/// A connection belongs to the core on which its first packet arrives. A service that [`serve`] or a listener that `bind` puts
/// on one core has all its connections there, wherever their packets arrive.
///
/// # Errors
/// As [`serve`], for this core or another.
pub fn serve_on_each_core<S: Service>(
    address: impl Into<SocketAddrV4>,
    make: impl Fn() -> S + Clone + Send + 'static,
) -> Result<Serving, BindError> {
    let mut serving = serve(address, make())?;
    let address = serving.address;
    let this = toro_sched::current().core();
    for core in (0..toro_sched::cores()).filter(|&core| core != this) {
        let make = make.clone();
        let begin = move || with_stack(|stack| stack.register(address, make()).map(drop));
        let begun = toro_sched::Builder::new()
            .name("serve")
            .spawn_on(core, begin);
        serving.is_everywhere = true;
        // Without a stack it serves nothing there.
        let begun = begun.ok().and_then(|begun| begun.join().ok());
        begun.ok_or(BindError::NoStack)?.unwrap_or(Ok(()))?;
    }
    Ok(serving)
}

/// A service at work. Dropping it resets its connections.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddrV4,
    /// Other cores serve it too.
    is_everywhere: bool,
    /// Keeps it on its core: a raw pointer is neither `Send` nor `Sync`.
    core: PhantomData<*const ()>,
}

impl Serving {
    /// The address it is bound to, with the port it got.
    pub fn local_addr(&self) -> SocketAddrV4 {
        self.address
    }

    /// Lets at most `most` connections exist at a time, of those that come from now on; requests beyond are dropped, and
    /// their peers ask again.
    pub fn set_max_connections(&self, most: usize) {
        with_stack(|stack| stack.limit(self.address.port(), None, Some(most)));
    }

    /// Parks the calling thread for ever: the service does not need it.
    pub fn for_ever(&self) -> ! {
        loop {
            toro_sched::park();
        }
    }

    /// Serves until `end` is there, and then [ends](Self::end): the program of a server's main thread.
    pub fn until(self, end: impl Future<Output = ()>) {
        toro_sched::block_on(end);
        self.end(GRACE);
    }

    /// Ends in order: takes no more connections, has the service [end](Service::ending) those that there are, and waits until
    /// their peers have everything, for `patience` at most. What is left then is reset.
    pub fn end(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let port = self.address.port();
        let others = self.on_the_others("retire", move || retire(port, deadline));
        retire(port, deadline);
        for other in others {
            // Its core has a thread for it, or could not have one: then the connections there are reset.
            let _ = other.join();
        }
    }

    /// Starts `f` on each other core that serves it.
    fn on_the_others(
        &self,
        name: &str,
        f: impl Fn() + Clone + Send + 'static,
    ) -> Vec<JoinHandle<()>> {
        let this = toro_sched::current().core();
        let others = (0..toro_sched::cores()).filter(|&core| self.is_everywhere && core != this);
        let start = |core| {
            toro_sched::Builder::new()
                .name(name)
                .spawn_on(core, f.clone())
        };
        others.filter_map(|core| start(core).ok()).collect()
    }
}

/// Ends the service of `port` on this core, at most until `deadline`.
fn retire(port: u16, deadline: Instant) {
    with_stack(|stack| stack.retire(Instant::now(), port));
    while with_stack(|stack| stack.is_in_use(port)) == Some(true) && Instant::now() < deadline {
        toro_sched::sleep(LOOK);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let port = self.address.port();
        let withdraw = move || {
            with_stack(|stack| stack.withdraw(Instant::now(), port));
        };
        withdraw();
        self.on_the_others("withdraw", withdraw);
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

/// Calls `f` with the stack of a core that stands still: for a debugger. `f` takes no memory and changes nothing.
///
/// # Errors
/// Fails if the core has no network, or was stopped in the middle of its stack's work.
pub fn look(stopped: &StoppedCore, f: impl FnOnce(&Stack)) -> Result<(), LookError> {
    STACK.look(stopped, f)
}

/// What the stack of this core has done and holds; all zero without a network.
pub fn stats() -> Stats {
    with_stack(|stack| stack.stats()).unwrap_or_default()
}
