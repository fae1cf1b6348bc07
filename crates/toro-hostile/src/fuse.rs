//! How a FUSE server's answers differ from an honest one's.

#[path = "../../toro-fuse/tests/script/mod.rs"]
mod script;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    script::run(data);
}
