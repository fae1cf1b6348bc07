//! Random operations against a model, on everything that can be written. `operations=N` says how many, on each.

use alloc::format;

use toro::fs;
use toro_fsx::Plan;

use crate::volumes::VOLUMES;

const SHORT: u64 = 1_500;

pub(crate) fn random_operations_match_the_model() {
    let words = toro::env::args().filter_map(|word| word.strip_prefix("operations="));
    let operations = words.last().and_then(|number| number.parse().ok());
    for (seed, root) in (1..).zip(VOLUMES) {
        let root = format!("{root}/fsx");
        fs::create_dir(&root).expect("there is room");
        let plan = Plan {
            root: &root,
            seed,
            operations: operations.unwrap_or(SHORT),
            max_len: 40_000,
            max_io: 9_000,
            crowd: 0,
        };
        toro_fsx::run(toro_vfs::resolve, plan);
        assert_eq!(fs::remove_dir(&root), Ok(()));
        assert_eq!(fs::sync(), Ok(()));
    }
}
