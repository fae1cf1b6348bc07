//! The network of a core: a card that it owns, or a queue pair of one, and a stack with a thread of its own.

use alloc::boxed::Box;

use log::{error, info, warn};
use toro_dev::net::{Mac, NetDevice};
use toro_dev::owner::DeviceName;
use toro_net::{Address, Config, Seat};
use toro_virtio_net::{self as virtio_net, VirtioNet};

use crate::drivers::Found;
use crate::environment;

/// Starts a card and the stack of the core that owns it; with the unit `multiqueue` and several queue pairs, one on each core.
pub(crate) fn start(found: Found) {
    let Found { name, transport } = found;
    if toro_net::is_init() {
        warn!(
            "{name}: core {} has a card already; dedicate it to another core (dedicate={name}:1)",
            toro_arch::core_local::id()
        );
        return;
    }
    let config = card_config(toro_mem::stats().free);
    #[cfg(feature = "multiqueue")]
    let started = crate::pairs::start(name, transport, config);
    #[cfg(not(feature = "multiqueue"))]
    let started = VirtioNet::probe(transport, config).map(|card| run(name, card, None));
    if let Err(reason) = started {
        error!("{name}: the card cannot be used: {reason}");
    }
}

/// Runs a stack on `card`, or on one queue pair of it, on this core.
pub(crate) fn run(name: DeviceName, card: VirtioNet, seat: Option<Seat>) {
    info!(
        "{name}: card {}, mtu {}",
        Mac(card.info().mac),
        card.info().mtu
    );
    let mut config = Config::new([toro_entropy::u64(), toro_entropy::u64()]);
    config.address = address();
    config.hostname = environment::value("hostname").unwrap_or_default().into();
    config.dns = environment::value("dns").unwrap_or_default();
    config.hosts = environment::value("hosts").unwrap_or_default();
    #[cfg(feature = "timestamps")]
    config.offer_timestamps();
    // A quarter for connections: the rest is for the service and its threads.
    let card: Box<dyn NetDevice> = Box::new(card);
    #[cfg(feature = "pcap")]
    let card = crate::capture::tap(name, card);
    #[cfg(feature = "ipv6")]
    let (card, ipv6) = toro_net::Ipv6::before(card);
    #[cfg(feature = "large-windows")]
    config.offer_large_windows();
    toro_net::init(card, config.within_memory(toro_mem::stats().free / 4));
    #[cfg(feature = "ipv6")]
    toro_net::start_ipv6(ipv6, address6());
    if let Some(seat) = seat {
        toro_net::join(seat);
    }
    let spawned = toro_sched::Builder::new()
        .name("net")
        .essential()
        .spawn(|| toro_net::run());
    if let Err(reason) = spawned {
        error!("net: {reason}");
    }
}

fn address() -> Address {
    let Some(text) = environment::value("ip") else {
        return Address::Dhcp;
    };
    toro_net::parse_ip(text).unwrap_or_else(|reason| {
        error!("ip={text}: {reason}; asking a DHCP server instead (ip=dhcp or ip=10.0.2.15/24,gw=10.0.2.2)");
        Address::Dhcp
    })
}

#[cfg(feature = "ipv6")]
fn address6() -> toro_net::Address6 {
    let Some(text) = environment::value("ip6") else {
        return toro_net::Address6::Auto;
    };
    toro_net::parse_ip6(text).unwrap_or_else(|reason| {
        error!(
            "ip6={text}: {reason}; asking routers instead (ip6=auto or ip6=fd00::15/64,gw=fd00::1)"
        );
        toro_net::Address6::Auto
    })
}

/// Receive buffers for at most an eighth of the memory, and as much again for long frames.
fn card_config(free: usize) -> virtio_net::Config {
    const BUFFER: usize = 2048;
    let buffers = u16::try_from(free / 8 / BUFFER)
        .unwrap_or(u16::MAX)
        .clamp(16, 256);
    // Longer ones from 64 MiB on: a packet of 64 KiB comes in 9 of 8 KiB, or in 33 of 2 KiB.
    let each = free / 64 / usize::from(buffers);
    let rx_len = (each / BUFFER * BUFFER).clamp(BUFFER, 4 * BUFFER);
    const LONG: usize = 64 << 10;
    let long = u16::try_from(free / 8 / LONG).unwrap_or(u16::MAX).min(32);
    virtio_net::Config {
        rx_buffers: buffers,
        rx_len,
        long_frames: long,
        ..virtio_net::Config::default()
    }
}
