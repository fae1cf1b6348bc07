//! `crates/toro-hostile/src/net.rs`

#![no_main]

use libfuzzer_sys::fuzz_target;
use toro_hostile::target;

fuzz_target!(|data: &[u8]| target("net")(data));

/// Asked by LeakSanitizer. A stack lends its DHCP client memory for good, for it lives as long as its machine; here many of them come and go.
/// `-rss_limit_mb=8192` is for a million runs and more.
#[unsafe(no_mangle)]
pub extern "C" fn __lsan_is_turned_off() -> i32 {
    1
}
