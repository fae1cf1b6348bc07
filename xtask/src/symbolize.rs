//! `cargo xtask symbolize`: turns the addresses of a pasted report into functions, files and lines.
//!
//! A backtrace names its build. Debug information stays with whoever built the image, so it is looked for among the images that were
//! built here. What was inlined is shown as frames of their own.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use object::Endianness;
use object::read::elf::ElfFile64;

use crate::image;
use crate::source::{Frame, Sources};
use crate::workspace::Workspace;

/// The words before the number of the build.
const BUILD: &str = "backtrace of build ";

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file that holds the report; without it the report is read from standard input.
    report: Option<PathBuf>,
    /// The unstripped image, instead of one that was built here: a `.debug` file.
    #[arg(long, value_name = "FILE")]
    debug: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let report = read(args.report.as_deref())?;
    print!("{}", of(&report, args.debug.as_deref(), &workspace)?);
    Ok(ExitCode::SUCCESS)
}

/// The report with names and lines, from the unstripped image `debug` or from the one that was built here and printed it.
pub(crate) fn of(report: &str, debug: Option<&Path>, workspace: &Workspace) -> Result<String> {
    let wanted = report.lines().find_map(build_in);
    let debug = match (debug, wanted) {
        (Some(path), _) => path.to_owned(),
        (None, Some(id)) => find(workspace, id)?,
        (None, None) => bail!(
            "the report names no build: it lacks the line `{BUILD}…`; paste it whole, or name the unstripped image with --debug"
        ),
    };
    let linked = fs::read(&debug).with_context(|| format!("cannot read {}", debug.display()))?;
    let found = image::build_id_of(&linked)?;
    if wanted.is_some_and(|wanted| wanted != found) {
        bail!(
            "{} is build {found:016x}, but the report comes from another; name the right file with --debug",
            debug.display()
        );
    }
    let elf = ElfFile64::<Endianness>::parse(linked.as_slice())?;
    let sources = Sources::of(&elf, &workspace.root)?;
    Ok(symbolized(report, &sources))
}

fn read(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text)?;
        return Ok(String::from_utf8_lossy(&text).into_owned());
    };
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The build that a line names.
fn build_in(line: &str) -> Option<u64> {
    let (_, behind) = line.split_once(BUILD)?;
    u64::from_str_radix(behind.trim().strip_suffix(':')?, 16).ok()
}

/// The unstripped image of that build, among all that lie below `target/image`.
pub(crate) fn find(workspace: &Workspace, id: u64) -> Result<PathBuf> {
    let mut folders = vec![workspace.images()?];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("deps") {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "debug")
                && fs::read(&path).is_ok_and(|linked| image::build_id_of(&linked).ok() == Some(id))
            {
                return Ok(path);
            }
        }
    }
    bail!(
        "no image that was built here is build {id:016x}; build the same sources again, or name its unstripped image with --debug"
    )
}

/// The report with each line of a backtrace followed by where its code comes from.
fn symbolized(report: &str, sources: &Sources<'_>) -> String {
    let mut shown = String::new();
    let mut innermost = true;
    for line in report.lines() {
        shown.push_str(line);
        shown.push('\n');
        if build_in(line).is_some() {
            innermost = true;
        } else if let Some(addr) = address_in(line) {
            // A return address lies behind its call, which may be the last instruction of a line.
            let inside = addr - u64::from(!innermost);
            innermost = false;
            for Frame { function, place } in sources.frames(inside) {
                let place = place.map_or_else(String::new, |place| format!(" at {place}"));
                shown.push_str(&format!("{:>15} {function}{place}\n", ""));
            }
        }
    }
    shown
}

/// The address that a line of a backtrace begins with.
fn address_in(line: &str) -> Option<u64> {
    let word = line.strip_prefix("  0x")?.split(' ').next()?;
    u64::from_str_radix(word, 16).ok().filter(|&addr| addr > 0)
}

#[cfg(test)]
mod tests {
    use super::{address_in, build_in};

    #[test]
    fn a_backtrace_names_its_build_and_addresses() {
        let line = "backtrace of build 0123456789abcdef:\r";
        assert_eq!(build_in(line), Some(0x0123_4567_89ab_cdef));
        assert_eq!(build_in("backtrace:"), None);
        assert_eq!(
            address_in("  0x0000101234 hello::main+0x4"),
            Some(0x10_1234)
        );
        assert_eq!(address_in("  0x0000101234"), Some(0x10_1234));
        assert_eq!(address_in("   rip 0000000000101234"), None);
    }
}
