//! The folders that the host shares with a core.

use alloc::boxed::Box;
use core::time::Duration;

use log::{error, info, warn};
use toro_dev::fuse::FuseDevice as _;
use toro_virtio_fs::{Config, VirtioFs};

use crate::drivers::Found;
use crate::environment;

/// Starts a shared folder for the core that owns it. Its server is first asked for something when it is mounted.
pub(crate) fn start(found: Found) {
    let Found { name, transport } = found;
    let device = match VirtioFs::probe(transport, Config::default()) {
        Ok(device) => device,
        Err(reason) => return error!("{name}: the folder cannot be used: {reason}"),
    };
    info!("{name}: the folder `{}`", device.info().tag);
    if let Err(reason) = toro_fuse::add(name, Box::new(device), patience()) {
        error!("{name}: {reason}");
    }
}

/// How long the host may take for an answer: what `patience=` says, in seconds.
fn patience() -> Duration {
    let Some(text) = environment::value("patience") else {
        return toro_fuse::PATIENCE;
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    seconds.map_or_else(
        || {
            warn!("patience={text}: write a number of seconds, at least 1");
            toro_fuse::PATIENCE
        },
        Duration::from_secs,
    )
}
