//! [`counted`]: a file system whose reads, writes and syncs are counted for the metrics.
//!
//! It stands in front of what the boot list and `mount=` mount; a mount of a service's own is not counted, nor are bytes of an archive that a
//! service takes from where they lie, without a read.

use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use toro_dev::Tally;
use toro_sync::PerCore;
use toro_time::Instant;
use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId, Sync};

use super::storage::Operations;

/// What was asked of a file system on this core.
#[derive(Debug, Default)]
struct Counts {
    read: Cell<Tally>,
    write: Cell<Tally>,
    sync: Cell<Tally>,
}

/// A path, and what was asked of the file system there as long as it is mounted.
type Mounted = (String, Weak<Counts>);

/// Those of each core; what is gone stays until they are looked at.
static COUNTED: PerCore<RefCell<Vec<Mounted>>> = PerCore::new();

struct Counted {
    file_system: Rc<dyn FileSystem>,
    counts: Rc<Counts>,
}

/// Puts a counter before `file_system`, which is about to be mounted at `path`.
pub(crate) fn counted(path: &str, file_system: Rc<dyn FileSystem>) -> Rc<dyn FileSystem> {
    if !COUNTED.is_init() {
        COUNTED.init(RefCell::new(Vec::new()));
    }
    let counts = Rc::new(Counts::default());
    let path = format!("/{}", path.trim_start_matches('/'));
    COUNTED.with(|all| all.borrow_mut().push((path, Rc::downgrade(&counts))));
    Rc::new(Counted {
        file_system,
        counts,
    })
}

/// What was asked of each that is mounted on this core, by its path.
pub(super) fn counts() -> Vec<(String, Operations)> {
    let of = |(path, counts): &Mounted| {
        let counts = counts.upgrade()?;
        let operations = [
            ("read", counts.read.get()),
            ("write", counts.write.get()),
            ("sync", counts.sync.get()),
        ];
        Some((path.clone(), operations.into()))
    };
    let all = COUNTED.try_with(|all| {
        let mut all = all.borrow_mut();
        all.retain(|(_, counts)| counts.strong_count() > 0);
        all.iter().filter_map(of).collect()
    });
    all.unwrap_or_default()
}

/// Has `operation` done and adds it to `tally`, with the bytes that `moved` says it has moved.
fn count<R>(
    tally: &Cell<Tally>,
    moved: impl FnOnce(&R) -> usize,
    operation: impl FnOnce() -> Result<R, FileError>,
) -> Result<R, FileError> {
    let begun = Instant::now();
    let outcome = operation();
    // What would have to wait is asked again by another call.
    if !matches!(outcome, Err(FileError::WouldBlock)) {
        let took = Instant::now().duration_since(begun).as_nanos();
        let mut counts = tally.get();
        counts.add(
            outcome.as_ref().ok().map(|done| moved(done) as u64),
            u64::try_from(took).unwrap_or(u64::MAX),
        );
        tally.set(counts);
    }
    outcome
}

impl FileSystem for Counted {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        self.file_system.open(path)
    }

    fn close(&self, node: NodeId) {
        self.file_system.close(node);
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        self.file_system.metadata(node)
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let read = || self.file_system.read_at(node, offset, buf);
        count(&self.counts.read, |len| *len, read)
    }

    fn try_read_at(&self, node: NodeId, at: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let read = || self.file_system.try_read_at(node, at, buf);
        count(&self.counts.read, |len| *len, read)
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        self.file_system.read_dir(node, cursor)
    }

    fn static_bytes(&self, node: NodeId) -> Option<&'static [u8]> {
        self.file_system.static_bytes(node)
    }

    fn create(&self, path: &str) -> Result<NodeId, FileError> {
        self.file_system.create(path)
    }

    fn write_at(&self, node: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, FileError> {
        let write = || self.file_system.write_at(node, offset, bytes);
        count(&self.counts.write, |len| *len, write)
    }

    fn append(&self, node: NodeId, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        let append = || self.file_system.append(node, bytes);
        count(&self.counts.write, |(_, len)| *len, append)
    }

    fn set_len(&self, node: NodeId, len: u64) -> Result<(), FileError> {
        self.file_system.set_len(node, len)
    }

    fn sync(&self, node: NodeId, what: Sync) -> Result<(), FileError> {
        let sync = || self.file_system.sync(node, what);
        count(&self.counts.sync, |()| 0, sync)
    }

    fn sync_all(&self) -> Result<(), FileError> {
        let sync = || self.file_system.sync_all();
        count(&self.counts.sync, |()| 0, sync)
    }

    fn create_dir(&self, path: &str) -> Result<(), FileError> {
        self.file_system.create_dir(path)
    }

    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        self.file_system.remove_file(path)
    }

    fn remove_dir(&self, path: &str) -> Result<(), FileError> {
        self.file_system.remove_dir(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.file_system.rename(from, to)
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        self.file_system.canonicalize(path)
    }
}
