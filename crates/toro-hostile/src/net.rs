//! A network that sends what it likes.

#[expect(
    clippy::cast_possible_truncation,
    reason = "test data wraps on purpose"
)]
#[path = "../../toro-net/tests/hostile/mod.rs"]
mod hostile;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    hostile::play(data);
}
