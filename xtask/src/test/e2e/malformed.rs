//! Requests that are wrong, each in its own way: refused with a status that says so, and the server lives on.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use crate::test::Depth;
use crate::test::client::Client;
use crate::test::server;

/// A wrong request: what is wrong, its bytes, the statuses that may answer it.
type Wrong = (&'static str, Vec<u8>, &'static [u16]);

/// Sends each wrong request on a connection of its own.
pub(super) fn corpus(server: SocketAddr, _: Depth) -> Result<()> {
    for (what, bytes, statuses) in wrong() {
        refused(server, &bytes, statuses).with_context(|| what.to_owned())?;
        server::check_answers(server).with_context(|| format!("after {what}"))?;
    }
    Ok(())
}

fn refused(server: SocketAddr, bytes: &[u8], statuses: &[u16]) -> Result<()> {
    let mut client = Client::connect(server)?;
    // The server may answer and close before all is sent.
    let sent = client.send(bytes).and_then(|()| client.end());
    let status = client
        .receive(false)
        .with_context(|| format!("sent: {sent:?}"))?
        .status;
    ensure!(
        statuses.contains(&status),
        "the status is {status} instead of one of {statuses:?}"
    );
    Ok(())
}

/// A right request is cut off at each of its bytes, and a connection says nothing at all.
pub(super) fn cut_off(server: SocketAddr, _: Depth) -> Result<()> {
    let request = b"GET /index.html HTTP/1.1\r\nHost: toro\r\nRange: bytes=0-1\r\n\r\n";
    for len in 0..request.len() {
        let mut client = Client::connect(server)?;
        client.send(&request[..len])?;
    }
    Ok(())
}

fn wrong() -> Vec<Wrong> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: toro\r\n\r\n").into_bytes();
    let with =
        |headers: &str| format!("GET / HTTP/1.1\r\nHost: toro\r\n{headers}\r\n").into_bytes();
    let many: String = (0..1000)
        .map(|number| format!("X-{number}: x\r\n"))
        .collect();
    let mut wrong = vec![
        ("no request at all", b"\0\0\0\0\r\n\r\n".to_vec(), BAD),
        (
            "a TLS greeting",
            b"\x16\x03\x01\x02\0\x01\0\r\n\r\n".to_vec(),
            BAD,
        ),
        ("no version", b"GET /\r\n\r\n".to_vec(), BAD),
        (
            "a version that is none",
            b"GET / HTTQ/1.1\r\nHost: a\r\n\r\n".to_vec(),
            BAD,
        ),
        (
            "version 2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            &[400, 405, 505],
        ),
        (
            "version 3",
            b"GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_vec(),
            &[400, 505],
        ),
        (
            "a method nobody knows",
            b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            &[405, 501],
        ),
        (
            "a method that is refused",
            b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            &[405],
        ),
        (
            "a method with a blank before",
            b" GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            BAD,
        ),
        ("no host", b"GET / HTTP/1.1\r\n\r\n".to_vec(), BAD),
        (
            "two hosts",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(),
            BAD,
        ),
        ("a path without a slash", get("index.html"), &[400, 404]),
    ];
    wrong.extend([
        ("a broken escape", get("/%zz"), BAD),
        ("a cut escape", get("/%2"), BAD),
        ("an escaped NUL", get("/%00"), &[400, 404]),
        ("a blank in the path", get("/a b"), BAD),
        (
            "a path that goes up",
            get("/../../etc/passwd"),
            &[400, 403, 404],
        ),
        (
            "an escaped path that goes up",
            get("/%2e%2e/%2e%2e/etc/passwd"),
            &[400, 403, 404],
        ),
        ("a file that is not there", get("/nowhere"), &[404]),
        (
            "a path without end",
            get(&format!("/{}", "a".repeat(100_000))),
            &[414, 431],
        ),
        (
            "a header without end",
            with(&format!("X: {}\r\n", "a".repeat(100_000))),
            &[431],
        ),
        ("a thousand headers", with(&many), &[431]),
        ("a header without a colon", with("Nothing\r\n"), BAD),
        ("a blank before the colon", with("Accept : x\r\n"), BAD),
        ("a header without a name", with(": x\r\n"), BAD),
        ("a NUL in a header", with("X: a\0b\r\n"), BAD),
        ("a folded header", with("X: a\r\n b\r\n"), BAD),
        ("a negative length", with("Content-Length: -1\r\n"), BAD),
        (
            "two lengths",
            with("Content-Length: 1\r\nContent-Length: 2\r\n"),
            BAD,
        ),
        (
            "a length too large",
            with("Content-Length: 99999999999999999999999\r\n"),
            &[400, 413],
        ),
        (
            "a length and chunks",
            with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            &[400, 411, 413, 501],
        ),
    ]);
    wrong
}

const BAD: &[u16] = &[400];
