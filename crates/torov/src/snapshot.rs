//! [`Snapshot`]: the file that a frozen program lies in.
//!
//! ```text
//!   0     magic, version, length and checksum of what is told, where the pages begin, how many there are: 6 words
//!   48    what is told: the monitor's version, the processor, areas, heap, pages by address, the frozen program
//!   page  the pages that are not zero, in the order of their addresses, so that they can be mapped as they lie
//! ```
//! All words have 64 bits, lowest byte first. The file is hostile: every length is checked before it is believed, and it
//! grants nothing, for the profile is not in it.

mod telling;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;

use torov_abi::word::{size, wide};
use torov_abi::{PAGE, USER_END};
use torov_calls::Frozen;
use torov_memory::{Area, Memory, Rights};
use torov_vcpu::cpuid;

use self::telling::{Pen, Reader};

const MAGIC: u64 = u64::from_le_bytes(*b"ToroSnap");
const VERSION: u64 = 2;
const HEADER: usize = 48;
/// How long what is told may be.
const MOST_TOLD: u64 = 16 << 20;

/// The names of areas, which reports show.
const NAMES: [&str; 5] = ["program", "heap", "stack", "mmap", "file"];

/// What a file tells beside the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The features of the processor that the program may have seen.
    pub(crate) features: [u32; 7],
    /// First address, end, rights and name of each area.
    pub(crate) areas: Vec<(u64, u64, Rights, &'static str)>,
    pub(crate) heap: (u64, u64),
    /// The addresses of the pages, rising.
    pub(crate) pages: Vec<u64>,
    /// Where they begin in the file.
    pub(crate) offset: u64,
    /// The auxiliary vector, for debuggers.
    pub(crate) auxiliary: Vec<u8>,
    pub(crate) frozen: Frozen,
}

/// Why a file is no snapshot for this monitor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SnapshotError(String);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn damaged(what: &str) -> SnapshotError {
    SnapshotError(format!(
        "it is damaged: {what}. Make it again with torov snapshot"
    ))
}

/// Writes a program down.
pub(crate) fn write(
    file: &File,
    memory: &Memory,
    auxiliary: &[u8],
    frozen: &Frozen,
) -> io::Result<()> {
    let area = |area: &Area| (area.start, area.end, area.rights, area.name);
    let snapshot = Snapshot {
        features: cpuid::fingerprint(frozen.states),
        areas: memory.own_areas().iter().map(area).collect(),
        heap: memory.heap(),
        pages: memory.filled_pages(),
        offset: 0,
        auxiliary: auxiliary.to_vec(),
        frozen: frozen.clone(),
    };
    let head = snapshot.to_bytes();
    if wide(head.len()) > MOST_TOLD {
        return Err(io::Error::other(
            "its pipes and threads are more than a snapshot holds: 16 MiB",
        ));
    }
    let mut out = BufWriter::with_capacity(1 << 16, file);
    out.write_all(&head)?;
    let mut page = [0; 4096];
    for address in &snapshot.pages {
        if !memory.peek(*address, &mut page) {
            return Err(io::Error::other("a page went away"));
        }
        out.write_all(&page)?;
    }
    out.flush()
}

impl Snapshot {
    /// Reads what a file tells. The pages are only counted.
    pub(crate) fn read(file: &File) -> Result<Self, SnapshotError> {
        let cannot = |error: io::Error| SnapshotError(format!("it cannot be read: {error}"));
        let len = file.metadata().map_err(cannot)?.len();
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)
            .map_err(|_| SnapshotError("it is no snapshot: it is too short".to_owned()))?;
        let [magic, version, told_len, sum, offset, count] =
            [0, 1, 2, 3, 4, 5].map(|at| word(&header, 8 * at));
        if magic != MAGIC {
            return Err(SnapshotError("it is no snapshot".to_owned()));
        }
        if version != VERSION {
            return Err(SnapshotError(format!(
                "it has version {version} of the format, and this torov reads version {VERSION}: make it again"
            )));
        }
        let end = count
            .checked_mul(PAGE)
            .and_then(|len| len.checked_add(offset));
        let fits = told_len <= MOST_TOLD
            && told_len <= len
            && offset == (wide(HEADER) + told_len).next_multiple_of(PAGE)
            && end == Some(len.max(offset));
        if !fits {
            return Err(damaged("its length is not what it says"));
        }
        let mut told = vec![0; size(told_len)];
        file.read_exact_at(&mut told, wide(HEADER))
            .map_err(cannot)?;
        if checksum(&told) != sum {
            return Err(damaged("its checksum is wrong"));
        }
        let snapshot = Self::parse(&told, (offset, count))?;
        if wide(snapshot.pages.len()) != count {
            return Err(damaged("it has pages without addresses"));
        }
        Ok(snapshot)
    }

    /// Header and what is told, filled up to a whole page.
    fn to_bytes(&self) -> Vec<u8> {
        let told = self.told();
        let offset = (HEADER + told.len()).next_multiple_of(size(PAGE));
        let count = wide(self.pages.len());
        let header = [
            MAGIC,
            VERSION,
            wide(told.len()),
            checksum(&told),
            wide(offset),
            count,
        ];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(told);
        bytes.resize(offset, 0);
        bytes
    }

    fn told(&self) -> Vec<u8> {
        let mut pen = Pen(Vec::new());
        pen.text(env!("CARGO_PKG_VERSION"));
        self.features
            .iter()
            .for_each(|word| pen.word((*word).into()));
        pen.word(wide(self.areas.len()));
        for (start, end, rights, name) in &self.areas {
            let bits = [rights.read, rights.write, rights.execute].map(u64::from);
            let name = NAMES.iter().position(|known| known == name);
            let [read, write, execute] = bits;
            pen.words(&[
                *start,
                *end,
                read | write << 1 | execute << 2,
                wide(name.unwrap_or(3)),
            ]);
        }
        pen.words(&[self.heap.0, self.heap.1]);
        let runs = runs(&self.pages);
        pen.word(wide(runs.len()));
        for (start, count) in runs {
            pen.words(&[start, count]);
        }
        pen.bytes(&self.auxiliary);
        pen.frozen(&self.frozen);
        pen.0
    }

    /// Reads what is told of a file whose pages begin at `offset`; there are `most`.
    fn parse(told: &[u8], (offset, most): (u64, u64)) -> Result<Self, SnapshotError> {
        let mut reader = Reader(told);
        let written_by = reader.text()?;
        if written_by != env!("CARGO_PKG_VERSION") {
            return Err(SnapshotError(format!(
                "torov {written_by} wrote it, and this is torov {}: make it again",
                env!("CARGO_PKG_VERSION")
            )));
        }
        let mut features = [0; 7];
        for feature in &mut features {
            *feature = u32::try_from(reader.word()?).map_err(|_| damaged("the processor"))?;
        }
        let mut areas = Vec::new();
        for _ in 0..reader.count(4)? {
            let [start, end, bits, name] = reader.words()?;
            let rights = Rights {
                read: bits & 1 != 0,
                write: bits & 2 != 0,
                execute: bits & 4 != 0,
            };
            let name = NAMES
                .get(size(name))
                .ok_or_else(|| damaged("the name of an area"))?;
            areas.push((start, end, rights, *name));
        }
        let [heap_start, heap_end] = reader.words()?;
        let mut pages: Vec<u64> = Vec::new();
        for _ in 0..reader.count(2)? {
            let [start, count] = reader.words()?;
            let end = count
                .checked_mul(PAGE)
                .and_then(|len| len.checked_add(start));
            let rises = pages.last().is_none_or(|last| *last < start);
            if !rises || end.is_none_or(|end| end > USER_END) || wide(pages.len()) + count > most {
                return Err(damaged("the pages"));
            }
            pages.extend((0..count).map(|at| start + at * PAGE));
        }
        let auxiliary = reader.bytes()?.to_vec();
        let frozen = reader.frozen()?;
        if !reader.0.is_empty() {
            return Err(damaged("there is more than is told"));
        }
        Ok(Self {
            features,
            areas,
            heap: (heap_start, heap_end),
            pages,
            offset,
            auxiliary,
            frozen,
        })
    }
}

/// Pages that follow each other: the first, and how many.
fn runs(pages: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some((start, count)) if *start + *count * PAGE == *page => *count += 1,
            _ => runs.push((*page, 1)),
        }
    }
    runs
}

/// FNV-1a of 64 bits: it finds damage, not malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use torov_calls::{Frozen, KeptTimer, Open, Still, What};
    use torov_memory::Rights;

    use super::{Snapshot, checksum};

    fn snapshot() -> Snapshot {
        let what = [
            What::Stream(1),
            What::Same(0),
            What::File("/data/x".to_owned(), 0o2000, 7),
            What::Listener(vec![2; 16], 0),
            What::Pipe(1, true, 0o4000),
            What::Counter(7, true, 0),
            What::Signals(0x200, 0o4000),
            What::Timer(1, [0, 5, 2, 1], 0o4000),
            What::Set(vec![(5, 1, u64::MAX), (6, 4, 0)]),
        ];
        let still = |tid| Still {
            tid,
            extended: vec![3; 576],
            name: *b"a name of 16 by.",
            ..Still::default()
        };
        let timer = KeptTimer {
            number: -1,
            clock: 1,
            nanos: [3, 4],
            overrun: 5,
            sends: Some([2, 14, 0x80, 0, 0]),
        };
        let open = (0..).zip(what).map(|(number, what)| Open {
            number,
            on_exec: number == 2,
            what,
        });
        Snapshot {
            features: [1, 2, 3, 4, 5, 6, 7],
            areas: vec![(0x40_0000, 0x40_4000, Rights::READ_WRITE, "program")],
            heap: (0x50_0000, 0x50_0010),
            pages: vec![0x40_0000, 0x40_1000, 0x40_3000],
            offset: 0x1000,
            auxiliary: vec![6; 32],
            frozen: Frozen {
                threads: vec![still(2), still(4)],
                next_tid: 5,
                actions: vec![[0; 4]; 64],
                waiting: vec![[0, 10, 0, 1, 2]],
                timers: vec![timer],
                vdso: Some(0x7000_0000),
                pipes: vec![Vec::new(), b"held".to_vec()],
                cwd: "/".to_owned(),
                executable: "/x".to_owned(),
                open: open.collect(),
                ..Frozen::default()
            },
        }
    }

    /// The bytes of a whole file.
    fn file(snapshot: &Snapshot) -> Vec<u8> {
        let mut bytes = snapshot.to_bytes();
        bytes.resize(bytes.len() + snapshot.pages.len() * 4096, 9);
        bytes
    }

    fn read(name: &str, bytes: &[u8]) -> Result<Snapshot, String> {
        let path = std::env::temp_dir().join(format!("torov-{name}-{}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        Snapshot::read(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let snapshot = snapshot();
        let again = read("whole", &file(&snapshot)).unwrap();
        assert_eq!(again.offset % 4096, 0);
        let offset = again.offset;
        assert_eq!(again, Snapshot { offset, ..snapshot });
    }

    #[test]
    fn no_damage_passes() {
        let whole = file(&snapshot());
        let told = u64::from_le_bytes(whole[16..24].try_into().unwrap());
        for at in (0..48).chain((48..48 + usize::try_from(told).unwrap()).step_by(23)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(read("flipped", &bytes).is_err(), "byte {at}");
        }
        for len in [0, 1, 47, 48, 100, whole.len() - 1] {
            assert!(read("short", &whole[..len]).is_err(), "{len} bytes");
        }
        let error = read("none", b"#!/bin/sh").unwrap_err();
        assert!(error.contains("no snapshot"), "{error}");
    }

    /// Whoever damages it on purpose also makes the checksum right: nothing panics, and no count is believed.
    #[test]
    fn malice_is_survived() {
        let whole = snapshot().to_bytes();
        let told = usize::try_from(u64::from_le_bytes(whole[16..24].try_into().unwrap())).unwrap();
        let mut chance = 88_172_645_463_325_252_u64;
        let mut passed = 0;
        for _ in 0..2_000 {
            let mut told = whole[48..48 + told].to_vec();
            for _ in 0..3 {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                let at = usize::try_from(chance >> 8).unwrap() % told.len();
                told[at] = [0, 1, 0x7f, 0xff, chance.to_le_bytes()[7]][at % 5];
            }
            assert_ne!(checksum(&told), 0);
            passed += u32::from(Snapshot::parse(&told, (0x1000, 3)).is_ok());
        }
        assert!(passed < 2_000);
    }
}
