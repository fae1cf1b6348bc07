//! The names that the symbol table of an image holds.

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use toro_abi::symbols::encode;

/// Encodes the functions of the text.
pub(super) fn table(elf: &ElfFile64<'_, Endianness>) -> Vec<u8> {
    let Some(text) = elf.section_by_name(".text") else {
        return Vec::new();
    };
    let functions: Vec<(u64, String)> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text || symbol.kind() == SymbolKind::Label)
        .filter_map(|symbol| Some((symbol.address(), trimmed(symbol.name().ok()?))))
        .filter(|(_, name)| !name.is_empty())
        .collect();
    let functions: Vec<(u64, &str)> = functions
        .iter()
        .map(|(addr, name)| (*addr, name.as_str()))
        .collect();
    let Ok(len) = u32::try_from(text.size()) else {
        return Vec::new();
    };
    encode(text.address(), len, &functions)
}

/// The name as a person wrote it: demangled, without the hash, without what the compiler adds.
fn trimmed(name: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(name));
    if name.starts_with('.') || name.starts_with('$') {
        return String::new();
    }
    plain(&short(&name.replace("{{closure}}", "{}")))
        .replace("core::", "")
        .replace("alloc::", "")
}

/// The name with only the last part of each path between angle brackets: `<Vec<u8> as Debug>::fmt`.
fn short(name: &str) -> String {
    let mut shown = String::new();
    let mut depth = 0_usize;
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        if end == 0 {
            depth = match first {
                '<' => depth + 1,
                '>' => depth.saturating_sub(1),
                _ => depth,
            };
            shown.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let path = &rest[..end];
        let last = path.rsplit("::").next().unwrap_or(path);
        shown.push_str(if depth > 0 && !path.starts_with("::") {
            last
        } else {
            path
        });
        rest = &rest[end..];
    }
    shown
}

/// The name without the parameters of types and without traits: `Vec::fmt`. The debug information has them.
fn plain(name: &str) -> String {
    let mut shown = String::new();
    let mut rest = name;
    while let Some((before, inner, after)) = brackets(rest) {
        shown.push_str(before);
        if shown.is_empty() || shown.ends_with("::") {
            let inner = inner.strip_prefix("impl ").unwrap_or(inner);
            let implementor = inner.rsplit_once(" as ").map_or(inner, |parts| parts.0);
            shown.push_str(&plain(implementor));
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// What is before, in and behind the first pair of angle brackets.
fn brackets(name: &str) -> Option<(&str, &str, &str)> {
    let open = name.find('<')?;
    let mut depth = 0_usize;
    let bytes = name.as_bytes();
    for at in open..bytes.len() {
        match bytes[at] {
            b'<' => depth += 1,
            // An arrow is none.
            b'>' if bytes[at - 1] != b'-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&name[..open], &name[open + 1..at], &name[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::trimmed;

    #[test]
    fn types_in_names_lose_parameters_and_traits() {
        let check = |name, expected| assert_eq!(super::plain(name), expected);
        check("<Vec<u8> as Debug>::fmt", "Vec::fmt");
        check(
            "toro_net::egress::<impl Stack>::send",
            "toro_net::egress::Stack::send",
        );
        check("<<A as B>::C as D<E>>::f", "A::C::f");
        check("ptr::drop_in_place<fn() -> Vec<u8>>", "ptr::drop_in_place");
        check("a::b::{}", "a::b::{}");
        check("a << b", "a << b");
    }

    #[test]
    fn names_lose_their_mangling_and_their_hash() {
        assert_eq!(
            trimmed("_ZN8toro_net3tcp4open17h0123456789abcdefE"),
            "toro_net::tcp::open"
        );
        assert_eq!(trimmed("toro_start"), "toro_start");
        assert_eq!(trimmed(".Ltmp1"), "");
    }

    #[test]
    fn types_in_names_lose_their_paths() {
        let check = |name, expected| assert_eq!(super::short(name), expected);
        check(
            "<toro_net::tcp::Socket as core::fmt::Debug>::fmt",
            "<Socket as Debug>::fmt",
        );
        check(
            "core::ptr::drop_in_place<alloc::vec::Vec<u8>>",
            "core::ptr::drop_in_place<Vec<u8>>",
        );
        check("toro_net::tcp::open", "toro_net::tcp::open");
        check(
            "<&mut a::B as c::D<[e::F; 4]>>::g::{}",
            "<&mut B as D<[F; 4]>>::g::{}",
        );
    }
}
