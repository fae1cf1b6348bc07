//! What a processor offers: RDSEED, RDRAND, and the jitter of its counter.

use toro_arch::{cpu, tsc};

use crate::generator::{Generator, SEED};

/// How good a seed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// It comes from jitter alone and can be guessed.
    Weak,
    /// It holds at least 256 bits from a source that is made for this.
    Strong,
}

/// A generator from all that the processor offers, and how good it is.
pub fn gather() -> (Generator, Quality) {
    from_words(|| cpu::rdseed().or_else(cpu::rdrand), jitter)
}

/// A word from many readings of the counter, each taken after work that takes a varying time.
fn jitter() -> u64 {
    (0..64).fold(tsc::read(), |mixed, _| {
        cpu::relax();
        (mixed.rotate_left(23) ^ tsc::read()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}

/// Takes words from a source that may fail, and jitter in any case: a broken source then still leaves that.
fn from_words(
    mut source: impl FnMut() -> Option<u64>,
    mut jitter: impl FnMut() -> u64,
) -> (Generator, Quality) {
    let mut seed = [0; SEED];
    let mut quality = Quality::Strong;
    let mut last = None;
    for part in seed.chunks_exact_mut(8) {
        let word = source();
        // A broken RDRAND repeats itself: some processors answer all ones after a suspend.
        if word.is_none() || word == last {
            quality = Quality::Weak;
        }
        last = word;
        part.copy_from_slice(&word.unwrap_or(0).to_le_bytes());
    }
    let mut generator = Generator::new(seed);
    for _ in 0..4 {
        generator.stir(&jitter().to_le_bytes());
    }
    (generator, quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: [Option<u64>; 4], expected: Quality) {
        let mut words = words.into_iter();
        let (_, quality) = from_words(|| words.next().flatten(), || 1);
        assert_eq!(quality, expected);
    }

    #[test]
    fn four_different_words_make_a_strong_seed() {
        check([Some(1), Some(2), Some(3), Some(4)], Quality::Strong);
        check([Some(1), Some(2), None, Some(4)], Quality::Weak);
        check([None; 4], Quality::Weak);
    }

    #[test]
    fn a_processor_that_repeats_itself_is_not_trusted() {
        check([Some(u64::MAX); 4], Quality::Weak);
        check([Some(0), Some(1), Some(1), Some(2)], Quality::Weak);
    }

    #[test]
    fn jitter_counts_even_beside_a_strong_source() {
        let of = |jitter| from_words(|| Some(7), || jitter).0.u64();
        assert_ne!(of(1), of(2));
    }
}
