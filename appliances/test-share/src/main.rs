//! Tests the file calls over a folder of the host, at `/share`, on the core that owns it. Takes `operations=N`.
//!
//! In the end the image tells a digest of all its files there, which the host compares with what it has.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod host;
mod many;
mod model;
mod outage;
mod tree;

use alloc::format;

use toro::thread::Builder;

/// The folder whose files are the image's.
const WORK: &str = "/share/work";

toro::main!(main);

fn main() {
    if toro::env::args().any(|word| word == "outage") {
        on_owner(outage::watch);
        return;
    }
    on_owner(|| {
        toro_test::run(toro_test::cases![
            host::what_the_host_wrote_is_read,
            host::links_lead_nowhere_but_into_the_share,
            host::a_change_of_the_host_is_seen,
            model::random_operations_match_a_model,
            many::names_of_255_bytes_and_of_any_script_come_back,
            many::a_thousand_files_fit_into_a_directory,
            many::threads_have_many_requests_in_flight,
            many::a_file_of_four_gibibytes_has_holes,
            many::opening_and_closing_leaves_no_memory_behind,
            tree::the_host_is_told_what_is_there,
        ]);
    });
}

/// Runs `body` on the core that owns the folder, where it is mounted.
fn on_owner(body: fn()) {
    let core = toro::devices::owner_of("fs0").expect("the machine has a shared folder");
    let spawned = Builder::new()
        .name("test")
        .stack_size(64 << 10)
        .spawn_on(core, body);
    let ended = spawned.expect("there is memory").join();
    assert!(ended.is_ok(), "the thread ended in another way");
}

/// The path of one of the image's files.
fn path(name: &str) -> alloc::string::String {
    format!("{WORK}/{name}")
}
