//! The ustar format, with GNU's long names and the pax headers for path, link, size and time.
//!
//! A member is a header of 512 bytes and its data, padded to 512. Long names come as members of their own in front of
//! the one they belong to; [`Extended`] keeps them until then.

use alloc::borrow::Cow;

use crate::entry::{Cause, Content, Entry, Member};
use crate::{name, number};

const BLOCK: usize = 512;
const MAGIC: core::ops::Range<usize> = 257..262;
const CHECKSUM: core::ops::Range<usize> = 148..156;

/// What headers in front of a member say of it, stronger than its own header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extended<'a> {
    path: Option<&'a [u8]>,
    link: Option<&'a [u8]>,
    size: Option<u64>,
    modified: Option<u64>,
}

/// Whether `bytes` start with a header of ustar or of GNU's tar.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    bytes.get(MAGIC) == Some(b"ustar")
}

/// Whether `bytes` start with a header whose checksum is right.
pub(crate) fn is_valid_header(bytes: &[u8]) -> bool {
    is_header(bytes)
        && bytes
            .first_chunk()
            .is_some_and(|header| check_sum(header).is_ok())
}

/// Reads the member at the start of `bytes`, which takes what is known from `extended` or adds to it.
pub(crate) fn member<'a>(
    bytes: &'a [u8],
    extended: &mut Extended<'a>,
) -> Result<Member<'a>, Cause> {
    let (header, rest) = bytes.split_first_chunk::<BLOCK>().ok_or(Cause::Truncated)?;
    check_sum(header)?;
    let kind = header[156];
    let describes_next = matches!(kind, b'L' | b'K' | b'x' | b'g');
    let known = if describes_next {
        Extended::default()
    } else {
        core::mem::take(extended)
    };
    let data = data(header, rest, known.size)?;
    match kind {
        b'L' => extended.path = Some(name::until_nul(data)),
        b'K' => extended.link = Some(name::until_nul(data)),
        b'x' => read_pax(data, extended)?,
        _ => {}
    }
    let entry = if describes_next {
        None
    } else {
        entry(header, data, &known)?
    };
    Ok(Member {
        entry,
        len: BLOCK + data.len().next_multiple_of(BLOCK),
    })
}

fn entry<'a>(
    header: &'a [u8; BLOCK],
    data: &'a [u8],
    known: &Extended<'a>,
) -> Result<Option<Entry<'a>>, Cause> {
    let name = known
        .path
        .map_or_else(|| header_name(header), Cow::Borrowed);
    let is_directory_name = name.ends_with(b"/");
    let link = known
        .link
        .unwrap_or_else(|| name::until_nul(&header[157..257]));
    let kind = header[156];
    if kind == b'S' {
        return Err(Cause::Sparse);
    }
    if !matches!(kind, 0 | b'0' | b'1' | b'2' | b'5' | b'7') {
        return Ok(None);
    }
    let path = name::entry_path(name)?;
    let content = match kind {
        b'5' => Content::Directory,
        b'1' => Content::Link(name::entry_path(Cow::Borrowed(link))?),
        b'2' => match name::symbolic_target(&path, link) {
            Some(target) => Content::Link(Cow::Owned(target)),
            None => return Ok(None),
        },
        // How archives from before ustar mark directories.
        _ if is_directory_name => Content::Directory,
        _ => Content::File(data),
    };
    // A time that makes no sense is no reason to refuse the file.
    let modified = known
        .modified
        .or_else(|| number::ustar(&header[136..148]))
        .unwrap_or(0);
    Ok(Some(Entry {
        path,
        content,
        modified,
        provides: None,
    }))
}

/// The data of a member, without padding.
fn data<'a>(header: &[u8; BLOCK], rest: &'a [u8], size: Option<u64>) -> Result<&'a [u8], Cause> {
    // A hard link has no data, whatever its size says.
    if header[156] == b'1' {
        return Ok(&[]);
    }
    let size = size
        .or_else(|| number::ustar(&header[124..136]))
        .ok_or(Cause::BadNumber)?;
    let size = usize::try_from(size).map_err(|_| Cause::BadNumber)?;
    rest.get(..size).ok_or(Cause::Truncated)
}

/// The name in the header itself; ustar may have cut its front off into the prefix.
fn header_name(header: &[u8; BLOCK]) -> Cow<'_, [u8]> {
    let name = name::until_nul(&header[..100]);
    // GNU's own format, which has a blank behind the magic, keeps other things at the prefix.
    let prefix = if header[262] == 0 {
        name::until_nul(&header[345..500])
    } else {
        b""
    };
    if prefix.is_empty() {
        Cow::Borrowed(name)
    } else {
        Cow::Owned([prefix, b"/", name].concat())
    }
}

/// The bytes of the header must add up to its checksum, which itself counts as blanks.
fn check_sum(header: &[u8; BLOCK]) -> Result<(), Cause> {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    let blanks = u64::from(b' ') * CHECKSUM.len() as u64;
    let expected = sum(header) - sum(&header[CHECKSUM]) + blanks;
    if number::ustar(&header[CHECKSUM]) == Some(expected) {
        Ok(())
    } else {
        Err(Cause::BadChecksum)
    }
}

/// Reads the records of a pax header: `LENGTH KEY=VALUE\n`, where the length counts all of it.
fn read_pax<'a>(mut records: &'a [u8], extended: &mut Extended<'a>) -> Result<(), Cause> {
    while !records.is_empty() {
        let (key, value, rest) = split_pax_record(records).ok_or(Cause::BadPaxRecord)?;
        match key {
            b"path" => extended.path = Some(value),
            b"linkpath" => extended.link = Some(value),
            b"size" => extended.size = Some(number::decimal(value).ok_or(Cause::BadNumber)?),
            b"mtime" => {
                let seconds = value.split(|&byte| byte == b'.').next().unwrap_or(value);
                extended.modified = number::decimal(seconds);
            }
            _ if key.starts_with(b"GNU.sparse.") => return Err(Cause::Sparse),
            _ => {}
        }
        records = rest;
    }
    Ok(())
}

fn split_pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().position(|&byte| byte == b' ')?;
    let len = usize::try_from(number::decimal(&bytes[..blank])?).ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}
