//! A host that sends what it likes over virtio sockets.

#[path = "../../toro-vsock/tests/hostile/mod.rs"]
mod hostile;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    hostile::play(data);
}
