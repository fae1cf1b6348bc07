//! What the image and the tools on the host share: exit codes, lines of tests and benchmarks, tables of symbols and lines, traces.
//!
//! Words only: no state, no machine. `xtask` writes what the image reads and the other way round, so each
//! format is defined here once and tested here in both directions.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod digest;
pub mod exit;
pub mod lines;
pub mod report;
pub mod sample;
pub mod session;
pub mod share;
pub mod symbols;
pub mod trace;
