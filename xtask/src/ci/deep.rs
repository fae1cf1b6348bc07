//! What `--deep` adds: unsafe code under AddressSanitizer or valgrind, queues and devices under Miri, the fuzz targets, and devices that lie for long.
//!
//! These need tools beside the toolchain of the project. What is missing is said and left out.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::rebuild;
use crate::process;
use crate::workspace::Workspace;

/// Where the tests run: named, so that sanitizers leave build scripts alone.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Unsafe code that runs programs of its own and has no tests.
const WITHOUT_TESTS: &[&str] = &["toro-bench-host"];

/// The queue, the drivers over it, and the engine of disks over theirs.
const DRIVERS: &[&str] = &[
    "toro-virtio",
    "toro-virtio-net",
    "toro-virtio-blk",
    "toro-virtio-console",
    "toro-virtio-vsock",
    "toro-virtio-fs",
    "toro-virtio-rng",
    "toro-virtio-balloon",
    "toro-i6300esb",
    "toro-block",
];

/// How many steps each of them takes.
const STEPS: &str = "10000000";

/// A part of the deep checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// Crates with unsafe code under AddressSanitizer, or valgrind.
    Memory,
    /// Queues and devices under Miri.
    Miri,
    /// Every fuzz target.
    Fuzz,
    /// Every driver on a fake device that mostly works and sometimes does anything: ten million steps each.
    Drivers,
    /// Images of a copy of the source, elsewhere and from nothing: the same byte by byte.
    Rebuild,
}

impl Part {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::Memory,
        Self::Miri,
        Self::Fuzz,
        Self::Drivers,
        Self::Rebuild,
    ];

    /// Runs it; each fuzz target for `time`.
    pub(super) fn run(self, workspace: &Workspace, time: Duration) -> Result<()> {
        match self {
            Self::Memory => memory(workspace),
            Self::Miri => miri(workspace),
            Self::Fuzz => fuzz(workspace, time),
            Self::Drivers => drivers(workspace),
            Self::Rebuild => rebuild::run(workspace),
        }
    }
}

/// The host tests of crates with unsafe code, watched.
fn memory(workspace: &Workspace) -> Result<()> {
    let mut cargo = if works(nightly().arg("--version")) {
        // What a hostile device never gives back is leaked on purpose.
        let mut cargo = nightly();
        cargo
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env("ASAN_OPTIONS", "detect_leaks=0");
        cargo
    } else if works(Command::new("valgrind").arg("--version")) {
        let mut cargo = process::cargo();
        let runner = "valgrind --quiet --error-exitcode=9";
        cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        cargo
    } else {
        return skip("memory", "neither a nightly toolchain nor valgrind");
    };
    cargo.args(["test", "--target", TARGET, "--lib", "--tests"]);
    cargo
        .arg("--target-dir")
        .arg(workspace.target("watched")?)
        .current_dir(&workspace.root);
    for name in unsafe_crates(workspace) {
        cargo.args(["--package", name]);
    }
    step(&mut cargo)
}

/// The crates with unsafe code whose tests the host can run.
fn unsafe_crates(workspace: &Workspace) -> Vec<&str> {
    let images = workspace.image_only();
    let packages = workspace.packages.iter();
    packages
        .filter(|package| package.toro().holds_unsafe)
        .map(|package| package.name.as_str())
        .filter(|name| !images.contains(name) && !WITHOUT_TESTS.contains(name))
        .collect()
}

/// What Miri runs: code without assembly, and those of its tests that end in a minute there.
const MIRI: &[(&str, &[&str])] = &[
    ("toro-queue", &["--lib"]),
    ("toro-pci", &["--lib"]),
    ("toro-virtio", &["--lib", "--test", "transports"]),
];

/// Queues between cores, and those to devices, in an interpreter that knows what each pointer may do.
fn miri(workspace: &Workspace) -> Result<()> {
    if !works(nightly().args(["miri", "--version"])) {
        return skip("miri", "the nightly toolchain does not have it");
    }
    for (package, tests) in MIRI {
        let mut cargo = nightly();
        cargo
            .args(["miri", "test", "--package", package])
            .args(*tests);
        // Devices know addresses as numbers, and what one may still write to is leaked on purpose.
        let flags = "-Zmiri-permissive-provenance -Zmiri-ignore-leaks";
        cargo.env("MIRIFLAGS", flags);
        cargo
            .arg("--target-dir")
            .arg(workspace.target("miri")?)
            .current_dir(&workspace.root);
        step(&mut cargo)?;
    }
    Ok(())
}

/// The tests of drivers that take random steps, optimised and with all checks.
fn drivers(workspace: &Workspace) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--release", "--lib", "--tests"]);
    for name in DRIVERS {
        cargo.args(["--package", name]);
    }
    cargo.args(["--", "random", "nothing_that_a_device_does"]);
    cargo
        .env("TORO_STEPS", STEPS)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
        .env("CARGO_TARGET_DIR", workspace.target("drivers")?)
        .current_dir(&workspace.root);
    step(&mut cargo)
}

/// Targets of code without unsafe: a sanitizer would find nothing there, and takes most of the time.
const SAFE: &[&str] = &[
    "command_line",
    "ext",
    "fat",
    "http",
    "initrd_cpio",
    "initrd_tar",
    "partition",
    "path",
];

/// Every target, from its seeds and from what earlier runs have found.
fn fuzz(workspace: &Workspace, time: Duration) -> Result<()> {
    if !works(nightly().args(["fuzz", "--version"])) {
        return skip(
            "fuzz",
            "cargo-fuzz or its nightly toolchain is not installed",
        );
    }
    let mut list = nightly();
    list.args(["fuzz", "list"]).current_dir(&workspace.root);
    let targets = process::output(&mut list)?;
    ensure!(!targets.trim().is_empty(), "there is no fuzz target");
    for name in targets.split_whitespace() {
        let found = workspace.target("fuzz-found")?.join(name);
        std::fs::create_dir_all(&found)
            .with_context(|| format!("cannot make {}", found.display()))?;
        let mut cargo = nightly();
        cargo.args(["fuzz", "run", name]).arg(&found);
        if SAFE.contains(&name) {
            cargo.args(["--sanitizer", "none"]);
        }
        let seeds = Path::new("fuzz/corpus").join(name);
        if workspace.root.join(&seeds).is_dir() {
            cargo.arg(seeds);
        }
        cargo.args(["--", &format!("-max_total_time={}", time.as_secs())]);
        step(cargo.current_dir(&workspace.root))?;
    }
    Ok(())
}

/// Cargo of the nightly toolchain, whatever toolchain runs this program.
fn nightly() -> Command {
    let mut cargo = Command::new("rustup");
    cargo
        .args(["run", "nightly", "cargo"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    cargo
}

/// Whether a command is there and succeeds.
fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is what the part that is left out returns"
)]
fn skip(part: &str, why: &str) -> Result<()> {
    eprintln!("ci: skipped {part}: {why}");
    Ok(())
}

fn step(command: &mut Command) -> Result<()> {
    eprintln!("ci: {}", process::shown(command));
    process::run(command)
}
