//! The disks of a core.

use alloc::boxed::Box;

use log::{error, info};
use toro_dev::block::BlockDevice as _;
use toro_virtio_blk::{Config, VirtioBlk};

use crate::drivers::Found;

/// Starts a disk for the core that owns it.
pub(crate) fn start(found: Found) {
    let Found { name, transport } = found;
    let disk = match VirtioBlk::probe(transport, Config::default()) {
        Ok(disk) => disk,
        Err(reason) => return error!("{name}: the disk cannot be used: {reason}"),
    };
    let about = disk.info();
    let mode = if about.is_read_only {
        ", read-only"
    } else {
        ""
    };
    info!(
        "{name}: {} sectors, blocks of {} bytes{mode}",
        about.sectors, about.block_size
    );
    if let Err(reason) = toro_block::add(name, Box::new(disk)) {
        error!("{name}: {reason}");
    }
}
