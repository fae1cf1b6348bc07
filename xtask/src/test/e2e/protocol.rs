//! What HTTP/1.1 promises to a client.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use crate::test::Depth;
use crate::test::client::Client;
use crate::test::tree::encoded;

/// The generated tree has it, with the length 4096.
const PAGE: &str = "/file-14.bin";
const PAGE_NUMBER: usize = 14;

/// `/` is the index page, as HTML.
pub(super) fn index(server: SocketAddr, _: Depth) -> Result<()> {
    let response = Client::connect(server)?.get("/")?.expect(200)?;
    ensure!(response.body == b"<h1>Toro</h1>\n", "the page is another");
    let kind = response.header("content-type").context("no Content-Type")?;
    ensure!(kind.starts_with("text/html"), "the page is {kind}");
    Ok(())
}

/// The header is that of `GET`.
pub(super) fn head(server: SocketAddr, _: Depth) -> Result<()> {
    let mut client = Client::connect(server)?;
    let get = client.get("/")?.expect(200)?;
    let head = client.request("HEAD", "/", "")?.expect(200)?;
    for name in ["content-length", "content-type", "etag", "last-modified"] {
        ensure!(get.header(name) == head.header(name), "{name} differs");
    }
    // A body would be read as the answer to this.
    client.get("/")?.expect(200)?;
    Ok(())
}

/// Twenty requests in one go, then the answers.
pub(super) fn pipelining(server: SocketAddr, _: Depth) -> Result<()> {
    let mut client = Client::connect(server)?;
    let found = "GET / HTTP/1.1\r\nHost: toro\r\n\r\n";
    let lost = "GET /nowhere HTTP/1.1\r\nHost: toro\r\n\r\n";
    client.send(format!("{found}{lost}").repeat(10).as_bytes())?;
    for _ in 0..10 {
        client.receive(false)?.expect(200)?;
        client.receive(false)?.expect(404)?;
    }
    Ok(())
}

/// A part in the middle, the end, and one behind the end.
pub(super) fn ranges(server: SocketAddr, _: Depth) -> Result<()> {
    let mut client = Client::connect(server)?;
    let whole = client.get(&encoded(PAGE))?.expect(200)?.body;
    ensure!(
        whole.len() == 8192,
        "file {PAGE_NUMBER} has {} bytes",
        whole.len()
    );
    let mut part = |range: &str| client.request("GET", PAGE, &format!("Range: bytes={range}\r\n"));
    let middle = part("100-199")?.expect(206)?;
    ensure!(middle.body == whole[100..200], "the middle differs");
    ensure!(
        middle.header("content-range") == Some("bytes 100-199/8192"),
        "Content-Range"
    );
    ensure!(
        part("-10")?.expect(206)?.body == whole[8182..],
        "the end differs"
    );
    ensure!(
        part("8000-")?.expect(206)?.body == whole[8000..],
        "the rest differs"
    );
    part("8192-")?.expect(416)?;
    Ok(())
}

/// By either mark of the file.
pub(super) fn not_modified(server: SocketAddr, _: Depth) -> Result<()> {
    let mut client = Client::connect(server)?;
    let response = client.get("/")?.expect(200)?;
    let tag = response.header("etag").context("no ETag")?;
    let time = response
        .header("last-modified")
        .context("no Last-Modified")?;
    client
        .request("GET", "/", &format!("If-None-Match: {tag}\r\n"))?
        .expect(304)?;
    client
        .request("GET", "/", &format!("If-Modified-Since: {time}\r\n"))?
        .expect(304)?;
    client
        .request("GET", "/", "If-None-Match: \"other\"\r\n")?
        .expect(200)?;
    Ok(())
}

/// At once with `Connection: close`, and after HTTP/1.0.
pub(super) fn close(server: SocketAddr, _: Depth) -> Result<()> {
    let mut client = Client::connect(server)?;
    client
        .request("GET", "/", "Connection: close\r\n")?
        .expect(200)?;
    client.expect_end()?;
    let mut client = Client::connect(server)?;
    client.send(b"GET / HTTP/1.0\r\n\r\n")?;
    client.receive(false)?.expect(200)?;
    client.expect_end()
}

/// However the way up is written.
pub(super) fn escapes(server: SocketAddr, _: Depth) -> Result<()> {
    let mut client = Client::connect(server)?;
    for path in ["/a/../index.html", "/a/%2e%2e/index.html", "/./index.html"] {
        let status = client.get(path)?.status;
        ensure!([200, 400, 403, 404].contains(&status), "{path}: {status}");
        if status == 400 {
            client = Client::connect(server)?;
        }
    }
    for path in [
        "/..",
        "/../",
        "/a/../../x",
        "/%2e%2e/x",
        "/..%2fx",
        "/a%00b",
        "//etc/passwd",
    ] {
        let status = Client::connect(server)?.get(path)?.status;
        ensure!([400, 403, 404].contains(&status), "{path}: {status}");
    }
    Ok(())
}
