//! Field values: numbers, comma-separated lists and the authority in `Host`.

use crate::charset::{self, NAME};

/// Reads a non-empty run of decimal digits; `None` for anything else or a number past 64 bits.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The non-empty elements of a list without quoted strings, trimmed.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
}

/// Whether the list holds `token` in any case.
pub(crate) fn has_token(value: &[u8], token: &[u8]) -> bool {
    elements(value).any(|part| part.eq_ignore_ascii_case(token))
}

/// Whether `value` is `uri-host [ ":" port ]` (RFC 9110, 7.2); the host may be empty.
pub(crate) fn is_authority(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        return is_bracketed_authority(rest);
    }
    // Most hosts are plain up to their end or port.
    let plain = value.iter().position(|byte| !charset::is(*byte, NAME));
    let Some(plain) = plain else {
        return true;
    };
    let colon = value[plain..].iter().position(|byte| *byte == b':');
    let (host, port) = match colon {
        Some(at) => (&value[plain..plain + at], &value[plain + at + 1..]),
        None => (&value[plain..], &[][..]),
    };
    charset::all_or_escaped(host, NAME) && port.iter().all(u8::is_ascii_digit)
}

/// The part after the bracket that opens an IPv6 or later address.
fn is_bracketed_authority(rest: &[u8]) -> bool {
    let Some(end) = rest.iter().position(|byte| *byte == b']') else {
        return false;
    };
    let (address, port) = (&rest[..end], &rest[end + 1..]);
    let digits = port.strip_prefix(b":").unwrap_or(port);
    address
        .iter()
        .all(|byte| *byte == b':' || charset::is(*byte, NAME))
        && !address.is_empty()
        && (port.is_empty() || port.starts_with(b":"))
        && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_fits_in_64_bits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"18446744073709551616",
            b"-1",
            b"+1",
            b"1 ",
            b"0x1",
            b"1,1",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_found_in_any_place_and_case() {
        assert!(has_token(b"keep-alive, Close", b"close"));
        assert!(has_token(b" ,close", b"close"));
        assert!(!has_token(b"closed", b"close"));
        assert!(!has_token(b"", b"close"));
    }

    #[test]
    fn hosts_are_names_or_bracketed_addresses_with_a_port() {
        for good in [
            &b""[..],
            b"a",
            b"a.b:80",
            b"a:",
            b"10.0.2.15:8080",
            b"[::1]",
            b"[::1]:80",
            b"%41",
        ] {
            assert!(is_authority(good), "{good:?}");
        }
        for bad in [
            &b"a b"[..],
            b"a/b",
            b"a:b",
            b"a:1:2",
            b"[::1",
            b"[]",
            b"[::1]x",
            b"u@h",
            b"a\\b",
            b"%4",
            b"a?",
            b"h\xc3\xa9",
        ] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }
}
