//! What is done with hostile bytes, one function for each parser of what comes from outside.
//!
//! A target takes any bytes, gives them to the code that has to bear them, and panics where that breaks a promise. The fuzzer calls it
//! (`fuzz/fuzz_targets/NAME.rs`), and so does a test on the host, with every file of `fuzz/corpus/NAME`: what was found once is
//! tried in each run, without a fuzzer.

#![forbid(unsafe_code)]

mod acpi;
mod command_line;
mod ext;
mod fat;
mod fuse;
mod gdb;
mod http;
mod index_check;
mod initrd_tar;
mod net;
mod partition;
mod path;
mod sparse;
mod vsock;

/// A target: its name, and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 13] = [
    ("acpi", acpi::run),
    ("command_line", command_line::run),
    ("ext", ext::run),
    ("fat", fat::run),
    ("fuse", fuse::run),
    ("gdb", gdb::run),
    ("http", http::run),
    ("initrd_cpio", index_check::check),
    ("initrd_tar", initrd_tar::run),
    ("net", net::run),
    ("partition", partition::run),
    ("path", path::run),
    ("vsock", vsock::run),
];

/// What is done with the bytes for the target of that name.
///
/// # Panics
/// Panics if there is none.
pub fn target(name: &str) -> fn(&[u8]) {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    found.expect("the target is in the list").1
}
