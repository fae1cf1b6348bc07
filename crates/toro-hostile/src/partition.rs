//! The first sectors of a disk, as a partition table.

use toro_cache::MemoryStore;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    let mut bytes = data.to_vec();
    bytes.resize(data.len().next_multiple_of(512), 0);
    let sectors = (bytes.len() / 512) as u64;
    for found in toro_partition::read(&MemoryStore::new(bytes)).unwrap_or_default() {
        assert!(found.start > 0 && found.sectors > 0);
        assert!(found.start + found.sectors <= sectors);
    }
}
