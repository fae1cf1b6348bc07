//! [`DmaBuf`]: bytes that a device may read and write, owned by whoever holds it.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Buffers start on a cache line, so that two of them never share one.
const ALIGN: usize = 64;

/// There was not enough memory on this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The bytes that were asked for.
    pub len: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out of memory: {} bytes for a device buffer", self.len)
    }
}

impl core::error::Error for OutOfMemory {}

/// An owned buffer with a known bus address.
///
/// Memory is mapped one to one, so the bus address is the address. A queue takes the buffer while the device
/// owns it and gives it back afterwards: in between nobody can touch it, so drivers need no unsafe.
pub struct DmaBuf {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: a `DmaBuf` is the only owner of its bytes, as a `Box<[u8]>` is.
unsafe impl Send for DmaBuf {}
// SAFETY: a shared `DmaBuf` gives only shared access to plain bytes.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// Allocates `len` zeroed bytes on this core.
    ///
    /// # Errors
    /// Fails if the heap has no room.
    ///
    /// # Panics
    /// Panics if `len` is 0.
    pub fn try_new(len: usize) -> Result<Self, OutOfMemory> {
        assert!(len > 0, "a buffer holds at least one byte");
        let layout = Layout::from_size_align(len, ALIGN).map_err(|_| OutOfMemory { len })?;
        // SAFETY: the layout has a size above 0, as was asserted.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(OutOfMemory { len })?;
        Ok(Self { ptr, len })
    }

    /// Makes pages of the heap a buffer.
    ///
    /// # Safety
    /// 1. The heap of this core has handed out the `len` bytes at `ptr`, to be freed with a layout of that length, and nobody else uses them.
    /// 2. They may be read: they are memory of the machine, which holds something, whoever has written it.
    #[cfg(not(loom))]
    pub(crate) unsafe fn from_pages(ptr: NonNull<u8>, len: usize) -> Self {
        Self { ptr, len }
    }

    /// The address under which a device finds the first byte.
    pub fn bus_addr(&self) -> u64 {
        self.ptr.as_ptr() as u64
    }
}

impl Deref for DmaBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `ptr` came from an allocation of `len` bytes that were zeroed, and `self` owns it.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for DmaBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.len, ALIGN).expect("this layout was allocated");
        // SAFETY: `ptr` was allocated with this layout in `try_new` and is freed once, here.
        unsafe { dealloc(self.ptr.as_ptr(), layout) }
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBuf({:#x}, {} bytes)", self.bus_addr(), self.len)
    }
}
