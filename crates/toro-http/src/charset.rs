//! The character sets that a request head is made of, as one table of bits.

/// `pchar` and the slash: what a path may hold unescaped.
pub(crate) const PATH: u8 = 1;
/// What a query may hold: RFC 3986, and the brackets, braces, bar, caret and grave that browsers do not escape there.
pub(crate) const QUERY: u8 = 2;
/// `unreserved` and `sub-delims`: a registered name, without its escapes.
pub(crate) const NAME: u8 = 4;

/// `tchar` of RFC 9110, 5.6.2: methods and the names of fields.
pub(crate) const TOKEN: u8 = 8;
/// What a field value may hold: all but control characters other than the tab.
pub(crate) const VALUE: u8 = 16;

const CLASSES: [u8; 256] = classes();

/// Whether `byte` belongs to all the sets in `set`.
pub(crate) const fn is(byte: u8, set: u8) -> bool {
    CLASSES[byte as usize] & set != 0
}

/// Whether every byte belongs to `set` or starts a percent escape of two hex digits.
pub(crate) fn all_or_escaped(text: &[u8], set: u8) -> bool {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte == b'%' {
            match text.get(at + 1..at + 3) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => at += 3,
                _ => return false,
            }
        } else if is(*byte, set) {
            at += 1;
        } else {
            return false;
        }
    }
    true
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    mark(
        &mut table,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~",
        7,
    );
    mark(&mut table, b"!$&'()*+,;=", 7);
    mark(&mut table, b":@/", PATH | QUERY);
    mark(&mut table, b"?[]{}|^`", QUERY);
    mark(
        &mut table,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        TOKEN,
    );
    mark(&mut table, b"0123456789!#$%&'*+-.^_`|~", TOKEN);
    table[b'\t' as usize] |= VALUE;
    let mut byte = 0x20;
    while byte < table.len() {
        if byte != 0x7f {
            table[byte] |= VALUE;
        }
        byte += 1;
    }
    table
}

const fn mark(table: &mut [u8; 256], members: &[u8], set: u8) {
    let mut at = 0;
    while at < members.len() {
        table[members[at] as usize] |= set;
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_no_byte_that_would_need_an_escape() {
        for byte in b"\0\r\n \"#%<>?[\\]^`{|}\x7f\x80\xff" {
            assert!(!is(*byte, PATH), "{byte:#x}");
        }
        assert!(
            b"/a-b_c~d.e/f:g@h!$&'()*+,;="
                .iter()
                .all(|byte| is(*byte, PATH))
        );
    }

    #[test]
    fn an_escape_needs_two_hex_digits() {
        assert!(all_or_escaped(b"a%2Fb%c3", NAME));
        assert!(!all_or_escaped(b"a%2", NAME));
        assert!(!all_or_escaped(b"a%", NAME));
        assert!(!all_or_escaped(b"a%2g", NAME));
    }
}
