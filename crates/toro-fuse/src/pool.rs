//! [`Pool`]: buffers of messages that are done, for the next ones.

use alloc::vec::Vec;

use toro_mem::{DmaBuf, OutOfMemory};

/// How many bytes are kept, and how many buffers.
const MOST_BYTES: usize = 4 << 20;
const MOST_BUFS: usize = 32;
/// Buffers are made in these steps, so that they fit again.
const STEP: usize = 256;

/// Buffers that nobody uses.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    bufs: Vec<DmaBuf>,
    bytes: usize,
}

impl Pool {
    /// A buffer of at least `len` bytes, with anything in it: one that is kept and not much too large, or a new one.
    pub(crate) fn take(&mut self, len: usize) -> Result<DmaBuf, OutOfMemory> {
        let suits = |buf: &DmaBuf| buf.len() >= len && buf.len() / 4 <= len.max(STEP);
        // The last ones are still in the processor's cache.
        if let Some(at) = self.bufs.iter().rposition(suits) {
            let buf = self.bufs.swap_remove(at);
            self.bytes -= buf.len();
            return Ok(buf);
        }
        DmaBuf::try_new(len.next_multiple_of(STEP))
    }

    /// Keeps a buffer, if there is room for it.
    pub(crate) fn give(&mut self, buf: DmaBuf) {
        let fits = self.bytes + buf.len() <= MOST_BYTES;
        if fits && self.bufs.len() < MOST_BUFS {
            self.bytes += buf.len();
            self.bufs.push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BUFS, MOST_BYTES, Pool};

    #[test]
    fn buffers_come_back_to_requests_of_their_size() {
        let mut pool = Pool::default();
        let small = pool.take(100).expect("memory");
        let large = pool.take(1 << 20).expect("memory");
        let (small_at, large_at) = (small.bus_addr(), large.bus_addr());
        pool.give(large);
        pool.give(small);
        assert_eq!(pool.take(200).expect("memory").bus_addr(), small_at);
        assert_ne!(pool.take(4096).expect("memory").bus_addr(), large_at);
        assert_eq!(pool.take(1 << 20).expect("memory").bus_addr(), large_at);
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = Pool::default();
        for len in [64, 1 << 20].repeat(20) {
            let buf = toro_mem::DmaBuf::try_new(len).expect("memory");
            pool.give(buf);
        }
        assert!(pool.bytes <= MOST_BYTES && pool.bufs.len() <= MOST_BUFS);
    }
}
