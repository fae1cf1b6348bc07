//! Choosing the sequence number with which smoltcp begins.
//!
//! smoltcp draws initial sequence numbers from a PCG32 generator per interface, whose outputs give its state away
//! after a few connections, and has no call to set one. But the generator is seeded through the public
//! [`Config::random_seed`](smoltcp::iface::Config) and can be run backwards: [`seed_for`] finds a seed under which
//! the first socket of a fresh interface begins at the number we want. That gives RFC 6528 numbers, and lets the
//! handshake be ours (see [`half_open`](crate::half_open)).
//!
//! The limit: this leans on a detail of smoltcp 0.14. If another version draws otherwise, the tests of
//! [`birth`](crate::birth) fail, and at run time handshakes fail rather than connections go wrong.

/// Multiplier and increment of smoltcp's generator.
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;

/// The inverse of [`MULTIPLIER`] modulo 2^64, by Newton's iteration.
const INVERSE: u64 = {
    let mut inverse = MULTIPLIER;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};

/// The seed of an interface whose first socket begins at sequence number `isn`.
pub(crate) fn seed_for(isn: u32) -> u64 {
    // With the top three bits clear the generator shifts its state right by 29 and gives out the low 32 bits.
    let wanted = u64::from(isn) << 29;
    // The 29 bits below are free. An interface first draws a fragment identifier and draws again if it is 0, so
    // take a state before which there is none.
    for free in 0..u64::MAX {
        let before = previous(wanted | free);
        if fragment_id(before) != 0 {
            return previous(before);
        }
    }
    unreachable!("one state in 65,536 gives the identifier 0")
}

fn previous(state: u64) -> u64 {
    state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE)
}

fn fragment_id(state: u64) -> u16 {
    let output = crate::random::low_word(state >> (29 - (state >> 61)));
    u16::try_from((output ^ (output >> 16)) & 0xffff).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_multiplier() {
        assert_eq!(MULTIPLIER.wrapping_mul(INVERSE), 1);
    }

    #[test]
    fn the_generator_run_forward_from_the_seed_gives_the_number() {
        for isn in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xdead_beef] {
            let forward = |s: u64| s.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            let first = forward(seed_for(isn));
            assert_ne!(fragment_id(first), 0);
            let second = forward(first);
            assert_eq!(
                crate::random::low_word(second >> (29 - (second >> 61))),
                isn
            );
        }
    }
}
