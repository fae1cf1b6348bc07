//! Calls by the million that mean nothing, from several threads of a program: the monitor answers each, and goes on.

use crate::harness::{Case, check_error, folder, guest, profile, run};

pub(crate) const CASES: &[Case] = &[(
    "a_storm_of_calls_does_no_harm",
    a_storm_of_calls_does_no_harm,
)];

/// Ten million calls, for `--ignored`.
pub(crate) const LONG: &[Case] = &[("ten_million_calls_do_no_harm", ten_million_calls_do_no_harm)];

/// Threads of the program.
const THREADS: u64 = 4;

fn a_storm_of_calls_does_no_harm() {
    storm(1000, 1);
    storm(1000, 2);
}

fn ten_million_calls_do_no_harm() {
    const CALLS: u64 = 25_000;
    for seed in 0..10_000_000 / (CALLS * THREADS) {
        storm(CALLS, seed);
    }
}

/// Each thread makes so many calls, the same for the same seed.
#[track_caller]
fn storm(calls: u64, seed: u64) {
    let mount = format!("{}:/data:rw", folder("storm").display());
    let ring = if seed % 4 > 1 { "on" } else { "auto" };
    let profile = profile("storm.toml");
    let words = ["run", "--ring", ring, "-m", &mount, &profile];
    let args = [THREADS, calls, seed].map(|number| number.to_string());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&words, &guest("storm.c"), &args);
    // The program gets to its end, which is violent if the seed is odd.
    if seed.is_multiple_of(2) {
        assert_eq!(output.status.code(), Some(0), "seed {seed}: {output:?}");
    } else {
        check_error(&output, 139, "a return from a signal without its frame");
    }
}
