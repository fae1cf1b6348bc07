//! [`Console`]: a device and who waits for its ports; the consoles of each core.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::Waker;

use toro_dev::console::ConsoleDevice;
use toro_dev::owner::DeviceName;
use toro_sched::{Builder, SpawnError, Thread, park, yield_now};
use toro_sync::PerCore;

/// The consoles that the core owns.
static CONSOLES: PerCore<RefCell<Vec<Console>>> = PerCore::new();

/// A handle to a console of the running core.
#[derive(Clone)]
pub(crate) struct Console(Rc<Shared>);

struct Shared {
    /// Borrowed for single steps, never while a waker runs.
    state: RefCell<State>,
    /// The console's thread, once there is one.
    thread: RefCell<Option<Thread>>,
}

pub(crate) struct State {
    pub(crate) device: Box<dyn ConsoleDevice>,
    /// Ports that a handle has.
    pub(crate) taken: Vec<bool>,
    /// Whoever waits for a port of this console. There are few: all are woken by any news.
    waiting: Vec<Waker>,
}

impl State {
    /// Has `waker` woken when there is news.
    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

impl Console {
    pub(crate) fn new(device: Box<dyn ConsoleDevice>) -> Self {
        let taken = alloc::vec![false; device.ports()];
        Self(Rc::new(Shared {
            state: RefCell::new(State {
                device,
                taken,
                waiting: Vec::new(),
            }),
            thread: RefCell::new(None),
        }))
    }

    /// The consoles of the running core.
    pub(crate) fn all() -> Vec<Self> {
        CONSOLES
            .try_with(|consoles| consoles.borrow().clone())
            .unwrap_or_default()
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.state.borrow_mut())
    }

    /// Has the console's thread take a turn: there is something for the device.
    pub(crate) fn poke(&self) {
        if let Some(thread) = &*self.0.thread.borrow() {
            thread.unpark();
        }
    }

    /// Takes a turn, and wakes who waits if there is news. Returns `false` if there is more already.
    pub(crate) fn turn(&self, waker: &Waker) -> bool {
        let (waiting, is_idle) = self.with(|state| {
            let waiting = match state.device.turn() {
                true => core::mem::take(&mut state.waiting),
                false => Vec::new(),
            };
            (waiting, state.device.arm(waker))
        });
        waiting.into_iter().for_each(Waker::wake);
        is_idle
    }

    /// Takes the console's turns, for ever: the body of its thread.
    fn work(&self) -> ! {
        let thread = toro_sched::current();
        let waker = thread.waker();
        *self.0.thread.borrow_mut() = Some(thread);
        loop {
            match self.turn(&waker) {
                true => park(),
                false => yield_now(),
            }
        }
    }
}

/// Gives the running core a console, with a thread that works for it.
///
/// # Errors
/// Fails if there is no memory for the thread.
pub fn add(name: DeviceName, device: Box<dyn ConsoleDevice>) -> Result<(), SpawnError> {
    let console = Console::new(device);
    let worker = console.clone();
    Builder::new()
        .name(format!("{name}"))
        .spawn(move || worker.work())?;
    if !CONSOLES.is_init() {
        CONSOLES.init(RefCell::new(Vec::new()));
    }
    CONSOLES.with(|consoles| consoles.borrow_mut().push(console));
    Ok(())
}
