//! What the cores lend to a device of one of them: interrupts, or memory that is free ([`balloon`](crate::balloon)).
//!
//! A transport takes interrupt vectors of the core that opens it. So each other core first lends its own, the owner sets the device up with all
//! of them, and each further queue then goes to its core.

#[cfg(any(feature = "blk", feature = "multiqueue"))]
use toro_arch::core_local;
#[cfg(any(feature = "blk", feature = "multiqueue"))]
use toro_dev::owner::DeviceName;

use crate::drivers;
#[cfg(any(feature = "blk", feature = "multiqueue"))]
use crate::environment;

/// Whether the command line gives the device to one core: then no other has part in it.
#[cfg(any(feature = "blk", feature = "multiqueue"))]
pub(crate) fn is_dedicated(name: DeviceName) -> bool {
    let parts = environment::value("dedicate").unwrap_or("").split(',');
    let names = parts.filter_map(|part| DeviceName::parse(part.split_once(':')?.0));
    names.into_iter().any(|dedicated| dedicated == name)
}

/// The cores besides this one.
#[cfg(any(feature = "blk", feature = "multiqueue"))]
pub(crate) fn others() -> impl Iterator<Item = usize> {
    (0..toro_sched::cores()).filter(|&core| core != core_local::id())
}

/// Has `work` done on core `core`, and waits for it.
pub(crate) fn there<T: Send + 'static>(
    core: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let builder = toro_sched::Builder::new().name("driver");
    let builder = builder.stack_size(drivers::STACK);
    builder.spawn_on(core, work).ok()?.join().ok()
}
