//! [`Memory`]: an amount of memory as QEMU's `-m` takes it.

use std::fmt;
use std::ops::Mul;
use std::str::FromStr;

/// An amount of memory in whole KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Memory {
    kib: u64,
}

/// The text is no amount of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseMemoryError(String);

impl fmt::Display for ParseMemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an amount of memory as in 64M or 1G", self.0)
    }
}

impl std::error::Error for ParseMemoryError {}

impl Memory {
    /// One MiB.
    pub(crate) const MIB: Self = Self { kib: 1024 };

    /// The amount in bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.kib * 1024
    }

    /// The argument of `-m`.
    pub(crate) fn qemu(self) -> String {
        if self.kib.is_multiple_of(1024) {
            format!("{}M", self.kib / 1024)
        } else {
            format!("{}K", self.kib)
        }
    }
}

impl Mul<u64> for Memory {
    type Output = Self;

    fn mul(self, factor: u64) -> Self {
        Self {
            kib: self.kib * factor,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.qemu())
    }
}

impl FromStr for Memory {
    type Err = ParseMemoryError;

    fn from_str(text: &str) -> Result<Self, ParseMemoryError> {
        let (digits, unit) = match text.strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']) {
            Some(digits) => (digits, text.as_bytes()[digits.len()].to_ascii_uppercase()),
            None => (text, b'M'),
        };
        let scale = match unit {
            b'K' => 1,
            b'M' => 1024,
            _ => 1024 * 1024,
        };
        let kib = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(scale));
        kib.filter(|kib| (1..=1 << 32).contains(kib))
            .map(|kib| Self { kib })
            .ok_or_else(|| ParseMemoryError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    fn check(text: &str, expected: Option<&str>) {
        let memory = text.parse::<Memory>().ok().map(|memory| memory.qemu());
        assert_eq!(memory.as_deref(), expected, "{text}");
    }

    #[test]
    fn amounts_are_read_as_qemu_reads_them() {
        check("64", Some("64M"));
        check("64M", Some("64M"));
        check("1g", Some("1024M"));
        check("2560K", Some("2560K"));
        check("2048K", Some("2M"));
        for text in ["", "M", "-1M", "0", "0G", "64MB", "1.5G", "99999999999G"] {
            check(text, None);
        }
    }
}
