//! [`Reader`]: the disk as the library wants to read it.

use alloc::boxed::Box;
use core::error::Error;

use ext4_view::Ext4Read;
use toro_cache::Cache;

/// Reads bytes of the disk through the cache.
pub(crate) struct Reader(pub(crate) Cache);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        start: u64,
        bytes: &mut [u8],
    ) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        self.0
            .read(start, bytes)
            .map_err(|error| Box::new(error).into())
    }
}
