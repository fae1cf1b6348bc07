//! A path as a client or a service may write it.

use toro_vfs::path;

/// Runs the target.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(path) = str::from_utf8(bytes) else {
        return;
    };
    let Ok(normal) = path::normalise(path) else {
        return;
    };
    let is_plain = |component| !matches!(component, "" | "." | "..");
    assert!(normal.is_empty() || normal.split('/').all(is_plain));
    if !normal.is_empty() {
        assert_eq!(path::normalise(&normal).as_deref(), Ok(&*normal));
    }
}
