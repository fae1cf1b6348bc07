//! Finds the smallest memory with which something still works.

use anyhow::Result;

/// The smallest multiple of `step` in `1..=most` for which `works` says so, by bisection; `None` if `most` fails.
///
/// Assumes that what works with some memory works with more.
pub(crate) fn smallest(
    step: u64,
    most: u64,
    mut works: impl FnMut(u64) -> Result<bool>,
) -> Result<Option<u64>> {
    let (mut fails, mut suffices) = (0, most / step);
    if !works(suffices * step)? {
        return Ok(None);
    }
    while suffices - fails > 1 {
        let middle = u64::midpoint(fails, suffices);
        if works(middle * step)? {
            suffices = middle;
        } else {
            fails = middle;
        }
    }
    Ok(Some(suffices * step))
}

#[cfg(test)]
mod tests {
    use super::smallest;

    fn check(step: u64, most: u64, needed: u64, expected: Option<u64>) {
        let found = smallest(step, most, |amount| Ok(amount >= needed)).expect("nothing fails");
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_the_edge_in_steps() {
        check(256, 65_536, 1_900, Some(2_048));
        check(256, 65_536, 65_536, Some(65_536));
        check(256, 65_536, 1, Some(256));
        check(256, 65_536, 65_537, None);
    }
}
