//! What a response says: its fields, its content, and what conditions and ranges make of it.

use crate::site::{Response, exchange, exchange_in_pieces};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sunday, 06-Nov-94 08:49:36 GMT";

fn tag() -> String {
    format!("\"{:x}-a\"", crate::site::MODIFIED)
}

/// The one response to a request for `/a.txt`, which holds `0123456789`.
fn ask(method: &str, lines: &str) -> Response {
    let lines = lines
        .replace("TAG", &tag())
        .replace("EARLIER", EARLIER)
        .replace("DATE", DATE);
    let request = format!("{method} /a.txt HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let (mut responses, rest) = exchange(request.as_bytes());
    assert_eq!((responses.len(), rest), (1, 0), "{request}");
    responses.remove(0)
}

fn check(lines: &str, status: u16, body: &str) {
    let response = ask("GET", lines);
    assert_eq!(response.status, status, "{lines:?}");
    if matches!(status, 200 | 206 | 304) {
        assert_eq!(response.body, body.as_bytes(), "{lines:?}");
    }
}

#[test]
fn a_file_comes_with_its_fields() {
    let response = ask("GET", "");
    let expected = format!(
        "HTTP/1.1 200 OK\r\nServer: toro\r\nDate: Sun, 15 Jun 2025 15:06:40 GMT\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\nLast-Modified: {DATE}\r\n\
         ETag: {}\r\nAccept-Ranges: bytes\r\n\r\n",
        tag()
    );
    assert_eq!(response.head, expected);
    assert_eq!(response.body, b"0123456789");
}

#[test]
fn head_is_get_without_content() {
    let (get, head) = (ask("GET", ""), ask("HEAD", ""));
    assert_eq!(get.head, head.head);
    assert_eq!(head.body, b"");
    assert_eq!(ask("HEAD", "Range: bytes=0-1\r\n").status, 200);
    assert_eq!(ask("HEAD", "If-None-Match: TAG\r\n").status, 304);
    let lost = exchange(b"HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n")
        .0
        .remove(0);
    assert_eq!(
        (lost.status, lost.field("content-length"), &lost.body[..]),
        (404, Some("4"), &b""[..])
    );
}

#[test]
fn every_length_is_true() {
    for target in [
        "/",
        "/none",
        "/dir",
        "/broken",
        "/..",
        "/a.txt",
        "/empty.css",
        "/dir/",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = exchange(request.as_bytes()).0.remove(0);
        let length = response
            .field("content-length")
            .expect("a response has a length");
        assert_eq!(length, response.body.len().to_string(), "{target}");
    }
}

#[test]
fn a_missing_file_gets_the_page_of_the_site() {
    let response =
        exchange(b"GET /none HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nRange: bytes=0-0\r\n\r\n")
            .0
            .remove(0);
    assert_eq!((response.status, &response.body[..]), (404, &b"lost"[..]));
    assert_eq!(response.field("etag"), None);
}

#[test]
fn a_refused_method_is_told_what_is_allowed() {
    for (method, status) in [("POST", 405), ("OPTIONS", 204)] {
        let response = ask(method, "");
        assert_eq!(response.status, status);
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
    assert_eq!(ask("OPTIONS", "").field("content-length"), None);
}

#[test]
fn a_redirect_stays_on_its_host() {
    for (target, location) in [
        ("/dir", "/dir/"),
        ("//dir", "/dir/"),
        ("/./dir?a=b", "/dir/?a=b"),
        ("/odd%20dir", "/odd%20dir/"),
        ("http://evil/dir", "/dir/"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = exchange(request.as_bytes()).0.remove(0);
        assert_eq!(
            (response.status, response.field("location")),
            (301, Some(location))
        );
    }
}

#[test]
fn a_copy_that_is_still_good_is_not_sent_again() {
    check("If-None-Match: TAG\r\n", 304, "");
    check("If-None-Match: W/TAG\r\n", 304, "");
    check("If-None-Match: \"x\", TAG\r\n", 304, "");
    check("If-None-Match: \"x\"\r\nIf-None-Match: TAG\r\n", 304, "");
    check("If-None-Match: *\r\n", 304, "");
    check("If-None-Match: \"x\"\r\n", 200, "0123456789");
    check(
        "If-None-Match: \"x\"\r\nIf-Modified-Since: DATE\r\n",
        200,
        "0123456789",
    );
    check("If-Modified-Since: DATE\r\n", 304, "");
    check("If-Modified-Since: EARLIER\r\n", 200, "0123456789");
    check("If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304, "");
    check(
        "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n",
        304,
        "",
    );
    check("If-Modified-Since: yesterday\r\n", 200, "0123456789");
    check(
        "If-Modified-Since: DATE\r\nIf-Modified-Since: DATE\r\n",
        200,
        "0123456789",
    );
    let response = ask("GET", "If-None-Match: TAG\r\n");
    assert_eq!(response.field("etag"), Some(&tag()[..]));
    assert_eq!(response.field("content-length"), None);
}

#[test]
fn a_precondition_that_fails_is_told() {
    check("If-Match: TAG\r\n", 200, "0123456789");
    check("If-Match: *\r\n", 200, "0123456789");
    check("If-Match: \"x\"\r\n", 412, "");
    check("If-Match: W/TAG\r\n", 412, "");
    check("If-Match: \"x\"\r\nIf-Match: TAG\r\n", 200, "0123456789");
    check("If-Unmodified-Since: DATE\r\n", 200, "0123456789");
    check("If-Unmodified-Since: EARLIER\r\n", 412, "");
    check("If-Unmodified-Since: never\r\n", 200, "0123456789");
    check(
        "If-Match: TAG\r\nIf-Unmodified-Since: EARLIER\r\n",
        200,
        "0123456789",
    );
    check("If-Match: \"x\"\r\nIf-None-Match: TAG\r\n", 412, "");
    check("If-Match: TAG\r\nIf-None-Match: TAG\r\n", 304, "");
}

#[test]
fn a_range_is_a_part() {
    check("Range: bytes=2-4\r\n", 206, "234");
    check("Range: bytes=-3\r\n", 206, "789");
    check("Range: bytes=7-\r\n", 206, "789");
    check("Range: bytes=0-99\r\n", 206, "0123456789");
    check("Range: bytes=10-\r\n", 416, "");
    check("Range: bytes=0-1,3-4\r\n", 200, "0123456789");
    check(
        "Range: bytes=0-1\r\nRange: bytes=3-4\r\n",
        200,
        "0123456789",
    );
    check("Range: bytes=4-2\r\n", 200, "0123456789");
    check("Range: lines=0-1\r\n", 200, "0123456789");
    let part = ask("GET", "Range: bytes=2-4\r\n");
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    assert_eq!(part.field("content-length"), Some("3"));
    assert_eq!(
        ask("GET", "Range: bytes=10-\r\n").field("content-range"),
        Some("bytes */10")
    );
}

#[test]
fn a_range_depends_on_its_condition() {
    check("Range: bytes=2-4\r\nIf-Range: TAG\r\n", 206, "234");
    check("Range: bytes=2-4\r\nIf-Range: W/TAG\r\n", 200, "0123456789");
    check("Range: bytes=2-4\r\nIf-Range: \"x\"\r\n", 200, "0123456789");
    check("Range: bytes=2-4\r\nIf-Range: DATE\r\n", 206, "234");
    check(
        "Range: bytes=2-4\r\nIf-Range: EARLIER\r\n",
        200,
        "0123456789",
    );
    check("Range: bytes=2-4\r\nIf-Range: x\r\n", 200, "0123456789");
    check("Range: bytes=10-\r\nIf-Range: \"x\"\r\n", 200, "0123456789");
    check("Range: bytes=2-4\r\nIf-None-Match: TAG\r\n", 304, "");
}

#[test]
fn a_pipeline_is_answered_in_order_and_in_step() {
    let pipeline = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        1f\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET \
        HEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
        GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (whole, _) = exchange(pipeline);
    let statuses: Vec<u16> = whole.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 405, 404, 200, 200]);
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(
            exchange_in_pieces(pipeline, piece).0,
            whole,
            "in pieces of {piece}"
        );
    }
}
