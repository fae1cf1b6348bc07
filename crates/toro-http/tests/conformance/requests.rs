//! Requests and the status that each must get, by the chapter of RFC 9110 and RFC 9112 that says so.

use crate::site::exchange;

/// The request must get `status`, and then the connection must be as `close` says.
fn check(request: &str, status: u16, close: bool) {
    let (responses, rest) = exchange(request.as_bytes());
    let [response] = &responses[..] else {
        panic!("{request:?}: {responses:?}");
    };
    assert_eq!(
        (response.status, response.close),
        (status, close),
        "{request:?}"
    );
    assert_eq!(rest, 0, "{request:?}");
    assert_eq!(
        response.field("connection") == Some("close"),
        close,
        "{request:?}"
    );
    assert!(response.field("date").is_some(), "{request:?}");
    let in_pieces = crate::site::exchange_in_pieces(request.as_bytes(), 1).0;
    assert_eq!(
        in_pieces.last().map(|last| last.status),
        Some(status),
        "{request:?} in bytes"
    );
}

/// The request must be answered with `status` and the connection must go on.
fn keeps(request: &str, status: u16) {
    check(request, status, false);
}

/// The request must be answered with `status` and the connection must end.
fn closes(request: &str, status: u16) {
    check(request, status, true);
}

/// A `GET` of `/` with more header lines.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A request for a target.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn well_formed_requests_are_answered() {
    keeps(&get("/"), 200);
    keeps("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    keeps("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", 204);
    keeps("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204);
    keeps(
        "GET / HTTP/1.1\r\nhoSt:\ta\t \r\nempty:\r\nx: \r\n\r\n",
        200,
    );
    keeps("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    keeps("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200);
    keeps("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200);
    keeps(&with("X-Utf8: h\u{e9}\r\n"), 200);
    keeps(&with("!#$%&'*+-.^_`|~09az: x\r\n"), 200);
    keeps(&get("http://b/a.txt"), 200);
    keeps(&get("HTTP://b:80"), 200);
    keeps(&get("/a.txt?x=../..&y=%41"), 200);
    keeps(&get("/%61.txt"), 200);
    keeps(&get("/with%20space"), 200);
    keeps(&get("/dir"), 301);
    keeps(&get("/dir/"), 200);
    keeps(&get("/dir//./"), 200);
    keeps(&get("/empty.css"), 200);
    keeps(&get("/none"), 404);
    keeps(&get("/a.txt/"), 404);
    keeps(&get("/odd%20dir/"), 404);
    keeps(&get("/broken"), 500);
}

#[test]
fn request_lines_are_refused() {
    closes("GET / HTTP/1.1\nHost: a\n\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
    closes("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTP/1.1\rHost: a\r\r", 400);
    closes("GET / HTTP/1.1\r\nHost: a\r\rX: b\r\n\r\n", 400);
    closes("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400);
    closes("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("Extra GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("GET /\r\n\r\n", 400);
    closes("GET / \r\nHost: a\r\n\r\n", 400);
    closes("GET HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("\x16\x03\x01\x02\0\x01\0\x01\u{7c}\x03\x03", 400);
}

#[test]
fn versions_other_than_1_0_and_1_1_are_not_spoken() {
    closes("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    closes("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505);
    closes("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505);
    closes("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505);
    closes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    closes("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTP/11\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTP/1.\r\nHost: a\r\n\r\n", 400);
    closes("GET / http/1.1\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTP/x.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn methods_that_files_do_not_have_are_refused() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        keeps(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    }
    closes("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405);
    keeps("get / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    keeps("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    closes(
        &format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(33)),
        501,
    );
    closes(&"A".repeat(33), 501);
}

#[test]
fn targets_are_refused() {
    for target in [
        "*",
        "a",
        "a.txt",
        "a:80",
        "ftp://a/",
        "http://",
        "http:///",
        "http://u@a/",
        "/a b",
        "/a\"",
        "/<a>",
        "/a\\b",
        "/a#b",
        "/a|b",
        "/%",
        "/%4",
        "/%gg",
        "/\u{e9}",
        "/a\0b",
        "/a\x7fb",
        "/?a#b",
    ] {
        closes(&get(target), 400);
    }
    for target in [
        "/..",
        "/../",
        "/dir/../a.txt",
        "/%2e%2e/",
        "/%2E./",
        "/..%2f",
        "/a%2fb",
        "/a%5cb",
        "/%00",
        "/a.txt%00.html",
        "/%0d%0aX:%20y",
        "/%ff",
        "/%c0%ae%c0%ae/",
        "http://b/../a.txt",
    ] {
        keeps(&get(target), 400);
    }
    closes("OPTIONS a HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    closes("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn a_host_is_needed_once_and_well_formed() {
    closes("GET / HTTP/1.1\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400);
    closes("GET http://b/ HTTP/1.1\r\n\r\n", 400);
    closes("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    for name in ["Host", "host", "HOST", "hOsT"] {
        keeps(&format!("GET / HTTP/1.1\r\n{name}: a\r\n\r\n"), 200);
    }
    for name in ["Hosu", "H\x6ft", "`ost", "hos4", "_ost"] {
        closes(&format!("GET / HTTP/1.1\r\n{name}: a\r\n\r\n"), 400);
    }
}

#[test]
fn header_lines_are_refused() {
    for line in [
        "X : y\r\n",
        " X: y\r\n",
        "\tX: y\r\n",
        "X: y\r\n z\r\n",
        "X: y\r\n\tz\r\n",
        ": y\r\n",
        "X\r\n",
        "X y\r\n",
        "X[]: y\r\n",
        "X@: y\r\n",
        "X: a\0b\r\n",
        "X: a\x01b\r\n",
        "X: a\x7fb\r\n",
        "X: a\rb\r\n",
        "X: a\nY: b\r\n",
        "X\0: b\r\n",
        "H\u{e9}: b\r\n",
        "\"X\": b\r\n",
    ] {
        closes(&with(line), 400);
    }
    closes("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
    closes("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400);
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    closes(&get(&format!("/{}", "a".repeat(4096))), 414);
    keeps(&get(&format!("/{}", "a".repeat(4095))), 404);
    closes(&format!("GET /{}", "a".repeat(9000)), 414);
    closes(&with(&format!("X: {}\r\n", "a".repeat(8192))), 431);
    closes(
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(8192)),
        431,
    );
    closes(&with(&"X: y\r\n".repeat(64)), 431);
    keeps(&with(&"X: y\r\n".repeat(63)), 200);
}

#[test]
fn a_head_that_can_only_become_too_long_is_refused_wherever_it_stops() {
    for tail in ["", " ", " HTTP/1", " HTTP/1.1", " HTTP/1.1\r\nHost: a"] {
        closes(&format!("GET /{}{tail}", "a".repeat(4096)), 414);
    }
}

#[test]
fn bodies_are_skipped_or_refused() {
    keeps(&(with("Content-Length: 5\r\n") + "hello"), 200);
    keeps(&with("Content-Length: 0\r\n"), 200);
    keeps(&(with("cOnTeNt-LeNgTh: 05\r\n") + "hello"), 200);
    keeps(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        405,
    );
    keeps(
        &(with("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n"),
        200,
    );
    keeps(
        &(with("Transfer-Encoding: Chunked\r\n") + "A;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\n"),
        200,
    );
    closes(&with("Content-Length: 8193\r\n"), 413);
    closes(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8193\r\n\r\n",
        405,
    );
    closes(
        &(with("Transfer-Encoding: chunked\r\n") + "4000\r\n" + &"x".repeat(0x4000)),
        413,
    );
    closes(
        &(with("Transfer-Encoding: chunked\r\n") + "0\r\n" + &"T: v\r\n".repeat(400)),
        431,
    );
}

#[test]
fn a_body_whose_end_is_in_doubt_ends_the_connection() {
    for line in [
        "Content-Length: -1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 1x\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 1,1\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: -18446744073709551616\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;a\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        closes(&with(line), 400);
    }
    closes(&with("Transfer-Encoding: gzip, chunked\r\n"), 501);
    closes(
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    );
    for body in [
        "g\r\n",
        "\r\n",
        "-1\r\n",
        "1\n",
        "1 \r\n",
        "0x1\r\n",
        "1\r\nab\r\n",
        "1\r\na\n0\r\n\r\n",
        "0\r\n x\r\n",
    ] {
        closes(&(with("Transfer-Encoding: chunked\r\n") + body), 400);
    }
}

#[test]
fn expectations() {
    closes(&with("Expect: 100-continue\r\nContent-Length: 5\r\n"), 200);
    closes(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
        405,
    );
    keeps(&with("Expect: 100-continue\r\n"), 200);
    closes(&with("Expect: tea\r\n"), 417);
    closes("GET / HTTP/1.0\r\nExpect: tea\r\n\r\n", 200);
}

#[test]
fn connections_end_as_the_client_and_its_version_want() {
    closes(&with("Connection: close\r\n"), 200);
    closes(&with("Connection: keep-alive, Close\r\n"), 200);
    closes(&with("Connection: x\r\nConnection: close\r\n"), 200);
    keeps(&with("Connection: closed\r\n"), 200);
    keeps(
        &with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
        200,
    );
    closes("GET / HTTP/1.0\r\n\r\n", 200);
    keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200);
    closes(
        "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        200,
    );
}
