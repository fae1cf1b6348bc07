//! Disks and mounts: how often, how much, how long, and what failed.

use alloc::string::String;
use alloc::vec::Vec;

use toro_dev::Tally;
use toro_metrics::{Kind, Text};

use super::seconds;

/// Tallies by the name of the operation.
pub(super) type Operations = Vec<(&'static str, Tally)>;

/// The families of one kind of storage.
pub(super) struct Families {
    /// The label that tells one from another.
    label: &'static str,
    operations: (&'static str, &'static str),
    bytes: (&'static str, &'static str),
    seconds: (&'static str, &'static str),
    errors: (&'static str, &'static str),
}

pub(super) const DISKS: Families = Families {
    label: "disk",
    operations: (
        "toro_disk_operations_total",
        "Requests to disks that were carried out.",
    ),
    bytes: ("toro_disk_bytes_total", "Bytes that those have moved."),
    seconds: (
        "toro_disk_operation_seconds_total",
        "Time that requests to disks took, also those that failed.",
    ),
    errors: (
        "toro_disk_errors_total",
        "Requests to disks that failed or were given up.",
    ),
};

pub(super) const MOUNTS: Families = Families {
    label: "path",
    operations: (
        "toro_fs_operations_total",
        "Reads, writes and syncs of files that were carried out.",
    ),
    bytes: ("toro_fs_bytes_total", "Bytes that those have moved."),
    seconds: (
        "toro_fs_operation_seconds_total",
        "Time that reads, writes and syncs of files took, also those that failed.",
    ),
    errors: (
        "toro_fs_errors_total",
        "Reads, writes and syncs of files that failed.",
    ),
};

/// The disks of this core.
#[cfg(feature = "blk")]
pub(super) fn disks() -> Vec<(String, Operations)> {
    let disks = toro_block::disks().into_iter();
    let of = |disk: toro_block::Disk| {
        let stats = disk.stats();
        let operations = [
            ("read", stats.read),
            ("write", stats.write),
            ("flush", stats.flush),
            ("other", stats.other),
        ];
        (alloc::format!("{}", disk.name()), operations.into())
    };
    disks.map(of).collect()
}

#[cfg(not(feature = "blk"))]
pub(super) fn disks() -> Vec<(String, Operations)> {
    Vec::new()
}

impl Families {
    /// Writes what the storage of each core has done: the core's number, and names with operations. Nothing if there is no storage.
    pub(super) fn write<'a>(
        &self,
        text: &mut Text,
        cores: impl Iterator<Item = (&'a String, &'a Vec<(String, Operations)>)> + Clone,
    ) {
        if cores.clone().all(|(_, all)| all.is_empty()) {
            return;
        }
        let mut family = |(name, help), wants: fn(&str) -> bool, value: fn(&Tally) -> String| {
            text.family(name, Kind::Counter, help);
            for (core, all) in cores.clone() {
                for (storage, operations) in all {
                    for (operation, tally) in operations.iter().filter(|(name, _)| wants(name)) {
                        let labels = [
                            (self.label, storage.as_str()),
                            ("core", core),
                            ("operation", operation),
                        ];
                        text.sample(&labels, value(tally));
                    }
                }
            }
        };
        let moves = |name: &str| matches!(name, "read" | "write");
        family(
            self.operations,
            |_| true,
            |tally| alloc::format!("{}", tally.done),
        );
        family(self.bytes, moves, |tally| alloc::format!("{}", tally.bytes));
        family(
            self.seconds,
            |_| true,
            |tally| seconds(u128::from(tally.nanos)),
        );
        family(
            self.errors,
            |_| true,
            |tally| alloc::format!("{}", tally.failed),
        );
    }
}
