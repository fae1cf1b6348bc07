//! [`Ram`]: host memory that the guest sees as its physical memory.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use torov_abi::word::{size, wide};

/// A reservation of host memory; an offset in it is a guest-physical address.
///
/// Pages are backed by the host when first touched and read as zero then. The guest may change them at any moment, so
/// nobody ever holds a reference into them: bytes are copied in and out.
#[derive(Debug)]
pub struct Ram {
    base: NonNull<u8>,
    len: u64,
    /// Between which addresses pages of a file may lie.
    file: [AtomicU64; 2],
}

// SAFETY: `base` is a mapping that lives as long as the value and belongs to no thread; all accesses go through raw
// pointers or atomics, as for memory shared with another process.
unsafe impl Send for Ram {}
// SAFETY: as above; no method hands out a reference into the memory.
unsafe impl Sync for Ram {}

impl Ram {
    /// Reserves `len` bytes, a whole number of pages. Nothing is backed yet.
    ///
    /// # Errors
    /// What the host says to so large a mapping.
    pub fn try_new(len: u64) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping at an address of the host's choice replaces nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size(len),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        let base = mapped(base)?;
        let file = [AtomicU64::new(u64::MAX), AtomicU64::new(0)];
        Ok(Self { base, len, file })
    }

    /// How many bytes are reserved.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is reserved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address in this process of guest-physical `gpa`.
    ///
    /// # Panics
    /// If `len` bytes from there are not all inside.
    pub(crate) fn at(&self, gpa: u64, len: u64) -> NonNull<u8> {
        let end = gpa.checked_add(len).expect("the range does not wrap");
        assert!(end <= self.len, "{gpa:#x}+{len:#x} is outside of the RAM");
        // SAFETY: `gpa <= self.len`, so the result is inside the mapping or one past it.
        unsafe { self.base.add(size(gpa)) }
    }

    /// The address in this process of guest-physical `gpa`, for the virtual machine's memory slots.
    #[must_use]
    pub fn host_address(&self, gpa: u64) -> u64 {
        wide(self.at(gpa, 0).as_ptr().addr())
    }

    /// Reads the aligned word at `gpa`.
    ///
    /// # Panics
    /// If `gpa` is outside or not a multiple of 8.
    #[must_use]
    pub fn load(&self, gpa: u64) -> u64 {
        self.word(gpa).load(Ordering::Relaxed)
    }

    /// Writes the aligned word at `gpa`.
    ///
    /// # Panics
    /// If `gpa` is outside or not a multiple of 8.
    pub fn store(&self, gpa: u64, value: u64) {
        // Release: whoever sees a page-table entry sees what was put into the page before.
        self.word(gpa).store(value, Ordering::Release);
    }

    /// The aligned half word at `gpa`, which guest and monitor change as they like.
    ///
    /// # Panics
    /// If `gpa` is outside or not a multiple of 4.
    #[must_use]
    pub fn shared_word(&self, gpa: u64) -> &AtomicU32 {
        assert!(gpa.is_multiple_of(4), "{gpa:#x} is not aligned");
        let at = self.at(gpa, 4).as_ptr().cast();
        // SAFETY: `at` checked that 4 bytes lie inside the mapping, which lives as long as `self`; they are aligned.
        unsafe { AtomicU32::from_ptr(at) }
    }

    fn word(&self, gpa: u64) -> &AtomicU64 {
        assert!(gpa.is_multiple_of(8), "{gpa:#x} is not aligned");
        let at = self.at(gpa, 8).as_ptr().cast();
        // SAFETY: `at` checked that 8 bytes lie inside the mapping, which lives as long as `self`; they are aligned.
        unsafe { AtomicU64::from_ptr(at) }
    }

    /// Copies out `bytes.len()` bytes from `gpa` on.
    ///
    /// # Panics
    /// If they are not all inside.
    pub fn read(&self, gpa: u64, bytes: &mut [u8]) {
        let from = self.at(gpa, wide(bytes.len())).as_ptr();
        // SAFETY: the source is inside the mapping, the target is exclusively ours, and they cannot overlap: the
        // mapping is never lent as a slice.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Copies `bytes` in from `gpa` on.
    ///
    /// # Panics
    /// If they do not fit inside.
    pub fn write(&self, gpa: u64, bytes: &[u8]) {
        let to = self.at(gpa, wide(bytes.len())).as_ptr();
        // SAFETY: as in `read`, the other way round.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Gives pages back to the host; they read as zero afterwards, and every translation to them is gone.
    pub(crate) fn discard(&self, gpa: u64, len: u64) {
        let at: *mut libc::c_void = self.at(gpa, len).as_ptr().cast();
        // SAFETY: the range is inside our private mapping, and no one holds a reference into it.
        let result = unsafe { libc::madvise(at, size(len), libc::MADV_DONTNEED) };
        assert_eq!(result, 0, "MADV_DONTNEED of our own memory cannot fail");
        let [start, end] = [&self.file[0], &self.file[1]].map(|word| word.load(Ordering::Relaxed));
        if gpa < end && start < gpa + len && self.map(gpa, len, None).is_err() {
            // The host has no room for another mapping: what the file holds is covered by zeros.
            // SAFETY: as above.
            unsafe { ptr::write_bytes(at.cast::<u8>(), 0, size(len)) };
        }
    }

    /// Lets the pages from `gpa` on be those of `file` from `offset` on, which nobody changes by writing here. No one uses
    /// them yet.
    ///
    /// # Errors
    /// What the host says of such a mapping.
    pub(crate) fn read_from(
        &self,
        gpa: u64,
        len: u64,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> io::Result<()> {
        self.file[0].fetch_min(gpa, Ordering::Relaxed);
        self.file[1].fetch_max(gpa + len, Ordering::Relaxed);
        self.map(gpa, len, Some((file, offset)))
    }

    /// Puts a new private mapping in the place of a part of ours: of a file, or of nothing.
    fn map(&self, gpa: u64, len: u64, file: Option<(BorrowedFd<'_>, u64)>) -> io::Result<()> {
        let at = self.at(gpa, len).as_ptr().cast();
        let (kind, fd, offset) = match file {
            Some((file, offset)) => (0, file.as_raw_fd(), offset),
            None => (libc::MAP_ANONYMOUS, -1, 0),
        };
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the range is inside our mapping and keeps its rights; no one holds a reference into it.
        let mapped = unsafe {
            libc::mmap(
                at,
                size(len),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_NORESERVE | libc::MAP_FIXED | kind,
                fd,
                offset,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Makes the host drop every translation to these pages, and keeps what they hold.
    ///
    /// # Errors
    /// What the host says, such as having no memory to split its mapping.
    pub(crate) fn forget_translations(&self, gpa: u64, len: u64) -> io::Result<()> {
        let at = self.at(gpa, len).as_ptr().cast();
        for rights in [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
            // SAFETY: the range is inside our mapping; a processor or a copy that writes to it in between gets a
            // fault that is tried again or told to the guest.
            if unsafe { libc::mprotect(at, size(len), rights) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing points into it any more: spans borrow the `Ram`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), size(self.len)) };
    }
}

fn mapped(result: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    if result == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(result.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::Ram;

    #[test]
    fn what_is_written_is_read_until_discarded() {
        let ram = Ram::try_new(0x4000).unwrap();
        ram.write(0x1ffe, b"abcd");
        let mut bytes = [0; 4];
        ram.read(0x1ffe, &mut bytes);
        assert_eq!(&bytes, b"abcd");
        ram.forget_translations(0x1000, 0x2000).unwrap();
        ram.read(0x1ffe, &mut bytes);
        assert_eq!(&bytes, b"abcd");
        ram.discard(0x1000, 0x1000);
        ram.read(0x1ffe, &mut bytes);
        assert_eq!(&bytes, b"\0\0cd");
    }

    #[test]
    #[should_panic(expected = "outside of the RAM")]
    fn nothing_is_read_outside() {
        Ram::try_new(0x1000).unwrap().read(0xfff, &mut [0; 2]);
    }
}
