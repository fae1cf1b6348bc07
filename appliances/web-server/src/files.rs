//! The site: the files below one folder.

use alloc::vec::Vec;

use toro::fs::{File, FileError};
use toro_http::{ETag, Entry, Found, Prepared, Site};

/// How many files are remembered.
const PLACES: usize = 64;
/// A longer path is looked up each time.
const PATH_MAX: usize = 64;

/// Every file below the root. Those in memory for good are remembered, with what is said of them.
#[derive(Debug)]
pub(crate) struct Files {
    /// The folder, in front of every path.
    root: &'static str,
    /// Each in the place that its path chooses; a newer one takes it.
    known: Vec<Option<Known>>,
}

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Content {
    /// In memory for good, to be sent from where they lie.
    Memory {
        bytes: &'static [u8],
        /// Where the file is remembered, if it is.
        place: Option<usize>,
    },
    /// To be read.
    Open(File),
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
            handle: Content::Memory {
                bytes: known.bytes,
                place: Some(place),
            },
            len: known.bytes.len() as u64,
            modified: known.modified,
            etag: known.etag,
        })
    }

    /// Remembers a file that was found at `path`, if it stays as it is and the path is not too long.
    fn remember(&mut self, path: &str, at: usize, found: &mut Entry<Content>) {
        let Content::Memory { bytes, place } = &mut found.handle else {
            return;
        };
        let mut room = [0; PATH_MAX];
        let Some(start) = room.get_mut(..path.len()) else {
            return;
        };
        start.copy_from_slice(path.as_bytes());
        *place = Some(at);
        let bytes = *bytes;
        self.known[at] = Some(Known {
            path: room,
            path_len: path.len(),
            bytes,
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
        match open(self.root, path) {
            Ok(mut entry) => {
                self.remember(path, place, &mut entry);
                Found::File(entry)
            }
            Err(FileError::IsADirectory) => Found::Directory,
            Err(FileError::NotFound | FileError::NotADirectory | FileError::InvalidPath) => {
                Found::NotFound
            }
            Err(_) => Found::Failed,
        }
    }

    fn prepared(&self, handle: &Content) -> Option<&Prepared> {
        match handle {
            Content::Memory {
                place: Some(place), ..
            } => self.known[*place].as_ref().map(|known| &known.prepared),
            _ => None,
        }
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

fn open(root: &str, path: &str) -> Result<Entry<Content>, FileError> {
    let file = File::open(&[root, "/", path].concat())?;
    let metadata = file.metadata()?;
    let (len, modified) = (metadata.len(), metadata.modified());
    let handle = match file.as_static_slice() {
        Some(bytes) => Content::Memory { bytes, place: None },
        None => Content::Open(file),
    };
    let etag = Some(ETag::new(modified, len));
    // An archive without times says 1970, which no cache should believe.
    let modified = (modified != 0).then_some(modified);
    Ok(Entry {
        handle,
        len,
        modified,
        etag,
    })
}
