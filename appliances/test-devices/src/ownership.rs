//! Which core owns which device.

use toro::devices;

pub(crate) fn every_device_has_an_owner() {
    assert!(!devices::all().is_empty());
    for device in devices::all() {
        let name = alloc::format!("{}", device.name);
        assert_eq!(devices::owner_of(&name), Some(device.core));
    }
    assert_eq!(devices::owner_of("blk99"), None);
    assert_eq!(devices::owner_of("nonsense"), None);
}
