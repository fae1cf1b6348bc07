//! Names of members, brought to the normal form of `toro_vfs`.

use alloc::borrow::Cow;
use alloc::string::String;

use toro_vfs::path;

use crate::Cause;

/// Most components of a path: it bounds the directories that one entry can imply.
const DEPTH_MAX: usize = 64;

/// Checks and normalises the name of a member.
pub(crate) fn entry_path<'a>(name: Cow<'a, [u8]>) -> Result<Cow<'a, str>, Cause> {
    let path = match name {
        Cow::Borrowed(bytes) => normal(bytes)?,
        Cow::Owned(bytes) => Cow::Owned(normal(&bytes)?.into_owned()),
    };
    if path.split('/').count() > DEPTH_MAX {
        Err(Cause::BadName)
    } else {
        Ok(path)
    }
}

/// Where a symbolic link at `path` points, from the root; `None` if that is no valid path.
pub(crate) fn symbolic_target(path: &str, target: &[u8]) -> Option<String> {
    let target = core::str::from_utf8(target).ok()?;
    let directory = match path.rsplit_once('/') {
        Some((directory, _)) if !target.starts_with('/') => directory,
        _ => "",
    };
    let whole = [directory, "/", target].concat();
    path::normalise(&whole).ok().map(Cow::into_owned)
}

/// The bytes of a fixed field up to the first NUL.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

fn normal(bytes: &[u8]) -> Result<Cow<'_, str>, Cause> {
    let name = core::str::from_utf8(bytes).map_err(|_| Cause::BadName)?;
    if name.is_empty() || name.split('/').any(|component| component == "..") {
        return Err(Cause::BadName);
    }
    // What `tar -C directory .` writes: cut off here, the rest can be borrowed.
    let mut name = name.trim_end_matches('/');
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    if name.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    path::normalise(name).map_err(|_| Cause::BadName)
}
