//! The sockets of a core: a device that it owns, and a stack with a thread of its own.

use alloc::boxed::Box;

use log::{error, info, warn};
use toro_dev::socket::SocketDevice as _;
use toro_virtio_vsock::{self as virtio_vsock, VirtioVsock};
use toro_vsock::Config;

use crate::drivers::Found;

/// Starts a device and the stack of the core that owns it.
pub(crate) fn start(found: Found) {
    let Found { name, transport } = found;
    if toro_vsock::is_init() {
        let core = toro_arch::core_local::id();
        warn!(
            "{name}: core {core} has one already; dedicate it to another core (dedicate={name}:1)"
        );
        return;
    }
    let free = toro_mem::stats().free;
    let device = match VirtioVsock::probe(transport, device_config(free)) {
        Ok(device) => device,
        Err(reason) => return error!("{name}: the device cannot be used: {reason}"),
    };
    info!("{name}: context id {}", device.cid());
    // A quarter for connections: the rest is for the service and its threads.
    let config = Config::new(first_port()).within_memory(free / 4);
    toro_vsock::init(Box::new(device), config);
    let spawned = toro_sched::Builder::new()
        .name("vsock")
        .essential()
        .spawn(|| toro_vsock::run());
    if let Err(reason) = spawned {
        error!("{name}: {reason}");
    }
}

/// Another one at each boot: the host may remember connections of the last one.
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn first_port() -> u32 {
    toro_time::Instant::now().as_nanos() as u32
}

/// Packets for at most an eighth of the memory.
fn device_config(free: usize) -> virtio_vsock::Config {
    let config = virtio_vsock::Config::default();
    let packets = free / 8 / config.packet_len / 2;
    virtio_vsock::Config {
        packets: u16::try_from(packets)
            .unwrap_or(u16::MAX)
            .clamp(4, config.packets),
        ..config
    }
}
