//! Short names: read from code page 437, and made for long ones.

use alloc::string::String;

/// What code page 437 has above ASCII.
const UPPER: &str = "\
\u{c7}\u{fc}\u{e9}\u{e2}\u{e4}\u{e0}\u{e5}\u{e7}\u{ea}\u{eb}\u{e8}\u{ef}\u{ee}\u{ec}\u{c4}\u{c5}\
\u{c9}\u{e6}\u{c6}\u{f4}\u{f6}\u{f2}\u{fb}\u{f9}\u{ff}\u{d6}\u{dc}\u{a2}\u{a3}\u{a5}\u{20a7}\u{192}\
\u{e1}\u{ed}\u{f3}\u{fa}\u{f1}\u{d1}\u{aa}\u{ba}\u{bf}\u{2310}\u{ac}\u{bd}\u{bc}\u{a1}\u{ab}\u{bb}\
\u{2591}\u{2592}\u{2593}\u{2502}\u{2524}\u{2561}\u{2562}\u{2556}\u{2555}\u{2563}\u{2551}\u{2557}\
\u{255d}\u{255c}\u{255b}\u{2510}\u{2514}\u{2534}\u{252c}\u{251c}\u{2500}\u{253c}\u{255e}\u{255f}\
\u{255a}\u{2554}\u{2569}\u{2566}\u{2560}\u{2550}\u{256c}\u{2567}\u{2568}\u{2564}\u{2565}\u{2559}\
\u{2558}\u{2552}\u{2553}\u{256b}\u{256a}\u{2518}\u{250c}\u{2588}\u{2584}\u{258c}\u{2590}\u{2580}\
\u{3b1}\u{df}\u{393}\u{3c0}\u{3a3}\u{3c3}\u{b5}\u{3c4}\u{3a6}\u{398}\u{3a9}\u{3b4}\u{221e}\u{3c6}\
\u{3b5}\u{2229}\u{2261}\u{b1}\u{2265}\u{2264}\u{2320}\u{2321}\u{f7}\u{2248}\u{b0}\u{2219}\u{b7}\
\u{221a}\u{207f}\u{b2}\u{25a0}\u{a0}";

/// How many names are tried for one long name in a row.
pub(crate) const TRIES: u32 = 64;

/// The name that a short entry shows; `flags` says which part is in lower case.
pub(crate) fn decode(short: &[u8; 11], flags: u8) -> String {
    let mut name = String::new();
    part(&mut name, &short[..8], flags & 0x08 != 0);
    let base = name.len();
    name.push('.');
    part(&mut name, &short[8..], flags & 0x10 != 0);
    if name.len() == base + 1 {
        name.pop();
    }
    name
}

/// The short form of `name`, if that says all of it.
pub(crate) fn exact(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_plain = |part: &str| part.bytes().all(|byte| plain(byte) == byte);
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3;
    let has_dot = name.ends_with('.');
    (fits && !has_dot && is_plain(base) && is_plain(extension)).then(|| pack(base, extension))
}

/// The `nth` short name that could stand for `name`: `LONGNA~1.TXT` to `~4`, then with a number made of the name.
pub(crate) fn candidate(name: &str, round: u32, nth: u32) -> [u8; 11] {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let letters = |part: &str, most: usize| -> String {
        let kept = part.bytes().filter(|byte| !matches!(byte, b' ' | b'.'));
        kept.map(|byte| char::from(plain(byte)))
            .take(most)
            .collect()
    };
    let mut short = if round == 0 && nth < 4 {
        let mut base = letters(base, 6);
        base.push('~');
        base.push(char::from_digit(nth + 1, 10).unwrap_or('0'));
        base
    } else {
        let mut base = letters(base, 2);
        let number = hash(name, round * TRIES + nth) & 0xffff;
        base.push_str(&alloc::format!("{number:04X}~1"));
        base
    };
    if short.starts_with('~') {
        short.insert(0, '_');
        short.truncate(8);
    }
    pack(&short, &letters(extension, 3))
}

fn part(name: &mut String, bytes: &[u8], is_lower: bool) {
    let end = bytes.iter().rposition(|byte| *byte != b' ');
    for &byte in &bytes[..end.map_or(0, |last| last + 1)] {
        let letter = match byte {
            // 0xe5 would say that the slot is free; 0x05 stands for it.
            0x05 => '\u{3c3}',
            b'/' | 0..=0x1f | 0x7f => '_',
            0x80.. => UPPER.chars().nth(usize::from(byte - 0x80)).unwrap_or('_'),
            _ => char::from(byte),
        };
        name.push(if is_lower {
            letter.to_ascii_lowercase()
        } else {
            letter
        });
    }
}

/// The byte that stands for `byte` in a short name.
fn plain(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte.to_ascii_uppercase(),
        b'A'..=b'Z' | b'0'..=b'9' => byte,
        b'$' | b'%' | b'\'' | b'-' | b'_' | b'@' | b'~' | b'!' | b'(' | b')' | b'{' | b'}' => byte,
        b'^' | b'#' | b'&' | b'`' => byte,
        _ => b'_',
    }
}

fn pack(base: &str, extension: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    let parts = short[..8].iter_mut().zip(base.bytes());
    parts.for_each(|(to, from)| *to = from);
    let parts = short[8..].iter_mut().zip(extension.bytes());
    parts.for_each(|(to, from)| *to = from);
    short
}

/// FNV-1a over the name and a number.
fn hash(name: &str, number: u32) -> u32 {
    let bytes = name.bytes().chain(number.to_le_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::{UPPER, candidate, decode, exact};

    #[test]
    fn short_names_are_read() {
        let check = |short, flags, expected| assert_eq!(decode(short, flags), expected);
        check(b"README  TXT", 0, "README.TXT");
        check(b"README  TXT", 0x18, "readme.txt");
        check(b"NOEXT      ", 0, "NOEXT");
        check(b"\x05\x84      A/B", 0, "\u{3c3}\u{e4}.A_B");
        assert_eq!(UPPER.chars().count(), 128);
    }

    #[test]
    fn names_that_fit_have_no_long_form() {
        assert_eq!(exact("README.TXT"), Some(*b"README  TXT"));
        assert_eq!(exact("A_B"), Some(*b"A_B        "));
        for name in [
            "readme.txt",
            "TOOLONGNAME",
            "A B",
            "A.B.C",
            ".A",
            "\u{c4}",
            "A.TEXT",
        ] {
            assert_eq!(exact(name), None, "{name}");
        }
    }

    #[test]
    fn names_are_made() {
        let check = |name, nth, expected: &[u8; 11]| assert_eq!(&candidate(name, 0, nth), expected);
        check("A long name.html", 0, b"ALONGN~1HTM");
        check("A long name.html", 3, b"ALONGN~4HTM");
        check("\u{e4}", 0, b"__~1       ");
        check(".bashrc", 0, b"_~1     BAS");
        assert_ne!(candidate("a", 0, 4), candidate("a", 1, 4));
    }
}
