//! What must hold of the index of any archive.

use toro_initrd::Index;
use toro_vfs::path;

/// Reads `archive` and checks that its paths are normal, unique, found again, and lie in directories.
pub(crate) fn check(archive: &[u8]) {
    let Ok(index) = Index::new(archive) else {
        return;
    };
    let entries: Vec<_> = index.entries().collect();
    assert_eq!(entries.len(), index.len());
    for (at, (entry, bytes)) in entries.iter().enumerate() {
        if entry.is_empty() {
            assert_eq!(
                (at, *bytes),
                (0, None),
                "the root is the first and a directory"
            );
            continue;
        }
        assert_eq!(path::normalise(entry).as_deref(), Ok(*entry));
        assert_ne!(*entry, entries[at - 1].0);
        assert_eq!(index.file(entry), *bytes);
        let parent = entry.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(index.file(parent).is_none());
    }
}
