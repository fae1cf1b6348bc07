//! [`Sources`]: where machine code comes from, as the debug information of a linked image tells.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use addr2line::gimli::{self, EndianSlice, RunTimeEndian};
use addr2line::{Context, FrameIter, Location, LookupResult};
use anyhow::{Context as _, Result};
use object::Endianness;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _};

type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// The debug information of one image.
pub(crate) struct Sources<'a> {
    context: Context<Reader<'a>>,
    /// Paths are told from here on.
    root: &'a Path,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// The line from 1; 0 if it is not known.
    pub(crate) line: u32,
}

/// A function that an address lies in, perhaps because it was inlined there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) function: String,
    pub(crate) place: Option<Place>,
}

/// Where the code comes from that starts at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) addr: u64,
    pub(crate) place: Place,
}

impl<'a> Sources<'a> {
    /// Reads the debug information of `elf`.
    pub(crate) fn of(elf: &ElfFile64<'a, Endianness>, root: &'a Path) -> Result<Self> {
        let load = |id: gimli::SectionId| {
            let section = elf.section_by_name(id.name());
            let bytes = match section {
                Some(section) => section.data()?,
                None => &[],
            };
            Ok::<_, object::Error>(EndianSlice::new(bytes, RunTimeEndian::Little))
        };
        let dwarf = gimli::Dwarf::load(load).context("cannot read the debug information")?;
        let context = Context::from_dwarf(dwarf).context("cannot read the debug information")?;
        Ok(Self { context, root })
    }

    /// The functions that `addr` lies in, what was inlined first and the one that it was inlined into last.
    pub(crate) fn frames(&self, addr: u64) -> Vec<Frame> {
        let mut found = Vec::new();
        let Ok(mut frames) = self.iter(addr) else {
            return found;
        };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref();
            let name = name.and_then(|name| Some(name.raw_name().ok()?.into_owned()));
            found.push(Frame {
                function: format!("{:#}", rustc_demangle::demangle(&name.unwrap_or_default())),
                place: frame.location.and_then(|location| self.place(&location)),
            });
        }
        found
    }

    /// The lines of the code in `range`, in order. What was inlined from the standard library counts for its caller.
    pub(crate) fn rows(&self, range: Range<u64>) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let mut end = range.start;
        let nothing = |addr| Row {
            addr,
            place: Place {
                file: String::new(),
                line: 0,
            },
        };
        let ranges = self.context.find_location_range(range.start, range.end);
        for (addr, len, location) in ranges.into_iter().flatten() {
            if addr > end {
                rows.push(nothing(end));
            }
            end = addr + len;
            let place = self.place(&location);
            let own = if location.file.is_some_and(is_library) {
                self.outside_library(addr)
            } else {
                None
            };
            match own.or(place) {
                Some(place) => rows.push(Row { addr, place }),
                None => rows.push(nothing(addr)),
            }
        }
        if end < range.end {
            rows.push(nothing(end));
        }
        rows.sort_by_key(|row| row.addr);
        rows
    }

    /// The innermost place at `addr` that is not in the standard library.
    fn outside_library(&self, addr: u64) -> Option<Place> {
        let mut frames = self.iter(addr).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            let own = frame
                .location
                .filter(|location| !location.file.is_none_or(is_library));
            if let Some(location) = own {
                return self.place(&location);
            }
        }
        None
    }

    fn iter(&self, addr: u64) -> Result<FrameIter<'_, Reader<'a>>, gimli::Error> {
        let mut lookup = self.context.find_frames(addr);
        loop {
            match lookup {
                LookupResult::Output(frames) => return frames,
                // Debug information in files of its own: images have none.
                LookupResult::Load { continuation, .. } => {
                    lookup = addr2line::LookupContinuation::resume(continuation, None);
                }
            }
        }
    }

    fn place(&self, location: &Location<'_>) -> Option<Place> {
        Some(Place {
            file: short(location.file?, self.root),
            line: location.line.unwrap_or(0),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Whether a path is one of the standard library, as it was when that was built.
fn is_library(file: &str) -> bool {
    file.starts_with("/rustc/")
}

/// The path from `root` on, or from the standard library's folder on.
fn short(file: &str, root: &Path) -> String {
    if let Some((_, library)) = file.split_once("/library/").filter(|_| is_library(file)) {
        return library.to_owned();
    }
    let inside = Path::new(file).strip_prefix(root);
    inside.map_or_else(|_| file.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::short;

    #[test]
    fn paths_begin_where_they_say_something() {
        let check = |file, expected| assert_eq!(short(file, Path::new("/home/me/toro")), expected);
        check(
            "/home/me/toro/crates/toro-net/src/poll.rs",
            "crates/toro-net/src/poll.rs",
        );
        check(
            "/rustc/0123abcd/library/core/src/option.rs",
            "core/src/option.rs",
        );
        check("smoltcp-0.14.0/src/lib.rs", "smoltcp-0.14.0/src/lib.rs");
        check("/elsewhere/a.rs", "/elsewhere/a.rs");
    }
}
