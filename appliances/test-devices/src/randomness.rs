//! Random numbers.

use alloc::collections::BTreeSet;
use alloc::vec;

use toro::devices::{self, Class};
use toro::random;

pub(crate) fn numbers_do_not_repeat() {
    let mut seen = BTreeSet::new();
    for _ in 0..2000 {
        assert!(seen.insert(random::u64()));
    }
}

pub(crate) fn long_stretches_have_no_preferred_byte() {
    let mut bytes = vec![0; 1 << 16];
    random::fill(&mut bytes);
    let mut counts = [0_u32; 256];
    for byte in &bytes {
        counts[usize::from(*byte)] += 1;
    }
    // 256 are expected, with a deviation of 16: eight deviations away is never.
    assert!(counts.iter().all(|count| (128..384).contains(count)));
}

pub(crate) fn the_virtio_source_was_found() {
    let sources = devices::all()
        .iter()
        .filter(|device| device.name.class == Class::Entropy);
    assert_eq!(sources.count(), 1);
}
