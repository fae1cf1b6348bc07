//! A FAT volume that lies: mounted, repaired, read and changed.

#[path = "../../toro-fat/tests/fat/exercise/mod.rs"]
mod exercise;

use crate::sparse::SparseStore;

/// No volume has more sectors: enough for the smallest FAT16, and a mount looks at every cluster.
const MOST: u64 = 8192;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    if data.len() <= 64 << 10 {
        exercise::everything(SparseStore::new(data, named(data).min(MOST)));
    }
}

/// How many sectors of 512 bytes the volume has, as its boot sector says.
fn named(data: &[u8]) -> u64 {
    let number = |at: usize, len: usize| {
        let bytes = data.get(at..at + len).unwrap_or(&[]).iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    // BPB_TotSec16, or BPB_TotSec32 if that is 0; BPB_BytsPerSec.
    let sectors = match number(19, 2) {
        0 => number(32, 4),
        sectors => sectors,
    };
    sectors * number(11, 2) / 512
}
