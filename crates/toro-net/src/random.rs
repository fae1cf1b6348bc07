//! Everything in the stack that a peer must not foresee: table positions, sequence numbers, ports.
//!
//! One keyed function, SipHash-1-3, used as a pseudo-random function with a key of its own per purpose; for the places
//! in the table, which are never shown, a cheaper one. All keys come from the seed in [`Config`](crate::Config).

use crate::packet::Tuple;

/// A key of 128 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(u64, u64);

impl Key {
    /// Derives the key for `purpose` from the seed.
    pub(crate) fn derive(seed: [u64; 2], purpose: u64) -> Self {
        let root = Self(seed[0], seed[1]);
        Self(root.hash(purpose, 1), root.hash(purpose, 2))
    }

    /// SipHash-1-3 of the two words.
    pub(crate) fn hash(self, a: u64, b: u64) -> u64 {
        let mut state = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        for word in [a, b, 16 << 56] {
            state[3] ^= word;
            round(&mut state);
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        round(&mut state);
        round(&mut state);
        round(&mut state);
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }

    /// Place of a connection in a table: three widening multiplications of what is only known with the key. A fifth of
    /// the cost of [`hash`](Self::hash), and enough where nobody gets to see the result.
    #[inline]
    pub(crate) fn place(self, tuple: &Tuple) -> u64 {
        let addresses = u64::from(tuple.local.to_bits()) << 32 | u64::from(tuple.remote.to_bits());
        let ports = u64::from(tuple.local_port) << 16 | u64::from(tuple.remote_port);
        let mixed = folded(addresses ^ self.0, 0x9e37_79b9_7f4a_7c15);
        // The last step spreads what a small key would leave close together.
        folded(folded(mixed ^ ports, self.1 | 1), 0xd6e8_feb8_6659_fd93)
    }

    /// Hash of a connection's addresses and ports.
    pub(crate) fn hash_tuple(self, tuple: &Tuple) -> u64 {
        let addresses = u64::from(tuple.local.to_bits()) << 32 | u64::from(tuple.remote.to_bits());
        let ports = u64::from(tuple.local_port) << 16 | u64::from(tuple.remote_port);
        self.hash(addresses, ports)
    }
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// The secrets of one stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secrets {
    /// Orders the connection table.
    pub(crate) table: Key,
    /// Sequence numbers (RFC 6528).
    pub(crate) isn: Key,
    /// Ephemeral ports (RFC 6056).
    pub(crate) port: Key,
}

impl Secrets {
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        Self {
            table: Key::derive(seed, 1),
            isn: Key::derive(seed, 2),
            port: Key::derive(seed, 3),
        }
    }

    /// What the clock is ahead in the timestamps for `tuple`: for each another, so that nobody learns how long the machine is
    /// up, and the same whenever it comes again, so that its time goes on (RFC 7323, 5.4).
    pub(crate) fn clock_offset(&self, tuple: &Tuple) -> u32 {
        // No sequence number is ever made of a tuple that is turned: its remote end would be us.
        low_word(self.isn.hash_tuple(&tuple.turned()))
    }

    /// Initial sequence number for `tuple` at `micros` since boot: RFC 6528, 3: a clock of 4 µs plus a keyed hash.
    pub(crate) fn initial_sequence(&self, tuple: &Tuple, micros: u64) -> u32 {
        let clock = low_word(micros >> 2);
        clock.wrapping_add(low_word(self.isn.hash_tuple(tuple)))
    }
}

/// Both halves of the product in one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are what is asked for"
)]
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The low 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
pub(crate) fn low_word(value: u64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const TUPLE: Tuple = Tuple {
        local: Ipv4Addr::new(10, 0, 2, 15),
        remote: Ipv4Addr::new(10, 0, 2, 2),
        local_port: 80,
        remote_port: 40000,
    };

    #[test]
    fn agrees_with_the_siphash_1_3_of_std() {
        use core::hash::Hasher;
        // The default hasher of std is SipHash-1-3 under a key of zeros.
        let mut theirs = std::hash::DefaultHasher::new();
        theirs.write_u64(0x0123_4567_89ab_cdef);
        theirs.write_u64(42);
        assert_eq!(Key(0, 0).hash(0x0123_4567_89ab_cdef, 42), theirs.finish());
    }

    #[test]
    fn another_seed_gives_other_sequence_numbers() {
        let one = Secrets::new([1, 2]).initial_sequence(&TUPLE, 0);
        let two = Secrets::new([1, 3]).initial_sequence(&TUPLE, 0);
        assert_ne!(one, two);
    }

    #[test]
    fn sequence_numbers_of_a_tuple_advance_with_the_clock() {
        let secrets = Secrets::new([7, 9]);
        let start = secrets.initial_sequence(&TUPLE, 1000);
        assert_eq!(
            secrets.initial_sequence(&TUPLE, 5000).wrapping_sub(start),
            1000
        );
    }

    /// Puts 4096 tuples into as many places by the low bits: as many stay empty as by chance, a share of 1/e.
    fn check_spread(tuple: impl Fn(u16) -> Tuple) {
        for seed in 0..20 {
            let key = Secrets::new([seed, 1]).table;
            let mut taken = std::vec![false; 4096];
            for number in 0..4096 {
                let place = key.place(&tuple(number)) % 4096;
                taken[usize::try_from(place).expect("below 4096")] = true;
            }
            let empty = taken.iter().filter(|taken| !**taken).count();
            assert!(empty < 1650, "{empty} under seed {seed}");
        }
    }

    #[test]
    fn places_of_similar_tuples_are_spread() {
        check_spread(|number| Tuple {
            remote_port: number,
            ..TUPLE
        });
        check_spread(|number| Tuple {
            remote_port: 40_000 + 4 * (number % 4096),
            ..TUPLE
        });
        check_spread(|number| Tuple {
            remote: Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)),
            ..TUPLE
        });
        check_spread(|number| Tuple {
            remote: Ipv4Addr::from_bits(0x0a00_0000 + (u32::from(number) << 16)),
            ..TUPLE
        });
    }
}
