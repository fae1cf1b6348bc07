//! The drivers: what was linked in, started on what the machine has, each device on the core that owns it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use log::{error, info, warn};
use toro_boot::BootInfo;
use toro_dev::owner::{self, Class, DeviceName, Owned};
use toro_sync::Once;
use toro_virtio::{DeviceType, Transport};

use crate::environment;
use crate::places::{self, Place};

/// Every device that a driver was linked in for or not, and the core that owns it.
static OWNERS: Once<Vec<Owned>> = Once::new();

/// A device that was found, on the core that owns it.
#[cfg_attr(
    not(any(
        feature = "console",
        feature = "random",
        feature = "blk",
        feature = "virtio-fs",
        feature = "net",
        feature = "vsock",
        feature = "balloon"
    )),
    expect(
        dead_code,
        reason = "an image may have devices for the debugger or for core files alone"
    )
)]
pub(crate) struct Found {
    pub(crate) name: DeviceName,
    pub(crate) transport: Box<dyn Transport>,
}

/// What starts the devices of a class.
struct Driver {
    class: Class,
    start: fn(Found),
    /// Runs on the boot core when all of the class were started.
    then: fn(),
    /// The appliance cannot do without one.
    is_needed: bool,
}

/// The table: who comes first is started first.
const DRIVERS: &[Driver] = &[
    #[cfg(feature = "console")]
    Driver {
        class: Class::Console,
        start: crate::consoles::start,
        then: || {},
        is_needed: false,
    },
    #[cfg(feature = "random")]
    Driver {
        class: Class::Entropy,
        start: crate::entropy::start,
        then: crate::entropy::check,
        is_needed: false,
    },
    #[cfg(feature = "blk")]
    Driver {
        class: Class::Block,
        start: crate::disks::start,
        then: || {},
        is_needed: true,
    },
    #[cfg(feature = "virtio-fs")]
    Driver {
        class: Class::FileSystem,
        start: crate::shares::start,
        then: || {},
        is_needed: true,
    },
    #[cfg(feature = "net")]
    Driver {
        class: Class::Net,
        start: crate::network::start,
        then: || {},
        is_needed: true,
    },
    #[cfg(feature = "balloon")]
    Driver {
        class: Class::Balloon,
        start: crate::balloon::start,
        then: || {},
        is_needed: false,
    },
    #[cfg(feature = "vsock")]
    Driver {
        class: Class::Socket,
        start: crate::sockets::start,
        then: || {},
        is_needed: true,
    },
];

/// Finds the devices, gives each to a core, and starts those that have a driver.
pub(crate) fn start(info: &BootInfo) {
    let found: Vec<(Class, Place)> = places::find(info)
        .into_iter()
        .filter_map(|(device_type, place)| Some((class(device_type)?, place)))
        .collect();
    let classes: Vec<Class> = found.iter().map(|(class, _)| *class).collect();
    let dedicate = environment::value("dedicate").unwrap_or("");
    let (devices, wrong) = owner::assign(&classes, toro_sched::cores(), dedicate);
    wrong.iter().for_each(|part| error!("{part}"));
    let devices = OWNERS.call_once(|| devices);
    #[cfg(any(feature = "gdb", feature = "core-file"))]
    crate::spare::start(info, &|wanted| {
        let mut places = devices.iter().zip(&found);
        let named = places.find(|(device, _)| device.name == wanted);
        named.map(|(_, (_, place))| *place)
    });
    for driver in DRIVERS {
        let mine = |name: DeviceName| name.class == driver.class && !is_spare(name);
        let mut count = 0;
        let places = devices.iter().zip(&found);
        for (device, (_, place)) in places.filter(|(device, _)| mine(device.name)) {
            on_its_core(*device, *place, driver.start);
            count += 1;
        }
        (driver.then)();
        if count == 0 && driver.is_needed {
            warn!(
                "{}: this machine has no such virtio device",
                driver.class.prefix()
            );
        }
    }
}

/// Whether the device is one of those that nobody else sees.
fn is_spare(name: DeviceName) -> bool {
    #[cfg(any(feature = "gdb", feature = "core-file"))]
    let is_spare = crate::spare::is_taken(name);
    #[cfg(not(any(feature = "gdb", feature = "core-file")))]
    let is_spare = {
        let _ = name;
        false
    };
    is_spare
}

/// The devices of this machine, and who owns them.
pub fn devices() -> &'static [Owned] {
    OWNERS.get().map_or(&[], Vec::as_slice)
}

/// The core that owns the device called `name`, as in `blk0`.
pub fn owner_of(name: &str) -> Option<usize> {
    let name = DeviceName::parse(name)?;
    let device = devices().iter().find(|device| device.name == name)?;
    Some(device.core)
}

/// Starting a device takes more than threads usually have: a network stack is made on it, in several steps.
pub(crate) const STACK: usize = 64 << 10;

/// Opens a device on the core that owns it and has it started there; returns when that is done.
fn on_its_core(device: Owned, place: Place, start: fn(Found)) {
    let open = move || {
        if let Some(transport) = places::open(place) {
            start(Found {
                name: device.name,
                transport,
            });
        }
    };
    if device.core == toro_arch::core_local::id() {
        return open();
    }
    info!("{}: dedicated to core {}", device.name, device.core);
    let opened = toro_sched::Builder::new()
        .name("driver")
        .stack_size(STACK)
        .spawn_on(device.core, open);
    let opened = opened.map(toro_sched::JoinHandle::join);
    if !matches!(opened, Ok(Ok(()))) {
        error!("{}: core {} could not start it", device.name, device.core);
    }
}

fn class(device_type: DeviceType) -> Option<Class> {
    match device_type {
        DeviceType::NET => Some(Class::Net),
        DeviceType::BLOCK => Some(Class::Block),
        DeviceType::CONSOLE => Some(Class::Console),
        DeviceType::ENTROPY => Some(Class::Entropy),
        DeviceType::FILE_SYSTEM => Some(Class::FileSystem),
        DeviceType::SOCKET => Some(Class::Socket),
        DeviceType::BALLOON => Some(Class::Balloon),
        _ => None,
    }
}
