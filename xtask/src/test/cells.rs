//! Special machines: interrupt lines, short queues, devices without their extras, devices on other cores.

use std::time::Duration;

use super::Depth;
use super::guest::Setting;
use crate::qemu::Machine;
use crate::run::Wish;

/// What is special about a machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// How reports call it.
    pub(super) name: &'static str,
    pub(super) cores: Option<u32>,
    append: &'static str,
    /// Properties of devices.
    pub(super) globals: &'static [&'static str],
    /// Words for the image, behind those of its manifest.
    args: &'static str,
    /// Names of a shared folder may be believed for a while.
    remembers: bool,
    /// A case, and the boot before the first, may take so long on a busy machine.
    pub(super) patience: Duration,
}

impl Cell {
    /// Nothing.
    pub(super) const PLAIN: Self = Self {
        name: "",
        cores: None,
        append: "",
        globals: &[],
        args: "",
        remembers: false,
        patience: Duration::from_secs(240),
    };

    /// Makes the machine special.
    pub(super) fn change(&self, wish: &mut Wish) {
        wish.cores = self.cores.unwrap_or(wish.cores);
        wish.append = format!("{} {}", self.append, wish.append).trim().to_owned();
        let globals = self.globals.iter().map(|global| (*global).to_owned());
        wish.globals.extend(globals);
        wish.append = format!("{} {}", wish.append, self.args).trim().to_owned();
        wish.remembers = self.remembers;
    }
}

/// No messages: devices share lines.
pub(super) const LINES: Cell = Cell {
    name: "interrupt lines",
    cores: Some(2),
    globals: &[
        "virtio-blk-pci.vectors=0",
        "virtio-net-pci.vectors=0",
        "virtio-rng-pci.vectors=0",
        "virtio-serial-pci.vectors=0",
        "vhost-user-vsock-pci.vectors=0",
    ],
    ..Cell::PLAIN
};

/// A queue of each disk for each of two cores, of four, for as many as the disk has, and for the owner alone where interrupts are a line.
const QUEUES_OF_2: Cell = Cell {
    name: "disks of 2 cores",
    cores: Some(2),
    args: "-- queues=2",
    ..Cell::PLAIN
};
const QUEUES_OF_4: Cell = Cell {
    name: "disks of 4 cores",
    cores: Some(4),
    args: "-- queues=4",
    ..Cell::PLAIN
};
const FEWER_QUEUES: Cell = Cell {
    name: "fewer queues than cores",
    globals: &[
        "virtio-blk-device.num-queues=3",
        "virtio-blk-device.queue-size=4",
    ],
    args: "-- queues=3",
    ..QUEUES_OF_4
};
const UNUSED_QUEUES: Cell = Cell {
    name: "queues without messages",
    globals: &["virtio-blk-device.num-queues=2"],
    args: "-- queues=1",
    ..QUEUES_OF_2
};

/// Queues of four, and none of what makes them fast.
const SHORT: Cell = Cell {
    name: "short plain queues",
    globals: &[
        "virtio-blk-device.queue-size=4",
        "virtio-blk-device.event_idx=off",
        "virtio-blk-device.indirect_desc=off",
        "virtio-rng-device.event_idx=off",
        "virtio-serial-device.event_idx=off",
    ],
    ..Cell::PLAIN
};

/// Every device on a core of its own.
const SPREAD: Cell = Cell {
    name: "devices on four cores",
    cores: Some(4),
    append: "dedicate=blk0:3,blk1:1,blk2:2,rng0:1,console0:2",
    ..Cell::PLAIN
};

/// The sockets on a core of their own, and 16 MiB in one go.
const SOCKETS: Cell = Cell {
    name: "sockets on core 2 and 16 MiB",
    cores: Some(4),
    append: "dedicate=vsock0:2",
    args: "-- mib=16",
    ..Cell::PLAIN
};

/// A gibibyte in one go.
const GIBIBYTE: Cell = Cell {
    name: "1 GiB",
    args: "-- mib=1024",
    patience: Duration::from_secs(3600),
    ..Cell::PLAIN
};

/// The same, on more cores.
const GIBIBYTE_ON_2: Cell = Cell {
    name: "1 GiB and 2 cores",
    cores: Some(2),
    ..GIBIBYTE
};
const GIBIBYTE_ON_4: Cell = Cell {
    name: "1 GiB and 4 cores",
    cores: Some(4),
    ..GIBIBYTE
};

/// The kinds of machines that differ in how they reach devices.
const KINDS: &[Machine] = &[Machine::Pc, Machine::Q35, Machine::Microvm];

/// A second core, and devices as usual.
pub(super) const TWO_CORES: Cell = Cell {
    name: "2 cores",
    cores: Some(2),
    ..Cell::PLAIN
};

/// Four cores, and devices as usual.
const FOUR_CORES: Cell = Cell {
    name: "4 cores",
    cores: Some(4),
    ..Cell::PLAIN
};

/// The folder belongs to the second core, and its names are believed for a second.
const REMEMBERED: Cell = Cell {
    name: "remembered names on another core",
    cores: Some(2),
    append: "dedicate=fs0:1",
    remembers: true,
    ..Cell::PLAIN
};

/// A folder behind queues of four, without what makes them fast, and without messages.
const NARROW: Cell = Cell {
    name: "a narrow way to the folder",
    globals: &[
        "vhost-user-fs-device.queue-size=4",
        "vhost-user-fs-device.event_idx=off",
        "vhost-user-fs-device.indirect_desc=off",
        "vhost-user-fs-pci.vectors=0",
    ],
    ..Cell::PLAIN
};

/// As many operations on files as anyone has asked for.
const MILLION: Cell = Cell {
    name: "a million operations",
    args: "-- operations=1000000",
    patience: Duration::from_secs(14_400),
    ..Cell::PLAIN
};

/// Cards without offloads.
pub(super) const NO_OFFLOADS: Cell = Cell {
    name: "no offloads",
    globals: &[
        "virtio-net-device.csum=off",
        "virtio-net-device.guest_csum=off",
        "virtio-net-device.mrg_rxbuf=off",
        "virtio-net-device.event_idx=off",
    ],
    ..Cell::PLAIN
};

/// Cores look for work before they halt.
const POLLING: Cell = Cell {
    name: "2 cores that look before they halt",
    cores: Some(2),
    append: "idle=poll",
    ..Cell::PLAIN
};

/// The special machines for that image.
pub(super) fn of(image: &str, depth: Depth) -> Vec<Setting> {
    let cells: &[(Cell, &[Machine])] = match depth {
        _ if image == "test-share" => share_cells(depth),
        Depth::Deep if image == "test-files" => &[(MILLION, &[Machine::Q35])],
        _ if image == "test-torture" => &[(POLLING, &[Machine::Q35])],
        Depth::Quick | Depth::Normal if image == "test-vsock" => &[(SOCKETS, &[Machine::Q35])],
        Depth::Deep if image == "test-vsock" => &[
            (LINES, &[Machine::Pc]),
            (SOCKETS, KINDS),
            (GIBIBYTE, KINDS),
            (GIBIBYTE_ON_2, KINDS),
            (GIBIBYTE_ON_4, KINDS),
        ],
        Depth::Deep if image == "test-net" => &[
            (GIBIBYTE, KINDS),
            (GIBIBYTE_ON_2, KINDS),
            (GIBIBYTE_ON_4, KINDS),
        ],
        _ if !["test-console", "test-devices"].contains(&image) => &[],
        Depth::Quick => &[(LINES, &[Machine::Pc])],
        Depth::Normal if image == "test-devices" => &[
            (LINES, &[Machine::Pc]),
            (SHORT, &[Machine::Q35]),
            (SPREAD, &[Machine::Microvm]),
            (QUEUES_OF_2, &[Machine::Pc]),
            (FEWER_QUEUES, &[Machine::Q35]),
        ],
        Depth::Normal => &[
            (LINES, &[Machine::Pc]),
            (SHORT, &[Machine::Q35]),
            (SPREAD, &[Machine::Microvm]),
        ],
        Depth::Deep if image == "test-devices" => &[
            (LINES, &[Machine::Pc, Machine::Q35]),
            (TWO_CORES, &[Machine::Microvm]),
            (FOUR_CORES, &[Machine::Microvm]),
            (SHORT, KINDS),
            (SPREAD, KINDS),
            (QUEUES_OF_2, &[Machine::Pc, Machine::Q35]),
            (QUEUES_OF_4, &[Machine::Pc, Machine::Q35]),
            (FEWER_QUEUES, &[Machine::Pc, Machine::Q35]),
            (UNUSED_QUEUES, &[Machine::Microvm]),
        ],
        Depth::Deep => &[
            (LINES, &[Machine::Pc, Machine::Q35]),
            (TWO_CORES, KINDS),
            (FOUR_CORES, KINDS),
            (SHORT, KINDS),
            (SPREAD, KINDS),
        ],
    };
    let settings = |(cell, machines): &(Cell, &'static [Machine])| {
        let cell = *cell;
        machines.iter().map(move |&machine| Setting {
            machine,
            cores: None,
            cell,
        })
    };
    cells.iter().flat_map(settings).collect()
}

/// The special machines of the image that uses a folder of the host.
fn share_cells(depth: Depth) -> &'static [(Cell, &'static [Machine])] {
    match depth {
        Depth::Quick => &[],
        Depth::Normal => &[(REMEMBERED, &[Machine::Microvm]), (NARROW, &[Machine::Q35])],
        Depth::Deep => &[
            (REMEMBERED, &[Machine::Pc, Machine::Q35, Machine::Microvm]),
            (NARROW, &[Machine::Pc, Machine::Q35]),
            (MILLION, &[Machine::Q35]),
        ],
    }
}
