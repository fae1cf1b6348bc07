//! [`Client`]: an HTTP client that sends whatever bytes it is given and believes nothing that comes back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// No answer may take longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// No line of a response is longer.
const LINE_MAX: u64 = 8192;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(super) fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, TIMEOUT).context("cannot connect")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(bytes)
            .context("cannot send")
    }

    /// Waits until the first bytes of an answer are there, and reads no more than what came with them.
    pub(super) fn wait_for_input(&mut self) -> Result<()> {
        ensure!(!self.stream.fill_buf()?.is_empty(), "no answer");
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(super) fn end(&mut self) -> Result<()> {
        self.stream
            .get_mut()
            .shutdown(Shutdown::Write)
            .context("cannot end")
    }

    /// Asks for `path` and reads the answer.
    pub(super) fn get(&mut self, path: &str) -> Result<Response> {
        self.request("GET", path, "")
    }

    /// Asks with more header lines, each ended by a line break.
    pub(super) fn request(&mut self, method: &str, path: &str, headers: &str) -> Result<Response> {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: toro\r\n{headers}\r\n").as_bytes())?;
        self.receive(method == "HEAD")
    }

    /// Reads one answer; that to `HEAD` has no body.
    pub(super) fn receive(&mut self, head: bool) -> Result<Response> {
        let line = self.line().context("no answer")?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .with_context(|| format!("`{line}` is no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().context("the answer is cut off in its header")?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("`{line}` is no header line"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if !head && status != 304 {
            let len = response
                .header("content-length")
                .context("no Content-Length")?
                .parse()?;
            response.body.resize(len, 0);
            self.stream
                .read_exact(&mut response.body)
                .context("the body is cut off")?;
        }
        Ok(response)
    }

    /// Fails unless the server has closed the connection in order.
    pub(super) fn expect_end(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        self.stream
            .read_to_end(&mut rest)
            .context("the connection was not closed in order")?;
        ensure!(
            rest.is_empty(),
            "{} bytes came behind the answer",
            rest.len()
        );
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        (&mut self.stream)
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            bail!("the connection was closed");
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text
            .strip_suffix("\r\n")
            .context("a line without a line break")?
            .to_owned())
    }
}

impl Response {
    /// The value of the first header line of that name, in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Fails unless the status is `status`.
    pub(super) fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "the status is {} instead of {status}",
            self.status
        );
        Ok(self)
    }
}
