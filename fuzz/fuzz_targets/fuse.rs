//! How a FUSE server's answers differ from an honest one's.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/toro-fuse/tests/script/mod.rs"]
mod script;

fuzz_target!(|data: &[u8]| script::run(data));
