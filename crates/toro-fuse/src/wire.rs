//! The bytes of messages: [`Args`] puts arguments together, [`Reader`] takes answers apart.
//!
//! Numbers are little-endian and packed as in Linux' `include/uapi/linux/fuse.h` (protocol 7.31), which is the specification.

/// Bytes of the header of a message (`fuse_in_header`).
pub(crate) const IN_HEADER: usize = 40;
/// Bytes of the header of an answer (`fuse_out_header`).
pub(crate) const OUT_HEADER: usize = 16;
/// The node of the root.
pub(crate) const ROOT: u64 = 1;

/// What a message asks for (`fuse_opcode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Opcode {
    Lookup = 1,
    Forget = 2,
    Getattr = 3,
    Setattr = 4,
    Readlink = 5,
    Mkdir = 9,
    Unlink = 10,
    Rmdir = 11,
    Open = 14,
    Read = 15,
    Write = 16,
    Statfs = 17,
    Release = 18,
    Fsync = 20,
    Init = 26,
    Opendir = 27,
    Readdir = 28,
    Releasedir = 29,
    Create = 35,
    BatchForget = 42,
    Readdirplus = 44,
    Rename2 = 45,
    Syncfs = 50,
}

/// The most bytes of arguments: those of `fuse_setattr_in`.
const MOST: usize = 88;

/// The fixed arguments of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args {
    bytes: [u8; MOST],
    len: usize,
}

impl Args {
    /// None so far.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; MOST],
            len: 0,
        }
    }

    /// One number more.
    pub(crate) fn u32(self, value: u32) -> Self {
        self.push(&value.to_le_bytes())
    }

    /// One number more.
    pub(crate) fn u64(self, value: u64) -> Self {
        self.push(&value.to_le_bytes())
    }

    /// Zeros that nobody looks at.
    pub(crate) fn zeros(mut self, len: usize) -> Self {
        self.len += len;
        self
    }

    fn push(mut self, bytes: &[u8]) -> Self {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads the bytes of an answer from the front; `None` where they end too soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Reader};

    #[test]
    fn what_is_put_together_is_taken_apart() {
        let args = Args::new().u32(7).u64(1 << 40).zeros(2).u32(9);
        let mut reader = Reader(args.as_bytes());
        assert_eq!(reader.u32(), Some(7));
        assert_eq!(reader.u64(), Some(1 << 40));
        assert_eq!(reader.u16(), Some(0));
        assert_eq!(reader.bytes(5), None);
        assert_eq!(reader.bytes(4), Some(&[9, 0, 0, 0][..]));
        assert_eq!(reader.u16(), None);
    }
}
