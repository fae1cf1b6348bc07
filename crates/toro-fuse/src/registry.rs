//! The shared folders of each core.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use toro_dev::fuse::FuseDevice;
use toro_dev::owner::DeviceName;
use toro_sched::{Builder, SpawnError};
use toro_sync::PerCore;

use crate::link::Link;

/// The shared folders that the core owns.
static SHARES: PerCore<RefCell<Vec<Rc<Link>>>> = PerCore::new();

/// Gives the running core a shared folder, with a thread that works for it. A server that takes longer than `patience` does not answer.
///
/// # Errors
/// Fails if there is no memory for the thread.
pub fn add(
    name: DeviceName,
    device: Box<dyn FuseDevice>,
    patience: Duration,
) -> Result<(), SpawnError> {
    let link = Rc::new(Link::new(name, device, patience));
    let worker = link.clone();
    Builder::new()
        .name(alloc::format!("{name}"))
        .spawn(move || worker.work())?;
    if !SHARES.is_init() {
        SHARES.init(RefCell::new(Vec::new()));
    }
    SHARES.with(|shares| shares.borrow_mut().push(link));
    Ok(())
}

/// The shared folder of the running core that is called `name`, as in `fs0`; `None` if another core owns it, or nobody.
pub fn open(name: &str) -> Option<Rc<Link>> {
    let name = DeviceName::parse(name)?;
    let find = |shares: &RefCell<Vec<Rc<Link>>>| {
        let shares = shares.borrow();
        shares.iter().find(|link| link.name() == name).cloned()
    };
    SHARES.try_with(find).flatten()
}
