//! [`Space`]: how many bytes are taken of how many.

use toro_vfs::FileError;

/// Counts what is taken against a limit.
#[derive(Debug)]
pub(crate) struct Space {
    limit: usize,
    taken: usize,
}

impl Space {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, taken: 0 }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), FileError> {
        if self.limit - self.taken < bytes {
            return Err(FileError::NoSpace);
        }
        self.taken += bytes;
        Ok(())
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.taken -= bytes;
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}
