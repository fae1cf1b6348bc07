//! `cargo xtask torov`: builds the ToroV monitor, static as it should be, and runs one of its example programs in it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An example: hello, threads, write_file, echo or http; with `.rs` behind it the one in Rust. Without it the monitor
    /// is built, and its path printed.
    example: Option<String>,
    /// The verb of torov.
    #[arg(long, default_value = "run")]
    verb: String,
    /// Arguments of the example.
    #[arg(trailing_var_arg = true)]
    args: Vec<String>,
}

/// The targets of the monitor, the best first: with musl it starts faster and takes less memory. One is always named, so that what only
/// the build runs is not linked statically as well.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"];

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let Some(example) = &args.example else {
        println!("{}", monitor(&workspace)?.display());
        return Ok(ExitCode::SUCCESS);
    };
    let guests = workspace.root.join("crates/torov/guests");
    let program = guest(&workspace, &guests, example)?;
    let mut command = Command::new(monitor(&workspace)?);
    command.arg(&args.verb);
    let profile = guests.join(Path::new(example).with_extension("toml"));
    if profile.exists() && !example.ends_with(".rs") {
        command.arg(profile);
    } else {
        command.args(["--allow", "@net-server"]);
    }
    command.arg("--").arg(program).args(&args.args);
    eprintln!("torov: {}", process::shown(&command));
    // The monitor takes the place of this process: its status and its signals are the program's.
    Err(command.exec()).context("cannot start torov")
}

/// The first target whose library the compiler has. That for musl is no part of every compiler.
fn target() -> Result<&'static str> {
    for target in TARGETS {
        let mut rustc = Command::new("rustc");
        let library =
            process::output(rustc.args(["--print", "target-libdir", "--target", target]))?;
        if Path::new(library.trim()).exists() {
            return Ok(target);
        }
    }
    bail!("the compiler has no library for {}", TARGETS.join(" or "));
}

/// Builds the monitor and returns its path.
fn monitor(workspace: &Workspace) -> Result<PathBuf> {
    let target = target()?;
    if target != TARGETS[0] {
        eprintln!(
            "torov: built with glibc; with musl it starts faster: rustup target add {}",
            TARGETS[0]
        );
    }
    let folder = workspace.root.join("target/torov");
    let script = workspace.root.join("crates/torov/hot.ld");
    let flags = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        &format!("-Clink-arg=-Wl,-T,{}", script.display()),
    ];
    let mut cargo = process::cargo();
    cargo.args([
        "build",
        "--release",
        "--package",
        "torov",
        "--target",
        target,
    ]);
    cargo
        .arg("--target-dir")
        .arg(&folder)
        // Encoded: a path may hold spaces.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .current_dir(&workspace.root);
    process::run(&mut cargo)?;
    Ok(folder.join(target).join("release/torov"))
}

/// Compiles an example statically and returns its path.
fn guest(workspace: &Workspace, guests: &Path, example: &str) -> Result<PathBuf> {
    let (source, mut compiler) = if example.ends_with(".rs") {
        let mut rustc = Command::new("rustc");
        rustc.args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
        ]);
        (guests.join(example), rustc)
    } else {
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-static", "-pthread"]);
        (guests.join(example).with_extension("c"), cc)
    };
    if !source.exists() {
        bail!(
            "there is no example `{example}`: take hello, threads, write_file, echo, http, hello.rs, write_file.rs or echo.rs"
        );
    }
    let name = example.replace('.', "-");
    let binary = workspace.target("torov")?.join(name);
    compiler.arg("-o").arg(&binary).arg(source);
    process::run(&mut compiler).context(
        "a static program needs a C compiler and its libc.a: sudo apt-get install gcc libc6-dev",
    )?;
    Ok(binary)
}
