//! The newc format of cpio: a header of hexadecimal digits, the name, the data.

use alloc::borrow::Cow;

use crate::entry::{Cause, Content, Entry, Member};
use crate::{name, number};

const HEADER_LEN: usize = 110;
/// Name and data end on a multiple of this.
const ALIGNMENT: usize = 4;
const TRAILER: &[u8] = b"TRAILER!!!";

const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_SYMLINK: u32 = 0o120_000;

/// Inode and device: the same for all names of a file.
pub(crate) type FileKey = [u32; 3];

/// Whether `bytes` start with a newc header, with or without checksum.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(b"070701") || bytes.starts_with(b"070702")
}

/// Reads the member at the start of `bytes`.
pub(crate) fn member(bytes: &[u8]) -> Result<Member<'_>, Cause> {
    let header = bytes.get(..HEADER_LEN).ok_or(Cause::Truncated)?;
    let field = |index: usize| {
        let start = 6 + index * 8;
        number::hexadecimal(&header[start..start + 8]).ok_or(Cause::BadNumber)
    };
    let (inode, mode, links, modified) = (field(0)?, field(1)?, field(4)?, field(5)?);
    let (data_len, name_len) = (length(field(6)?)?, length(field(11)?)?);

    let name = bytes[HEADER_LEN..]
        .get(..name_len)
        .ok_or(Cause::Truncated)?;
    let data_start = (HEADER_LEN + name_len).next_multiple_of(ALIGNMENT);
    let data = bytes
        .get(data_start..)
        .and_then(|rest| rest.get(..data_len));
    let data = data.ok_or(Cause::Truncated)?;
    let len = (data_start + data_len).next_multiple_of(ALIGNMENT);

    let name = name.strip_suffix(&[0]).ok_or(Cause::BadName)?;
    if name == TRAILER {
        return Ok(Member { entry: None, len });
    }
    let path = name::entry_path(Cow::Borrowed(name))?;
    let key = [inode, field(7)?, field(8)?];
    let is_shared = mode & TYPE_MASK == TYPE_FILE && links > 1;
    let content = match mode & TYPE_MASK {
        // cpio stores the data with the last name of a file.
        TYPE_FILE if is_shared && data.is_empty() => Some(Content::Shared(key)),
        TYPE_FILE => Some(Content::File(data)),
        TYPE_DIRECTORY => Some(Content::Directory),
        TYPE_SYMLINK => name::symbolic_target(&path, data)
            .map(Cow::Owned)
            .map(Content::Link),
        _ => None,
    };
    let provides = (is_shared && !data.is_empty()).then_some(key);
    let modified = u64::from(modified);
    let entry = content.map(|content| Entry {
        path,
        content,
        modified,
        provides,
    });
    Ok(Member { entry, len })
}

fn length(field: u32) -> Result<usize, Cause> {
    usize::try_from(field).map_err(|_| Cause::BadNumber)
}
