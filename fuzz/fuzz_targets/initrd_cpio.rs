//! A newc archive, or whatever else is found in a boot module.

#![no_main]

mod index_check;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| index_check::check(data));
