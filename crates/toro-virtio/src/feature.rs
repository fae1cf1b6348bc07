//! Feature bits that concern every device (VIRTIO 1.3, 6).

/// A descriptor may point to a table of descriptors.
pub const INDIRECT_DESC: u64 = 1 << 28;
/// Each side names the index at which it wants to be told.
pub const EVENT_IDX: u64 = 1 << 29;
/// The device follows version 1 of the standard; without it we do not drive it.
pub const VERSION_1: u64 = 1 << 32;
/// The device sees memory as the platform lays it out. Ours is mapped one to one, so that changes nothing.
pub const ACCESS_PLATFORM: u64 = 1 << 33;
