//! A host that sends what it likes over virtio sockets.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/toro-vsock/tests/hostile/mod.rs"]
mod hostile;

fuzz_target!(|data: &[u8]| hostile::play(data));
