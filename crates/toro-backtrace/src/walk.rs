//! [`walk`]: from a frame pointer to the return addresses of all callers.
//!
//! Images are built with frame pointers, so each frame looks like this, and `rbp` of the frame that runs
//! points at the lower word:
//!
//! ```text
//! rbp + 8   return address into the caller
//! rbp       rbp of the caller
//! ```

use core::ops::Range;

/// More frames than this are a loop, not a stack.
const FRAMES_MAX: usize = 64;

/// Calls `visit` with `rip` and then with the return address of each caller, innermost first.
///
/// Never faults, whatever the registers hold: a word is read only if it lies inside `stack` and is aligned, and
/// each frame must lie above the one before it. The walk ends at the first frame for which that is not so, or
/// at a return address of 0, which is what the first frame of a thread holds.
///
/// # Safety
/// 1. Every byte of `stack` is mapped and readable.
/// 2. Nobody writes to it during the call: it is the stack of the caller or of a thread that does not run.
pub unsafe fn walk(rbp: u64, rip: u64, stack: Range<u64>, mut visit: impl FnMut(u64)) {
    visit(rip);
    let mut frame = rbp;
    for _ in 0..FRAMES_MAX {
        // SAFETY: `stack` is mapped (1) and nobody writes to it (2), which is all that `words` asks for.
        let Some([caller, back]) = (unsafe { words(frame, &stack) }) else {
            return;
        };
        if back == 0 {
            return;
        }
        visit(back);
        if caller <= frame {
            return;
        }
        frame = caller;
    }
}

/// Reads the two words of a frame, `None` if it does not lie inside `stack` or is not aligned.
///
/// # Safety
/// As for [`walk`].
unsafe fn words(frame: u64, stack: &Range<u64>) -> Option<[u64; 2]> {
    let end = frame.checked_add(16)?;
    if frame < stack.start || end > stack.end || !frame.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the sixteen bytes lie inside `stack`, which is mapped (1) and still (2), and they are aligned.
    Some(unsafe { (frame as *const [u64; 2]).read_volatile() })
}

#[cfg(test)]
mod tests {
    use super::walk;

    /// A stack of eight words; `frames` gives (word index, index of the caller's frame, return address).
    fn check(frames: &[(usize, u64, u64)], rbp: usize, expected: &[u64]) {
        let mut words = [0_u64; 8];
        let base = words.as_ptr() as u64;
        for &(at, caller, back) in frames {
            words[at] = base.wrapping_add(caller.wrapping_mul(8));
            words[at + 1] = back;
        }
        let mut seen = Vec::new();
        // SAFETY: `words` lives across the call (1) and is not written to (2).
        unsafe {
            walk(base + rbp as u64 * 8, 1, base..base + 64, |addr| {
                seen.push(addr)
            })
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn visits_callers_innermost_first() {
        check(&[(0, 2, 20), (2, 6, 30), (6, 0, 0)], 0, &[1, 20, 30]);
    }

    #[test]
    fn ends_where_the_stack_ends() {
        check(&[(0, 100, 20)], 0, &[1, 20]);
        check(&[], 7, &[1]);
        check(&[], 8, &[1]);
        check(&[], 1 << 40, &[1]);
    }

    #[test]
    fn ends_at_a_frame_that_does_not_rise() {
        check(&[(2, 2, 20)], 2, &[1, 20]);
        check(&[(2, 0, 20), (0, 2, 30)], 2, &[1, 20]);
    }

    #[test]
    fn ends_at_a_crooked_or_wrapping_frame_pointer() {
        let words = [0_u64; 4];
        let base = words.as_ptr() as u64;
        for rbp in [base + 1, 0, 7, u64::MAX, u64::MAX - 7, u64::MAX - 15] {
            let mut seen = 0;
            // SAFETY: `words` lives across the call (1) and is not written to (2).
            unsafe { walk(rbp, 1, base..base + 32, |_| seen += 1) };
            assert_eq!(seen, 1);
        }
    }
}
