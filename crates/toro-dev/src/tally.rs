//! [`Tally`]: how often something was asked of a device or a file system, and what became of it.

/// Operations of one kind, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that were carried out.
    pub done: u64,
    /// Those that were not.
    pub failed: u64,
    /// Bytes that those that were carried out have moved.
    pub bytes: u64,
    /// Nanoseconds that all of them took, one after the other; those under way at the same time count each.
    pub nanos: u64,
}

impl Tally {
    /// Counts an operation that has moved so many bytes, or has failed if that is `None`, and took so many nanoseconds.
    pub fn add(&mut self, moved: Option<u64>, nanos: u64) {
        match moved {
            Some(bytes) => {
                self.done += 1;
                self.bytes = self.bytes.wrapping_add(bytes);
            }
            None => self.failed += 1,
        }
        self.nanos = self.nanos.wrapping_add(nanos);
    }
}
