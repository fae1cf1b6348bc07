//! A path as a client or a service may write it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use toro_vfs::path;

fuzz_target!(|path: &str| {
    let Ok(normal) = path::normalise(path) else {
        return;
    };
    let is_plain = |component| !matches!(component, "" | "." | "..");
    assert!(normal.is_empty() || normal.split('/').all(is_plain));
    if !normal.is_empty() {
        assert_eq!(path::normalise(&normal).as_deref(), Ok(&*normal));
    }
});
