//! The disks of each core.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use toro_dev::block::BlockDevice;
use toro_dev::owner::DeviceName;
use toro_sched::{Builder, SpawnError};
use toro_sync::PerCore;

use crate::disk::Disk;

/// The disks that the core owns or has a queue of.
static DISKS: PerCore<RefCell<Vec<Disk>>> = PerCore::new();

/// Gives the running core a disk, with a thread that works for it.
///
/// # Errors
/// Fails if there is no memory for the thread.
pub fn add(name: DeviceName, device: Box<dyn BlockDevice>) -> Result<(), SpawnError> {
    let disk = Disk::new(name, device);
    let worker = disk.clone();
    Builder::new()
        .name(alloc::format!("{name}"))
        .spawn(move || worker.work())?;
    if !DISKS.is_init() {
        DISKS.init(RefCell::new(Vec::new()));
    }
    DISKS.with(|disks| disks.borrow_mut().push(disk));
    Ok(())
}

/// The disks of the running core.
pub fn disks() -> Vec<Disk> {
    DISKS
        .try_with(|disks| disks.borrow().clone())
        .unwrap_or_default()
}

/// The disk of the running core that is called `name`, as in `blk0`; `None` if another core owns it and this one has no queue of it, or nobody.
pub fn open(name: &str) -> Option<Disk> {
    let name = DeviceName::parse(name)?;
    disks().into_iter().find(|disk| disk.name() == name)
}
