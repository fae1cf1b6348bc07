//! The command line, which a loader passes and a user writes.

#![no_main]

// The crate itself cannot be linked into a host program: it brings the entry of the image.
#[path = "../../crates/toro-boot/src/command_line.rs"]
mod command_line;

use command_line::CommandLine;
use libfuzzer_sys::fuzz_target;
use toro_virtio::slot;

fuzz_target!(|data: &[u8]| {
    let line = CommandLine::new(data);
    let words = line.words().chain(line.args()).count();
    assert!(words <= line.as_str().split_ascii_whitespace().count());
    line.value("ip");
    for slot in slot::slots(line.as_str()).flatten() {
        assert!(slot.len > 0);
    }
});
