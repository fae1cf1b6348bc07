//! What a client sends over one connection, to a site of two files.

use toro_http::{
    Body, Connection, Entry, Found, Limits, MIN_OUTPUT, Parsed, Site, Step, Then, parse,
};

struct TwoFiles;

impl Site for TwoFiles {
    type Handle = ();

    fn find(&mut self, path: &str) -> Found<()> {
        assert!(path.starts_with('/') && !path.contains("/../") && !path.contains('\0'));
        match path {
            "/index.html" => Found::File(Entry {
                handle: (),
                len: 1000,
                modified: Some(1_700_000_000),
                etag: None,
            }),
            "/empty" => Found::File(Entry {
                handle: (),
                len: 0,
                modified: None,
                etag: None,
            }),
            "/data" => Found::Directory,
            "/bad" => Found::Failed,
            _ => Found::NotFound,
        }
    }
}

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    serve(data);
    cut(data);
}

/// Serves all requests; each step must consume something, send something that is there, or end.
fn serve(mut input: &[u8]) {
    let mut connection = Connection::new(Limits::DEFAULT);
    let mut out = [0; MIN_OUTPUT];
    loop {
        match connection.step(input, &mut TwoFiles, Some(1_800_000_000), &mut out) {
            Step::Read => return,
            Step::Flush => panic!("every reply fits"),
            Step::Reply {
                consumed,
                head,
                body,
                then,
            } => {
                assert!(head > 0 && out[..head].starts_with(b"HTTP/1.1 "));
                assert!(consumed > 0 && consumed <= input.len());
                if let Body::File { start, end, .. } = body {
                    assert!(start < end && end <= 1000);
                }
                if then != Then::Continue {
                    return;
                }
                input = &input[consumed..];
            }
        }
    }
}

/// The outcome of a head that is complete is the same when it arrives in two parts.
fn cut(data: &[u8]) {
    let limits = Limits::DEFAULT;
    let Parsed::Complete { consumed, .. } = parse(data, &limits) else {
        return;
    };
    let part = &data[..consumed - 1];
    assert!(matches!(parse(part, &limits), Parsed::Partial));
}
