//! What a hostile network does to a stack: a slice of what the fuzzer tries.

#![expect(
    clippy::cast_possible_truncation,
    reason = "test data wraps on purpose"
)]

#[path = "hostile/mod.rs"]
mod hostile;

/// Scripts by a seeded generator: xorshift.
fn scripts(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let len = draw() % 400;
        let mut script = Vec::new();
        while (script.len() as u64) < len {
            let short = draw() % 4 != 0;
            let byte = draw() as u8;
            // Steps are short for the most part, so that there are many.
            script.push(if short { byte & 0x3f } else { byte });
        }
        hostile::play(&script);
    }
}

#[test]
fn what_a_network_sends_does_no_harm() {
    scripts(0..300);
}

#[test]
#[ignore = "long: some 900,000 frames"]
fn what_a_network_sends_for_long_does_no_harm() {
    scripts(300..60_000);
}
