//! What is kept of a series of measurements: the median and the range, and the paired ratio of two series.
//!
//! Times and rates on a shared machine vary by tens of percent from minute to minute, and both
//! sides of a comparison vary together. So a ratio is taken between neighbours in time first, and the
//! median of those ratios is what counts, not the ratio of the two medians.

/// Median and range of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// The middle value, or the mean of the two middle ones.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Summary {
    /// Sums up `samples`; an empty series has no summary.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self {
            median: middle(&sorted),
            min,
            max,
        })
    }
}

/// The middle of a sorted series that is not empty.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

/// Median of a series; `None` if it is empty.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    Summary::of(samples).map(|summary| summary.median)
}

/// The median of `ours[i] / theirs[i]`, over the rounds that both sides have.
pub(crate) fn paired_ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .filter(|(_, theirs)| **theirs > 0.0)
        .map(|(o, t)| o / t)
        .collect();
    median(&ratios)
}

/// The differences `samples[i] - base[i]`, over the rounds that both sides have.
pub(crate) fn paired_difference(samples: &[f64], base: &[f64]) -> Vec<f64> {
    samples
        .iter()
        .zip(base)
        .map(|(sample, base)| sample - base)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Summary, median, paired_difference, paired_ratio};

    #[test]
    fn sums_up_odd_and_even_series() {
        let odd = Summary::of(&[3.0, 1.0, 2.0]).expect("three samples");
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn has_no_summary_of_nothing() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(paired_ratio(&[1.0], &[]), None);
    }

    #[test]
    fn pairs_neighbours_in_time_before_taking_the_median() {
        // The machine slowed down tenfold half way: each pair still says 2.
        assert_eq!(
            paired_ratio(&[20.0, 2.0, 2.0], &[10.0, 1.0, 1.0]),
            Some(2.0)
        );
        assert_eq!(paired_ratio(&[20.0, 5.0], &[10.0, 0.0]), Some(2.0));
        assert_eq!(paired_difference(&[5.0, 7.0], &[1.0, 2.0]), [4.0, 5.0]);
    }
}
