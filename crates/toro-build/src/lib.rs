//! What an appliance's build script says to the linker.
//!
//! ```no_run
//! toro_build::link_image();
//! ```
//!
//! This makes a bare `cargo build -p hello` work too: the program is linked for no operating system, at a fixed
//! address, by Toro's own linker script.

#![forbid(unsafe_code)]

use std::path::Path;

/// Tells cargo to link the binaries of this package as bootable images.
///
/// # Panics
/// Panics if this crate was moved without its linker script.
pub fn link_image() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("image.ld");
    assert!(
        script.is_file(),
        "the linker script is missing: {}",
        script.display()
    );
    println!("cargo:rerun-if-changed={}", script.display());
    for arg in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,-z,max-page-size=4096",
        "-Wl,--gc-sections",
        // Functions with the same code are one function.
        "-Wl,--icf=all",
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
}
