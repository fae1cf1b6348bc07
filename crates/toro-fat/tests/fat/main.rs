//! FAT volumes made by `mkfs.fat`: used, cut off from power, made to lie, and checked by `fsck.fat` and mtools.

mod disk;
mod exercise;
mod hostile;
mod operations;
mod power_cuts;
#[path = "../../../toro-cache/tests/recorder/mod.rs"]
mod recorder;
