//! [`MountSpec`]: a mount as the command line writes it, `mount=/data:fat:blk0`.

use core::fmt;

use crate::path;

/// A mount that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountSpec<'a> {
    /// Where, beginning with a slash.
    pub path: &'a str,
    /// Which kind of file system: `fat`, `ext4`, `ram`, `virtiofs`.
    pub kind: &'a str,
    /// What is mounted: a device (`blk0`, `blk0p1`), a folder of the host (`fs0`), or the size of a RAM disk. May be empty.
    pub source: &'a str,
    /// The mount shall not be written to.
    pub read_only: bool,
    /// The service can do without it.
    pub is_optional: bool,
}

impl<'a> MountSpec<'a> {
    /// Reads `PATH:KIND[:SOURCE[:OPTION[,OPTION]]]`, what stands behind `mount=`; the options are `ro` and `optional`.
    ///
    /// # Errors
    /// Tells what is wrong with it.
    pub fn parse(word: &'a str) -> Result<Self, MountSpecError> {
        let mut parts = word.split(':');
        let path = parts.next().unwrap_or("");
        if !path.starts_with('/') || path::normalise(path).is_err() {
            return Err(MountSpecError::Path);
        }
        let kind = parts.next().filter(|kind| !kind.is_empty());
        let kind = kind.ok_or(MountSpecError::Kind)?;
        let source = parts.next().unwrap_or("");
        let mut spec = Self {
            path,
            kind,
            source,
            read_only: false,
            is_optional: false,
        };
        for option in parts.next().into_iter().flat_map(|part| part.split(',')) {
            match option {
                "ro" => spec.read_only = true,
                "optional" => spec.is_optional = true,
                _ => return Err(MountSpecError::Option),
            }
        }
        match parts.next() {
            None => Ok(spec),
            Some(_) => Err(MountSpecError::Option),
        }
    }
}

/// What is wrong with a [`MountSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountSpecError {
    /// The path does not begin with a slash or is not valid.
    Path,
    /// No kind of file system is given.
    Kind,
    /// Something other than `ro` and `optional` follows the source.
    Option,
}

impl fmt::Display for MountSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "the path of a mount begins with a slash",
            Self::Kind => "a mount is PATH:KIND:SOURCE, and there is no kind",
            Self::Option => {
                "what follows the source of a mount is `ro`, `optional` or `ro,optional`"
            }
        })
    }
}

impl core::error::Error for MountSpecError {}

#[cfg(test)]
mod tests {
    use super::{MountSpec, MountSpecError};

    fn check(word: &str, expected: Result<(&str, &str, &str, bool), MountSpecError>) {
        let spec = MountSpec::parse(word);
        let found = spec.map(|spec| (spec.path, spec.kind, spec.source, spec.read_only));
        assert_eq!(found, expected, "{word:?}");
    }

    #[test]
    fn words_are_read() {
        check("/data:fat:blk0", Ok(("/data", "fat", "blk0", false)));
        check("/:virtiofs:fs0:ro", Ok(("/", "virtiofs", "fs0", true)));
        check("/tmp:ram:16M", Ok(("/tmp", "ram", "16M", false)));
        check("/tmp:ram", Ok(("/tmp", "ram", "", false)));
        check("", Err(MountSpecError::Path));
        check("data:fat:blk0", Err(MountSpecError::Path));
        check("/data", Err(MountSpecError::Kind));
        check("/data::blk0", Err(MountSpecError::Kind));
        check("/data:fat:blk0:sync", Err(MountSpecError::Option));
        check("/data:fat:blk0:ro:ro", Err(MountSpecError::Option));
        check("/data:fat:blk0:", Err(MountSpecError::Option));
    }

    #[test]
    fn options_follow_each_other() {
        let options = |word| {
            let spec = MountSpec::parse(word).unwrap();
            (spec.read_only, spec.is_optional)
        };
        assert_eq!(options("/data:fat:blk0:ro,optional"), (true, true));
        assert_eq!(options("/data:fat:blk0:optional"), (false, true));
        assert_eq!(options("/data:ram::ro"), (true, false));
    }
}
