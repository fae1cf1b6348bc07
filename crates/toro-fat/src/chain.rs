//! [`Chain`]: what is known of where an open file lies. Without it each access would walk the table from the file's first cluster on.

use alloc::vec::Vec;

/// Most rows that are remembered of a file: 12 KiB. A file in more pieces is known to there, and walked from there on.
const MOST: usize = 1024;

/// Clusters of a file, by their numbers in its chain.
///
/// The first ones are known without a gap, as rows of clusters that follow each other on the disk; of those behind, one.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    first: u32,
    rows: Vec<Row>,
    /// The number of a cluster, and the cluster.
    last: (u32, u32),
}

/// `count` clusters from `cluster` on, of which the first is number `number` of the chain.
#[derive(Clone, Copy, Debug)]
struct Row {
    number: u32,
    cluster: u32,
    count: u32,
}

impl Chain {
    /// A file that begins at `first`; 0 if there is no cluster yet.
    pub(crate) fn new(first: u32) -> Self {
        Self {
            first,
            rows: Vec::new(),
            last: (0, first),
        }
    }

    /// The cluster nearest to `number` that is known and not behind it, with its own number.
    pub(crate) fn nearest(&self, number: u32) -> (u32, u32) {
        if let Some((cluster, _)) = self.row(number) {
            return (number, cluster);
        }
        let known = self.rows.last().map(|row| {
            let behind = row.count - 1;
            (row.number + behind, row.cluster + behind)
        });
        let candidates = known.into_iter().chain([self.last]);
        let nearest = candidates.filter(|(at, _)| *at <= number).max();
        nearest.unwrap_or((0, self.first))
    }

    /// The cluster of that number, and how many are known to lie in a row from there on.
    pub(crate) fn row(&self, number: u32) -> Option<(u32, u32)> {
        let behind = self.rows.partition_point(|row| row.number <= number);
        let row = self.rows.get(behind.checked_sub(1)?)?;
        let within = number - row.number;
        (within < row.count).then(|| (row.cluster + within, row.count - within))
    }

    /// Remembers which cluster has that number.
    pub(crate) fn note(&mut self, number: u32, cluster: u32) {
        let end = self.rows.last().map_or(0, |row| row.number + row.count);
        if number < end {
            return;
        }
        let row = self.rows.last_mut().filter(|_| number == end);
        if let Some(row) = row.filter(|row| row.cluster + row.count == cluster) {
            row.count += 1;
            return;
        }
        if number == end && self.rows.len() < MOST && self.rows.try_reserve(1).is_ok() {
            let count = 1;
            self.rows.push(Row {
                number,
                cluster,
                count,
            });
            return;
        }
        self.last = (number, cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::{Chain, MOST};

    #[test]
    fn rows_are_found_by_number() {
        let mut chain = Chain::new(10);
        assert_eq!((chain.nearest(0), chain.row(0)), ((0, 10), None));
        assert_eq!(chain.nearest(9), (0, 10));
        for (number, cluster) in [(0, 10), (1, 11), (2, 12), (3, 40), (4, 41), (5, 7)] {
            chain.note(number, cluster);
        }
        assert_eq!(chain.row(0), Some((10, 3)));
        assert_eq!(chain.row(1), Some((11, 2)));
        assert_eq!(chain.row(4), Some((41, 1)));
        assert_eq!(chain.row(6), None);
        assert_eq!(chain.nearest(3), (3, 40));
        assert_eq!(chain.nearest(100), (5, 7));
    }

    #[test]
    fn what_is_known_already_changes_nothing() {
        let mut chain = Chain::new(10);
        for _ in 0..3 {
            chain.note(0, 10);
            chain.note(1, 11);
        }
        assert_eq!(chain.row(0), Some((10, 2)));
    }

    #[test]
    fn a_file_in_many_pieces_takes_bounded_memory() {
        let mut chain = Chain::new(2);
        for number in 0..5000 {
            chain.note(number, 2 + 2 * number);
        }
        assert_eq!(chain.rows.len(), MOST);
        // Behind that only the last is known, and it is of use for what follows it alone.
        assert_eq!(chain.nearest(5001), (4999, 10_000));
        assert_eq!(chain.nearest(4000), (1023, 2048));
        assert_eq!(chain.nearest(17), (17, 36));
    }
}
