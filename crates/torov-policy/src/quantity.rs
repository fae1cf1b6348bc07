//! Amounts as people write them: `64MiB`, `1.5s`.

use std::time::Duration;

const BYTES: [(&str, u64); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

/// Reads a number of bytes: `4096`, `64MiB`, `64M` (the same), `1GB`.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = BYTES
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .unwrap_or((text, 1));
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

/// Reads a time: `500ms`, `30s`, `5m`.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (digits, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let millis = digits.trim().parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, time};

    #[test]
    fn amounts_are_read() {
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("64M"), Some(64 << 20));
        assert_eq!(bytes("1 KB"), Some(1000));
        assert_eq!(bytes("12"), Some(12));
        assert_eq!(time("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(time("2m"), Some(Duration::from_secs(120)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MiB", "-1", "1.5M", "99999999999GiB", "1 parsec"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for text in ["", "5", "s", "-1s"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
