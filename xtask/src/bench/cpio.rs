//! Writes a cpio archive in the `newc` format, which the Linux kernel unpacks as its first file system.

/// An archive that is being written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

impl Archive {
    /// Adds a folder; its parents must have been added before.
    pub(crate) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, &[]);
    }

    /// Adds a file that everyone may read and run.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE | 0o755, content);
    }

    /// Ends the archive and returns its bytes, padded as a boot module.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        let len = toro_archive::module_len(self.bytes.len() as u64);
        self.bytes
            .resize(usize::try_from(len).expect("it fits in memory"), 0);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let len = u32::try_from(content.len()).expect("a file in an archive is below 4 GiB");
        let name_len = u32::try_from(path.len() + 1).expect("a path is short");
        // inode, mode, uid, gid, links, time, size, device (2), device of the node (2), name size, checksum
        let fields = [self.entries, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn pads_names_and_contents_to_words() {
        let mut archive = Archive::default();
        archive.folder("d");
        archive.file("d/f", b"12345");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..6], b"070701");
        // Header of 110 bytes, "d\0" and no padding; then the file's header.
        assert_eq!(&bytes[112..118], b"070701");
        let size = &bytes[112 + 6 + 6 * 8..112 + 6 + 7 * 8];
        assert_eq!(size, b"00000005");
        assert_eq!(bytes.windows(10).filter(|w| w == b"TRAILER!!!").count(), 1);
    }
}
