//! A small site in memory and a connection to it: what the tests of this folder talk to.

use toro_http::{
    Body, Connection, ETag, Entry, Found, Limits, MIN_OUTPUT, Prepared, Site, Step, Then,
};

/// 2025-06-15 15:06:40 UTC.
pub(crate) const NOW: u64 = 1_750_000_000;
/// The last change of every file: 1994-11-06 08:49:37 UTC.
pub(crate) const MODIFIED: u64 = 784_111_777;

/// Names and contents, and the fields of the file found last. Those of `/a.txt` are not kept.
#[derive(Default)]
pub(crate) struct Table(Option<Prepared>);

impl Site for Table {
    type Handle = &'static [u8];

    fn find(&mut self, path: &str) -> Found<Self::Handle> {
        assert!(is_normal(path), "{path:?}");
        let handle: &[u8] = match path {
            "/index.html" => b"<h1>Toro</h1>\n",
            "/a.txt" => b"0123456789",
            "/empty.css" => b"",
            "/dir/index.html" => b"inside",
            "/with space" => b"room",
            "/404.html" => b"lost",
            "/dir" | "/odd dir" | "/odd dir/index.html" => return Found::Directory,
            "/broken" => return Found::Failed,
            _ => return Found::NotFound,
        };
        let len = handle.len() as u64;
        let etag = Some(ETag::new(MODIFIED, len));
        let entry = Entry {
            handle,
            len,
            modified: Some(MODIFIED),
            etag,
        };
        self.0 = (path != "/a.txt").then(|| Prepared::new(path, &entry));
        Found::File(entry)
    }

    fn prepared(&self, _: &Self::Handle) -> Option<&Prepared> {
        self.0.as_ref()
    }
}

/// What [`Site::find`] promises of a path.
fn is_normal(path: &str) -> bool {
    let clean = !path.chars().any(|c| c.is_ascii_control() || c == '\\');
    let mut segments = path.split('/');
    clean
        && segments.next() == Some("")
        && segments.all(|segment| !matches!(segment, "" | "." | ".."))
}

/// A response as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The server closes behind it.
    pub(crate) close: bool,
}

impl Response {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Sends `input` in one piece and returns the responses and the bytes that wait for more.
pub(crate) fn exchange(input: &[u8]) -> (Vec<Response>, usize) {
    exchange_in_pieces(input, input.len().max(1))
}

/// Sends `input` in pieces of `piece` bytes.
pub(crate) fn exchange_in_pieces(input: &[u8], piece: usize) -> (Vec<Response>, usize) {
    let limits = Limits::DEFAULT;
    let mut connection = Connection::new(limits);
    let mut responses = Vec::new();
    let mut held = Vec::new();
    let mut table = Table::default();
    for bytes in input.chunks(piece) {
        held.extend_from_slice(bytes);
        loop {
            let mut out = [0; MIN_OUTPUT];
            match connection.step(&held, &mut table, Some(NOW), &mut out) {
                Step::Read => break,
                Step::Flush => panic!("MIN_OUTPUT is too small"),
                Step::Reply {
                    consumed,
                    head,
                    body,
                    then,
                } => {
                    assert!(consumed > 0 && consumed <= held.len(), "{consumed}");
                    held.drain(..consumed);
                    let close = then != Then::Continue;
                    assert!(then != Then::Close || held.is_empty(), "{held:?}");
                    responses.push(response(&out[..head], &body, close));
                    if close {
                        return (responses, held.len());
                    }
                }
            }
        }
        assert!(
            held.len() < limits.head_bytes + limits.body + piece,
            "unbounded input"
        );
    }
    (responses, held.len())
}

fn response(written: &[u8], body: &Body<&'static [u8]>, close: bool) -> Response {
    let end = written
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head ends")
        + 4;
    let head = String::from_utf8(written[..end].to_vec()).expect("a head is text");
    let mut content = written[end..].to_vec();
    if let Body::File { handle, start, end } = body {
        content.extend_from_slice(&handle[*start as usize..*end as usize]);
    }
    let status = head[9..12].parse().expect("a status line has a number");
    Response {
        status,
        head,
        body: content,
        close,
    }
}
