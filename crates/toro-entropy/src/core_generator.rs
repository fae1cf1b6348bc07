//! The generator of each core, and the root from which they are drawn.

use core::cell::RefCell;

use toro_sync::{PerCore, SpinLock};

use crate::generator::{Generator, SEED};
use crate::sources::{self, Quality};

/// What the cores' generators are drawn from. Locked when a core first asks, and when a device brings more.
static ROOT: SpinLock<Option<(Generator, Quality)>> = SpinLock::new(None);

/// The core's own generator. Borrowed for one call.
static GENERATOR: PerCore<RefCell<Generator>> = PerCore::new();

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    with(|generator| generator.fill(bytes));
}

/// A random word.
pub fn u64() -> u64 {
    with(Generator::u64)
}

/// Mixes `bytes` of a device's into the running core's generator and into the root.
pub fn stir(bytes: &[u8]) {
    with(|generator| generator.stir(bytes));
    with_root(|(generator, quality)| {
        generator.stir(bytes);
        if bytes.len() >= SEED {
            *quality = Quality::Strong;
        }
    });
}

/// How good the root is: [`Quality::Weak`] if neither the processor nor a device has given enough.
pub fn quality() -> Quality {
    with_root(|(_, quality)| *quality)
}

fn with<R>(f: impl FnOnce(&mut Generator) -> R) -> R {
    if !GENERATOR.is_init() {
        GENERATOR.init(RefCell::new(draw()));
    }
    GENERATOR.with(|generator| f(&mut generator.borrow_mut()))
}

/// A generator from the root, mixed with what this core's processor offers.
fn draw() -> Generator {
    let mut generator = with_root(|(generator, _)| generator.fork());
    let (mut own, _) = sources::gather();
    let mut seed = [0; SEED];
    own.fill(&mut seed);
    generator.stir(&seed);
    generator
}

fn with_root<R>(f: impl FnOnce(&mut (Generator, Quality)) -> R) -> R {
    f(ROOT.lock().get_or_insert_with(sources::gather))
}
