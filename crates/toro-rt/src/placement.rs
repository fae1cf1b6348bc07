//! Random placement: where in its memory the heap of a core begins, and how far below its top a thread's stack does.
//!
//! Whoever can make the image write where it should not has to guess addresses then. `nokaslr` on the command line puts everything
//! in its usual place.

use toro_arch::{cpu, tsc};
use toro_boot::{CommandLine, Ranges};

/// A core with less memory than this in one piece needs it whole.
const LEAST: u64 = 4 << 20;
/// The heap begins in this part of its longest piece, so that most of that stays in one piece.
const PART: u64 = 8;

/// A word that cannot be guessed where the processor has random numbers, and is hard to guess elsewhere; 0 if nothing is to be random.
pub(crate) fn seed(command_line: CommandLine<'_>) -> u64 {
    if command_line.words().any(|word| word == "nokaslr") {
        return 0;
    }
    let word = cpu::rdseed().or_else(cpu::rdrand).unwrap_or(0);
    // The generator of the stacks needs a bit that is set.
    (word ^ tsc::read()).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

/// The memory of a core, in the order in which its heap is to use it.
pub(crate) fn place(memory: &Ranges, seed: u64) -> Ranges {
    let longest = memory.longest().len();
    if seed == 0 || longest < LEAST {
        return *memory;
    }
    // The low bits of a product are worse than the high ones.
    memory.starting_at((seed >> 12) % (longest / PART))
}
