//! Which core owns which device: [`assign`] spreads them, and `dedicate=net0:1,blk0:0` says otherwise.
//!
//! Devices are numbered by class in the order in which they are found: `net0`, `blk0`, `blk1`. Everything of a device lives on its owner: its
//! interrupts, its buffers and whoever works for it.

use alloc::vec::Vec;
use core::fmt;

/// What a device is to the rest of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A network card.
    Net,
    /// A disk.
    Block,
    /// A console with its ports.
    Console,
    /// A source of random bytes.
    Entropy,
    /// A folder that the host shares.
    FileSystem,
    /// Sockets to the host.
    Socket,
    /// What tells the host of free memory.
    Balloon,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 7] = [
        Self::Net,
        Self::Block,
        Self::Console,
        Self::Entropy,
        Self::FileSystem,
        Self::Socket,
        Self::Balloon,
    ];

    /// The first part of a device's name.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Block => "blk",
            Self::Console => "console",
            Self::Entropy => "rng",
            Self::FileSystem => "fs",
            Self::Socket => "vsock",
            Self::Balloon => "balloon",
        }
    }
}

/// A device by its class and number: `blk1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// Its class.
    pub class: Class,
    /// How many of the class were found before it.
    pub number: usize,
}

impl DeviceName {
    /// Reads a name such as `blk1`.
    pub fn parse(text: &str) -> Option<Self> {
        Class::ALL.into_iter().find_map(|class| {
            let digits = text.strip_prefix(class.prefix())?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|_| is_number)?;
            Some(Self { class, number })
        })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.class.prefix(), self.number)
    }
}

/// A device and the core that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The device.
    pub name: DeviceName,
    /// Its owner.
    pub core: usize,
}

/// A part of `dedicate=` that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedicateError<'a> {
    /// It does not read `net0:1`.
    Malformed(&'a str),
    /// There is no such device.
    NoSuchDevice(&'a str),
    /// There is no such core.
    NoSuchCore(&'a str),
}

impl fmt::Display for DedicateError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(
                f,
                "dedicate={part}: write a device and a core, as in net0:1"
            ),
            Self::NoSuchDevice(part) => write!(f, "dedicate={part}: there is no such device"),
            Self::NoSuchCore(part) => write!(f, "dedicate={part}: there is no such core"),
        }
    }
}

impl core::error::Error for DedicateError<'_> {}

/// Names the devices that were found, of these classes in this order, and gives each to one of `cores` cores.
///
/// Disks are spread one by one; all else belongs to core 0. `dedicate` has the last word; what is wrong in it is told beside.
pub fn assign<'a>(
    found: &[Class],
    cores: usize,
    dedicate: &'a str,
) -> (Vec<Owned>, Vec<DedicateError<'a>>) {
    let mut devices: Vec<Owned> = Vec::new();
    for &class in found {
        let number = devices.iter().filter(|d| d.name.class == class).count();
        let core = match class {
            Class::Block => number % cores.max(1),
            Class::Net
            | Class::Console
            | Class::Entropy
            | Class::FileSystem
            | Class::Socket
            | Class::Balloon => 0,
        };
        let name = DeviceName { class, number };
        devices.push(Owned { name, core });
    }
    let parts = dedicate.split(',').filter(|part| !part.is_empty());
    let wrong = parts.filter_map(|part| follow(&mut devices, cores, part).err());
    let wrong = wrong.collect();
    (devices, wrong)
}

/// Follows one part of `dedicate=`.
fn follow<'a>(devices: &mut [Owned], cores: usize, part: &'a str) -> Result<(), DedicateError<'a>> {
    let malformed = DedicateError::Malformed(part);
    let (name, core) = part.split_once(':').ok_or(malformed)?;
    let name = DeviceName::parse(name).ok_or(malformed)?;
    let core: usize = core.parse().map_err(|_| malformed)?;
    let device = devices.iter_mut().find(|device| device.name == name);
    let device = device.ok_or(DedicateError::NoSuchDevice(part))?;
    if core >= cores {
        return Err(DedicateError::NoSuchCore(part));
    }
    device.core = core;
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use super::*;

    const FOUND: [Class; 5] = [
        Class::Block,
        Class::Net,
        Class::Block,
        Class::Entropy,
        Class::Block,
    ];

    fn check(cores: usize, dedicate: &str, expected: &str, errors: &[DedicateError<'_>]) {
        let (devices, wrong) = assign(&FOUND, cores, dedicate);
        let shown: Vec<String> = devices
            .iter()
            .map(|device| alloc::format!("{}:{}", device.name, device.core))
            .collect();
        assert_eq!(shown.join(" "), expected, "{dedicate}");
        assert_eq!(wrong, errors, "{dedicate}");
    }

    #[test]
    fn disks_are_spread_and_the_rest_stays_with_the_boot_core() {
        check(1, "", "blk0:0 net0:0 blk1:0 rng0:0 blk2:0", &[]);
        check(2, "", "blk0:0 net0:0 blk1:1 rng0:0 blk2:0", &[]);
        check(4, "", "blk0:0 net0:0 blk1:1 rng0:0 blk2:2", &[]);
    }

    #[test]
    fn a_device_goes_where_it_is_dedicated() {
        let everywhere = "blk0:3 net0:1 blk1:1 rng0:0 blk2:0";
        check(4, "net0:1,blk0:3,blk2:0", everywhere, &[]);
        check(4, ",net0:1,,blk0:3,blk2:3,blk2:0,", everywhere, &[]);
    }

    #[test]
    fn what_cannot_be_followed_is_told_and_the_rest_is_followed() {
        let plain = "blk0:0 net0:1 blk1:1 rng0:0 blk2:0";
        check(
            2,
            "net1:0,net0:1,blk0:2",
            plain,
            &[
                DedicateError::NoSuchDevice("net1:0"),
                DedicateError::NoSuchCore("blk0:2"),
            ],
        );
        for part in [
            "net0", "net:1", "net0:", "net0:x", "disk0:1", ":1", "net+0:1", "0:0",
        ] {
            let errors = [DedicateError::Malformed(part)];
            check(1, part, "blk0:0 net0:0 blk1:0 rng0:0 blk2:0", &errors);
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["net0", "blk12", "console3", "rng1", "fs2", "vsock0"] {
            let parsed = DeviceName::parse(name).expect("a name");
            assert_eq!(parsed.to_string(), name);
        }
        assert_eq!(DeviceName::parse("blk99999999999999999999999"), None);
    }
}
