//! The symbol table that the finished image carries, for backtraces that name functions.
//!
//! `xtask` takes it from the linked image and appends it as the last loaded segment, then writes its place
//! into the [`Descriptor`] that the image holds under the name [`DESCRIPTOR`]. `toro-backtrace` reads it.
//!
//! All numbers are little endian:
//!
//! ```text
//! 0       u64   address of the first function
//! 8       u32   length of the text in bytes
//! 12      u32   number of symbols
//! 16      u32   number of blocks, one for each 128 symbols
//! 20      u32   position of the line table, 0 if there is none: see [`crate::lines`]
//! 24            128 tokens, two bytes each
//! 280           blocks: u32 text offset of the first symbol, u32 position in the stream
//! …             stream: for each symbol
//!                 varint  distance from the symbol before it, 0 for the first of a block
//!                 u8      number of codes in the name
//!                 codes   below 128: an ASCII character; else the token `code - 128`
//! ```
//!
//! A token stands for two codes, each a character or a token with a lower number, so that expanding one always
//! ends. Names of one program share most of their parts: this halves them.

mod encode;

pub use encode::{add_lines, encode};
pub(crate) use encode::{number, varint};

/// The name of the static in the image that holds the [`Descriptor`].
pub const DESCRIPTOR: &str = "TORO_SYMBOLS";

/// The first word of a [`Descriptor`]: "TOROSYMS".
pub const MAGIC: u64 = u64::from_le_bytes(*b"TOROSYMS");

/// Where the finished image keeps its table: four words of eight bytes each.
///
/// [`MAGIC`] first, then the address and the length of the table, and what tells this build from others; all 0 in an image that
/// was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The address of the table once the image is loaded.
    pub addr: u64,
    /// The length of the table in bytes.
    pub len: u64,
    /// The same for the same loaded bytes, and by all odds another for others.
    pub build_id: u64,
}

impl Descriptor {
    /// The bytes of the static, as the tool writes them.
    pub fn to_bytes(self) -> [u8; DESCRIPTOR_LEN] {
        let mut bytes = [0; DESCRIPTOR_LEN];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.addr.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.len.to_le_bytes());
        bytes[24..].copy_from_slice(&self.build_id.to_le_bytes());
        bytes
    }
}

/// The bytes of a [`Descriptor`].
pub const DESCRIPTOR_LEN: usize = 32;

/// Symbols in a block: what a lookup scans after its binary search.
pub const BLOCK: usize = 128;

/// The number of tokens.
pub const TOKENS: usize = 128;

/// The offset of the position of the line table.
pub const LINES_AT: usize = 20;

/// The offset of the tokens in the table.
pub const TOKENS_AT: usize = 24;

/// The offset of the blocks in the table.
pub const BLOCKS_AT: usize = TOKENS_AT + 2 * TOKENS;

/// The bytes of one block entry.
pub const BLOCK_LEN: usize = 8;

/// The longest name that is kept, in characters; the rest is cut.
pub const NAME_MAX: usize = 96;
