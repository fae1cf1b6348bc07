//! `crates/toro-hostile/src/net.rs`

#![no_main]

use libfuzzer_sys::fuzz_target;
use toro_hostile::target;

fuzz_target!(|data: &[u8]| target("net")(data));
