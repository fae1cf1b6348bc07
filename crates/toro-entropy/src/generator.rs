//! [`Generator`]: a stretch of random bytes from a seed, and ways to mix more into it.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The bytes of a seed.
pub const SEED: usize = 32;

/// A ChaCha20 generator.
///
/// After each call of [`fill`](Self::fill) for more than a seed, and after each [`stir`](Self::stir), the key is replaced by output of the
/// old one: whoever learns the state later cannot compute what came before.
pub struct Generator {
    chacha: ChaCha20Rng,
}

impl Generator {
    /// A generator whose output follows from `seed` alone.
    pub fn new(seed: [u8; SEED]) -> Self {
        Self {
            chacha: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.draw(bytes);
        if bytes.len() > SEED {
            self.stir(&[]);
        }
    }

    /// Fills `bytes` by words: `fill_bytes` brings the formatting of a check with it, which takes 2 KiB of every image.
    fn draw(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let word = self.chacha.next_u64().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// The next word.
    pub fn u64(&mut self) -> u64 {
        self.chacha.next_u64()
    }

    /// Mixes `bytes` into the state. It never gets easier to guess, whatever they are.
    pub fn stir(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(SEED) {
            self.replace_key(part);
        }
        if bytes.is_empty() {
            self.replace_key(&[]);
        }
    }

    /// A generator for somebody else, whose output says nothing of this one's.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; SEED];
        self.draw(&mut seed);
        self.stir(&[]);
        Self::new(seed)
    }

    fn replace_key(&mut self, with: &[u8]) {
        let mut seed = [0; SEED];
        self.draw(&mut seed);
        for (byte, other) in seed.iter_mut().zip(with) {
            *byte ^= other;
        }
        self.chacha = ChaCha20Rng::from_seed(seed);
    }
}

/// Says nothing of the state.
impl core::fmt::Debug for Generator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Generator")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;

    use super::*;

    fn generator(seed: u8) -> Generator {
        Generator::new([seed; SEED])
    }

    #[test]
    fn output_is_that_of_chacha20() {
        // RFC 8439, A.1, test vector 1: key and nonce of zeroes, block 0.
        let mut bytes = [0; 32];
        generator(0).fill(&mut bytes);
        let expected = [
            0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
            0xbd, 0x28, 0xbd, 0xd2, 0x19, 0xb8, 0xa0, 0x8d, 0xed, 0x1a, 0xa8, 0x36, 0xef, 0xcc,
            0x8b, 0x77, 0x0d, 0xc7,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn every_bit_of_what_is_stirred_in_counts() {
        let mut seen = BTreeSet::new();
        for bit in 0..8 * 2 * SEED {
            let mut bytes = [0; 2 * SEED];
            bytes[bit / 8] |= 1 << (bit % 8);
            let mut stirred = generator(1);
            stirred.stir(&bytes);
            assert!(seen.insert(stirred.u64()), "bit {bit}");
        }
    }

    #[test]
    fn stirring_nothing_changes_the_future_all_the_same() {
        let (mut stirred, mut plain) = (generator(1), generator(1));
        stirred.stir(&[]);
        assert_ne!(stirred.u64(), plain.u64());
    }

    #[test]
    fn forks_differ_from_each_other_and_from_their_origin() {
        let mut origin = generator(7);
        let mut seen = BTreeSet::new();
        for _ in 0..100 {
            assert!(seen.insert(origin.fork().u64()));
        }
        assert!(seen.insert(origin.u64()));
    }

    #[test]
    fn no_value_of_a_byte_is_preferred() {
        let mut bytes = [0; 1 << 16];
        generator(3).fill(&mut bytes);
        let mut counts = [0u32; 256];
        bytes
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        // 256 are expected, with a deviation of 16; the seed is fixed.
        assert!(counts.iter().all(|count| (176..336).contains(count)));
    }
}
