//! Copies of memory by whatever `memcpy` the program was linked with.

use alloc::vec;
use core::fmt;
use core::hint::black_box;

use crate::Meter;

/// The lengths that are copied.
const LENGTHS: [usize; 5] = [64, 256, 4 << 10, 64 << 10, 1 << 20];
/// So many bytes are copied of each length, at least.
const BYTES: u64 = 256 << 20;
/// And not more copies than this.
const MOST: u64 = 2_000_000;

/// Copies from one buffer to another, neither of which is new to the processor.
pub fn run(meter: &Meter) {
    for length in LENGTHS {
        let from = vec![1_u8; length];
        let mut to = vec![0_u8; length];
        let operations = (BYTES / length as u64).min(MOST);
        meter.measure(
            format_args!("memcpy of {}", Size(length)),
            operations,
            |count| {
                for _ in 0..count {
                    black_box(&mut to[..]).copy_from_slice(black_box(&from));
                }
            },
        );
    }
}

/// A number of bytes as a name shows it.
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} B"),
        }
    }
}
