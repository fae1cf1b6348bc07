//! Random operations against a model in memory: short ones on a whole tree, and long ones on a large file.

use toro::fs;
use toro_fsx::Plan;

const SHORT: u64 = 2_000;

pub(crate) fn random_operations_match_a_model() {
    let words = toro::env::args().filter_map(|word| word.strip_prefix("operations="));
    let operations = words.last().and_then(|number| number.parse().ok());
    let operations: u64 = operations.unwrap_or(SHORT);
    let root = crate::path("fsx");
    fs::create_dir_all(&root).expect("it can be made");
    let small = Plan {
        root: &root,
        seed: 1,
        operations: operations - operations / 4,
        max_len: 40_000,
        max_io: 9_000,
        crowd: 300,
    };
    // More than one request carries.
    let large = Plan {
        seed: 2,
        operations: operations / 4,
        max_len: 400_000,
        max_io: 150_000,
        ..small
    };
    for plan in [small, large] {
        toro_fsx::run(toro_vfs::resolve, plan);
    }
}
