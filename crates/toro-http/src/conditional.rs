//! Conditional requests (RFC 9110, 13): whether the client's copy is still good, and whether it may have a part.

use crate::output::Output;
use crate::{Entry, Request, date};

/// An entity tag: two numbers of which at least one changes when the content does.
///
/// Always a strong tag: two files with the same tag are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag(u64, u64);

/// The longest tag with its quotes: two numbers of sixteen digits and a dash.
const TAG_MAX: usize = 35;

impl ETag {
    /// Makes a tag, for instance of the time of change and the length.
    #[must_use]
    pub const fn new(first: u64, second: u64) -> Self {
        Self(first, second)
    }

    /// Writes the tag with its quotes.
    pub(crate) fn write(self, out: &mut Output<'_>) {
        out.push(b"\"");
        out.push_hex(self.0);
        out.push(b"-");
        out.push_hex(self.1);
        out.push(b"\"");
    }

    fn is(self, quoted: &[u8]) -> bool {
        let mut room = [0; TAG_MAX];
        let mut out = Output::new(&mut room);
        self.write(&mut out);
        out.text() == quoted
    }
}

/// What the conditions of a request for a file that exists come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send the file.
    Send,
    /// The client has it: 304.
    NotModified,
    /// The client wanted another: 412.
    Failed,
}

/// Evaluates the conditions in the order of RFC 9110, 13.2.2.
pub(crate) fn judge<H>(request: &Request<'_>, entry: &Entry<H>, now: Option<u64>) -> Verdict {
    let fields = &request.fields;
    if fields.has_if_match {
        if !any_tag(request, "if-match", entry.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if changed_since(fields.if_unmodified_since, entry.modified, now) == Some(true) {
        return Verdict::Failed;
    }
    let is_fresh = if fields.has_if_none_match {
        any_tag(request, "if-none-match", entry.etag, Comparison::Weak)
    } else {
        changed_since(fields.if_modified_since, entry.modified, now) == Some(false)
    };
    if is_fresh {
        Verdict::NotModified
    } else {
        Verdict::Send
    }
}

/// Whether `If-Range` lets the range stand: its validator must match strongly (RFC 9110, 13.1.5).
pub(crate) fn range_stands<H>(request: &Request<'_>, entry: &Entry<H>, now: Option<u64>) -> bool {
    let Some(value) = request.fields.if_range else {
        return true;
    };
    if value.ends_with(b"\"") {
        return entry.etag.is_some_and(|etag| etag.is(value));
    }
    entry.modified.is_some() && date::parse(value, now) == entry.modified
}

/// Whether the file changed after the date in a field; `None` without a valid date or a time of change.
fn changed_since(value: Option<&[u8]>, modified: Option<u64>, now: Option<u64>) -> Option<bool> {
    Some(modified? > date::parse(value?, now)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    /// A weak tag matches like a strong one.
    Weak,
}

/// Whether a field of that name holds `*` or the tag.
fn any_tag(
    request: &Request<'_>,
    name: &'static str,
    etag: Option<ETag>,
    comparison: Comparison,
) -> bool {
    request
        .values(name)
        .any(|value| value == b"*" || lists_tag(value, etag, comparison))
}

/// Walks `[W/]"tag", ...`; a tag may hold commas, so the quotes lead.
fn lists_tag(value: &[u8], etag: Option<ETag>, comparison: Comparison) -> bool {
    let Some(etag) = etag else {
        return false;
    };
    let mut rest = value;
    loop {
        let start = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        rest = &rest[start.unwrap_or(rest.len())..];
        let (is_weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let Some(len) = quoted_len(quoted) else {
            return false;
        };
        if etag.is(&quoted[..len]) && !(is_weak && comparison == Comparison::Strong) {
            return true;
        }
        rest = &quoted[len..];
    }
}

/// The length of the quoted text at the start, with both quotes.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let inner = text.strip_prefix(b"\"")?;
    inner
        .iter()
        .position(|byte| *byte == b'"')
        .map(|end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Option<ETag> = Some(ETag::new(0x5f, 0xa));

    fn check(value: &str, comparison: Comparison, expected: bool) {
        assert_eq!(
            lists_tag(value.as_bytes(), TAG, comparison),
            expected,
            "{value}"
        );
    }

    #[test]
    fn a_tag_is_found_anywhere_in_a_list() {
        for list in [
            "\"5f-a\"",
            "\"x\", \"5f-a\"",
            ", ,\"x,y\",\t\"5f-a\" , \"z\"",
            "W/\"x\",\"5f-a\"",
        ] {
            check(list, Comparison::Strong, true);
            check(list, Comparison::Weak, true);
        }
    }

    #[test]
    fn a_weak_tag_matches_only_weakly() {
        check("W/\"5f-a\"", Comparison::Weak, true);
        check("W/\"5f-a\"", Comparison::Strong, false);
        check("w/\"5f-a\"", Comparison::Weak, false);
    }

    #[test]
    fn another_or_broken_list_does_not_match() {
        for list in [
            "",
            "5f-a",
            "\"5f-a",
            "\"5F-a\"",
            "\"5f-ab\"",
            "\"\"",
            "W/",
            "\"x\" y \"5f-a\"",
            ",",
        ] {
            check(list, Comparison::Weak, false);
        }
        assert!(!lists_tag(b"\"5f-a\"", None, Comparison::Weak));
    }

    #[test]
    fn the_longest_tag_fits() {
        let mut room = [0; TAG_MAX];
        let mut out = Output::new(&mut room);
        ETag::new(u64::MAX, u64::MAX).write(&mut out);
        assert_eq!(out.finish(), Some(TAG_MAX));
    }
}
