//! Idle: the one place where a core sleeps.
//!
//! The hole that loses wake-ups (an arrival between the last look and the halt) is closed by looking with interrupts off.
//! A device's interrupt, or another core's, is then held back until `sti; hlt` lets it in, and it ends the halt at once. Another core
//! that posts mail sees the announced sleep and sends an interrupt; one that posts before the announcement makes it fail.
//!
//! Before it halts a core may look for work for a while ([`look_before_halt`]): off unless the command line says `idle=poll`.

use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use toro_arch::{core_local, cpu, tsc};
use toro_queue::Mailbox;

use crate::thread::Block;

/// The longest time that a core looks for work before it halts, in ticks of the time stamp counter; 0 if it halts at once.
static LONGEST_LOOK: AtomicU64 = AtomicU64::new(0);

/// Lets every core look for work before it halts, for as long as that has paid lately and `longest` ticks at most.
///
/// A message that comes meanwhile needs no interrupt. The price is processor time of the host: for cores of its own, not for shared ones.
pub fn look_before_halt(longest: u64) {
    LONGEST_LOOK.store(longest, Ordering::Relaxed);
}

/// How long a core looks: longer while what it waits for comes soon, halted or not, and shorter while it does not.
#[derive(Debug)]
pub(crate) struct Look(Cell<u64>);

impl Look {
    /// The part of the longest look that is always tried: a message between two cores comes in as many ticks or fewer.
    const SHORTEST_PART: u64 = 32;
    /// Looks between two readings of the counter.
    const IN_A_ROW: u32 = 64;

    pub(crate) const fn new() -> Self {
        Self(Cell::new(0))
    }

    /// The next look, if `longest` is the longest.
    fn ticks(&self, longest: u64) -> u64 {
        self.0.get().clamp(longest / Self::SHORTEST_PART, longest)
    }

    /// Notes how long the core has waited in all: twice the look if the longest would have found it, else half.
    fn learn(&self, waited: u64, longest: u64) {
        let ticks = self.ticks(longest);
        self.0.set(if waited <= longest {
            ticks * 2
        } else {
            ticks / 2
        });
    }

    /// Looks for work until there is some, or it does not pay any more.
    ///
    /// Without `pause`: an emulator leaves its translated code for that and takes the lock which the thread of its devices needs.
    fn look(&self, mailbox: &Mailbox<Arc<Block>>, begun: u64, longest: u64) -> bool {
        let ticks = self.ticks(longest);
        while tsc::read().wrapping_sub(begun) < ticks {
            for _ in 0..Self::IN_A_ROW {
                if core_local::has_pending() || !mailbox.is_empty() {
                    return true;
                }
            }
        }
        false
    }
}

/// Waits for an interrupt or mail, unless something has arrived already. Taking the mail ends the announced sleep.
pub(crate) fn wait<const IS_TRACED: bool>(mailbox: &Mailbox<Arc<Block>>, look: &Look) {
    // What others have freed of this core's memory would otherwise wait until the core runs out.
    toro_mem::collect();
    if IS_TRACED {
        toro_trace::note(toro_trace::Kind::Idle, 0);
    }
    let longest = LONGEST_LOOK.load(Ordering::Relaxed);
    if longest == 0 {
        return halt(mailbox);
    }
    let begun = tsc::read();
    if !look.look(mailbox, begun, longest) {
        halt(mailbox);
    }
    look.learn(tsc::read().wrapping_sub(begun), longest);
}

/// Halts until an interrupt comes, unless there is work.
fn halt(mailbox: &Mailbox<Arc<Block>>) {
    cpu::disable_interrupts();
    if core_local::has_pending() || !mailbox.announce_sleep() {
        cpu::enable_interrupts();
    } else {
        cpu::wait_for_interrupt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_grows_while_work_comes_soon_and_shrinks_while_it_does_not() {
        let look = Look::new();
        assert_eq!(look.ticks(3200), 100);
        for expected in [200, 400, 800, 1600, 3200, 3200] {
            look.learn(3200, 3200);
            assert_eq!(look.ticks(3200), expected);
        }
        for expected in [1600, 800, 400, 200, 100, 100] {
            look.learn(3201, 3200);
            assert_eq!(look.ticks(3200), expected);
        }
    }
}
