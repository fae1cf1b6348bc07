//! The site: the files below one folder, as the event loop serves them, which are in memory for good; and [`look_up`] for all others.

use alloc::vec::Vec;

use toro::fs::{File, FileError};
use toro_http::{ETag, Entry, Found, Prepared, Site};

/// How many files are remembered.
const PLACES: usize = 64;
/// A longer path is looked up each time.
const PATH_MAX: usize = 64;

/// Every file below the root, with what is said of it.
#[derive(Debug)]
pub(crate) struct Files {
    /// The folder, in front of every path.
    root: &'static str,
    /// Each in the place that its path chooses; a newer one takes it.
    known: Vec<Option<Known>>,
}

/// The bytes of a file, in memory for good, to be sent from where they lie.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: &'static [u8],
    /// Where the file is remembered, if it is.
    place: Option<usize>,
}

/// A file in memory.
#[derive(Debug)]
struct Known {
    path: [u8; PATH_MAX],
    path_len: usize,
    bytes: &'static [u8],
    modified: Option<u64>,
    etag: Option<ETag>,
    prepared: Prepared,
}

impl Files {
    pub(crate) fn new(root: &'static str) -> Self {
        let mut known = Vec::new();
        known.resize_with(PLACES, || None);
        Self { root, known }
    }

    /// The file at `path`, if `place` is where it is remembered.
    fn recall(&self, path: &str, place: usize) -> Option<Entry<Content>> {
        let known = self.known[place].as_ref()?;
        if known.path[..known.path_len] != *path.as_bytes() {
            return None;
        }
        Some(Entry {
            handle: Content {
                bytes: known.bytes,
                place: Some(place),
            },
            len: known.bytes.len() as u64,
            modified: known.modified,
            etag: known.etag,
        })
    }

    /// Remembers a file that was found at `path`, if the path is not too long.
    fn remember(&mut self, path: &str, at: usize, found: &mut Entry<Content>) {
        let mut room = [0; PATH_MAX];
        let Some(start) = room.get_mut(..path.len()) else {
            return;
        };
        start.copy_from_slice(path.as_bytes());
        found.handle.place = Some(at);
        self.known[at] = Some(Known {
            path: room,
            path_len: path.len(),
            bytes: found.handle.bytes,
            modified: found.modified,
            etag: found.etag,
            prepared: Prepared::new(path, found),
        });
    }
}

impl Site for Files {
    type Handle = Content;

    fn find(&mut self, path: &str) -> Found<Content> {
        let place = place(path);
        if let Some(entry) = self.recall(path, place) {
            return Found::File(entry);
        }
        let Entry {
            handle,
            len,
            modified,
            etag,
        } = match look_up(self.root, path) {
            Found::File(entry) => entry,
            Found::Directory => return Found::Directory,
            Found::NotFound => return Found::NotFound,
            Found::Failed => return Found::Failed,
        };
        // What is elsewhere is for those who may wait.
        let Some(bytes) = handle.as_static_slice() else {
            return Found::Failed;
        };
        let mut entry = Entry {
            handle: Content { bytes, place: None },
            len,
            modified,
            etag,
        };
        self.remember(path, place, &mut entry);
        Found::File(entry)
    }

    fn prepared(&self, handle: &Content) -> Option<&Prepared> {
        let known = self.known[handle.place?].as_ref();
        known.map(|known| &known.prepared)
    }
}

/// The place of a path: by its length and its last twelve bytes, in which the names of a folder differ.
fn place(path: &str) -> usize {
    let end = &path.as_bytes()[path.len().saturating_sub(12)..];
    let word = end.iter().fold(path.len() as u64, |word, byte| {
        (word << 5) ^ u64::from(*byte)
    });
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % PLACES
}

/// The file at `path` below `root`. Waits for what it lies on.
pub(crate) fn look_up(root: &str, path: &str) -> Found<File> {
    match open(root, path) {
        Ok(entry) => Found::File(entry),
        Err(FileError::IsADirectory) => Found::Directory,
        Err(FileError::NotFound | FileError::NotADirectory | FileError::InvalidPath) => {
            Found::NotFound
        }
        Err(_) => Found::Failed,
    }
}

fn open(root: &str, path: &str) -> Result<Entry<File>, FileError> {
    let file = File::open(&[root, "/", path].concat())?;
    let metadata = file.metadata()?;
    let (len, modified) = (metadata.len(), metadata.modified());
    let etag = Some(ETag::new(modified, len));
    // An archive without times says 1970, which no cache should believe.
    let modified = (modified != 0).then_some(modified);
    Ok(Entry {
        handle: file,
        len,
        modified,
        etag,
    })
}
