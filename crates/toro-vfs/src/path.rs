//! Paths: [`normalise`], done once where a path enters.
//!
//! The normal form has no leading slash, no empty component, no `.` and no `..`: `a/b`, and the empty string for the
//! root. `..` is resolved lexically and stops at the root, so no path leaves its mount upwards.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::FileError;

/// Longest path in bytes, before and after it is normalised.
pub const PATH_MAX: usize = 4096;

/// Brings `path` to the normal form. A path without leading slash starts at the root as well.
///
/// Borrows where the path is `/` and a normal form already.
///
/// # Errors
/// [`FileError::InvalidPath`] if the path is empty, longer than [`PATH_MAX`] or holds a NUL.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, FileError> {
    if path.is_empty() || path.len() > PATH_MAX || path.contains('\0') {
        return Err(FileError::InvalidPath);
    }
    let relative = path.strip_prefix('/').unwrap_or(path);
    if relative.is_empty() || relative.split('/').all(is_plain) {
        return Ok(Cow::Borrowed(relative));
    }
    let mut normal = String::with_capacity(relative.len());
    for component in relative.split('/') {
        match component {
            "" | "." => {}
            ".." => normal.truncate(normal.rfind('/').unwrap_or(0)),
            name => {
                if !normal.is_empty() {
                    normal.push('/');
                }
                normal.push_str(name);
            }
        }
    }
    Ok(Cow::Owned(normal))
}

/// What remains of `path` below `prefix`, both in normal form.
///
/// `a/b` lies below the empty prefix, `a` and `a/b`, but not below `a/` or `a/bc`.
pub fn below<'p>(prefix: &str, path: &'p str) -> Option<&'p str> {
    if prefix.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

fn is_plain(component: &str) -> bool {
    !matches!(component, "" | "." | "..")
}
