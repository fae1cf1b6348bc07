//! [`Prepared`]: the header fields of a file, written once and sent many times.

use crate::conditional::ETag;
use crate::output::Output;
use crate::{Entry, date, mime};

/// Longer than the fields of any file.
const ROOM: usize = 256;

/// The fields of a whole file that are the same in each reply: type, length, validators, and that it has ranges.
#[derive(Clone, Debug)]
pub struct Prepared {
    text: [u8; ROOM],
    len: usize,
    modified: Option<u64>,
}

impl Prepared {
    /// Writes the fields of the file at `path`.
    #[must_use]
    pub fn new<H>(path: &str, entry: &Entry<H>) -> Self {
        let mut text = [0; ROOM];
        let mut out = Output::new(&mut text);
        content(&mut out, mime::of_path(path), entry.len);
        validators(&mut out, entry.modified, entry.etag);
        out.push(ACCEPTS_RANGES);
        let len = out.finish().expect("the longest fields have room");
        Self {
            text,
            len,
            modified: entry.modified,
        }
    }

    /// The fields, if they may be sent at `now`.
    ///
    /// RFC 9110, 8.8.2.1: no time of change is sent that is later than the date of the message.
    pub(crate) fn text(&self, now: Option<u64>) -> Option<&[u8]> {
        let is_past = now.is_none_or(|now| self.modified.is_none_or(|modified| modified <= now));
        is_past.then(|| &self.text[..self.len])
    }
}

pub(crate) const ACCEPTS_RANGES: &[u8] = b"\r\nAccept-Ranges: bytes";

pub(crate) fn content(out: &mut Output<'_>, kind: &str, len: u64) {
    out.push(b"\r\nContent-Type: ");
    out.push_str(kind);
    out.push(b"\r\nContent-Length: ");
    out.push_decimal(len);
}

pub(crate) fn validators(out: &mut Output<'_>, modified: Option<u64>, etag: Option<ETag>) {
    if let Some(modified) = modified {
        out.push(b"\r\nLast-Modified: ");
        out.push(&date::format(modified));
    }
    if let Some(etag) = etag {
        out.push(b"\r\nETag: ");
        etag.write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_fields_have_room() {
        let entry = Entry {
            handle: (),
            len: u64::MAX,
            modified: Some(u64::MAX),
            etag: Some(ETag::new(u64::MAX, u64::MAX)),
        };
        let prepared = Prepared::new("a.html", &entry);
        assert!(prepared.text(None).is_some_and(|text| text.len() > 150));
    }

    #[test]
    fn a_change_in_the_future_is_not_sent() {
        let entry = Entry {
            handle: (),
            len: 0,
            modified: Some(100),
            etag: None,
        };
        let prepared = Prepared::new("a", &entry);
        assert!(prepared.text(Some(99)).is_none());
        assert!(prepared.text(Some(100)).is_some());
        assert!(prepared.text(None).is_some());
    }
}
