//! Runs the cases of a test image and reports them to the host.
//!
//! ```ignore
//! toro::main!(main);
//!
//! fn main() {
//!     toro_test::run(toro_test::cases![wakes_a_parked_thread, sleeps_for_a_while]);
//! }
//!
//! fn wakes_a_parked_thread() {
//!     assert_eq!(2 + 2, 4);
//! }
//! ```
//!
//! A case passes when it returns. A panic ends the image, so the cases behind it are reported as lost: the lines
//! that `cargo xtask test` reads are those of [`toro_abi::report`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod memory;

use toro_abi::report::Line;

/// A case: its name, and the function that passes by returning.
pub type Case = (&'static str, fn());

/// Runs `cases` in order and ends the image as a success.
pub fn run(cases: &[Case]) -> ! {
    toro::println!("{}", Line::Cases(cases.len()));
    for (name, case) in cases {
        toro::println!("{}", Line::Run(name));
        case();
        toro::println!("{}", Line::Ok(name));
    }
    toro::println!("{}", Line::Done);
    toro::exit(toro::ExitCode::Success)
}

/// Makes the cases out of functions, each named as its function: `cases![a, disk::b]` is `&[("a", a), ("disk::b", disk::b)]`.
#[macro_export]
macro_rules! cases {
    ($($case:path),* $(,)?) => {
        &[$((::core::stringify!($case), $case as fn())),*]
    };
}
