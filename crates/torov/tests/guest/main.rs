//! Real programs in real virtual machines: the guests of `guests/`, compiled here, run by the `torov` binary.
//!
//! A harness of its own (see [`harness`]), so that without a KVM that works every case says that it was skipped.

#![forbid(unsafe_code)]

mod alone;
mod batch;
mod clock;
mod conformance;
mod debugger;
mod faults;
mod files;
mod harness;
mod machine;
mod network;
mod programs;
mod ring;
mod signals;
mod snapshots;
mod storm;
mod tools;
mod users;

use std::process::ExitCode;

fn main() -> ExitCode {
    if harness::is_long() {
        return harness::main(&[machine::LONG, storm::LONG, ring::LONG].concat());
    }
    let cases = [
        machine::CASES,
        alone::CASES,
        batch::CASES,
        clock::CASES,
        faults::CASES,
        conformance::CASES,
        debugger::CASES,
        files::CASES,
        network::CASES,
        programs::CASES,
        ring::CASES,
        signals::CASES,
        snapshots::CASES,
        storm::CASES,
        tools::CASES,
        users::CASES,
    ];
    harness::main(&cases.concat())
}
