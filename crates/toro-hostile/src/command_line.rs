//! The command line, which a loader passes and a user writes.

// The crate itself cannot be linked into a host program: it brings the entry of the image.
#[expect(unreachable_pub, reason = "it is part of another crate")]
#[path = "../../toro-boot/src/command_line.rs"]
mod lines;

use lines::CommandLine;
use toro_virtio::slot;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    let line = CommandLine::new(data);
    let words = line.words().chain(line.args()).count();
    assert!(words <= line.as_str().split_ascii_whitespace().count());
    line.value("ip");
    for slot in slot::slots(line.as_str()).flatten() {
        assert!(slot.len > 0);
    }
}
