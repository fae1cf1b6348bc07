//! `crates/toro-hostile/src/vsock.rs`

#![no_main]

use libfuzzer_sys::fuzz_target;
use toro_hostile::target;

fuzz_target!(|data: &[u8]| target("vsock")(data));
