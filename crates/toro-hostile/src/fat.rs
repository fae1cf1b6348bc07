//! A FAT volume that lies: mounted, repaired, read and changed.

#[path = "../../toro-fat/tests/fat/exercise/mod.rs"]
mod exercise;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    if data.len() <= 64 << 10 {
        // The boot sector says how large the volume is; it must fit to be mounted.
        let mut bytes = data.to_vec();
        bytes.resize(3 << 20, 0);
        exercise::everything(bytes);
    }
}
