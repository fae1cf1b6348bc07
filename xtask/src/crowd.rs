//! [`Crowd`]: many kept connections to a web server at a time, each of which asks now and then.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// No answer may take longer; it is a guard against waiting for ever.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Files that are open besides the connections.
const OTHER_FILES: u64 = 256;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: toro\r\n\r\n";

/// A member that has been silent for so long asks again before others come: servers close connections that are silent for long.
const SILENCE: Duration = Duration::from_secs(25);

/// How many of those ask before the next one comes.
const TURN: u32 = 8;

/// Connections that stay open, with the time of the last answer, the oldest first.
#[derive(Debug)]
pub(crate) struct Crowd {
    address: SocketAddr,
    members: VecDeque<(Instant, TcpStream)>,
}

impl Crowd {
    /// Connects `count` times to the web server at `address`; each connection asks for the index page once.
    pub(crate) fn gather(address: SocketAddr, count: u32) -> Result<Self> {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let wanted = u64::from(count) + OTHER_FILES;
        ensure!(
            wanted <= most,
            "{count} connections are more files than this machine lets a process open ({most}): raise `ulimit -Hn`"
        );
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        let mut crowd = Self {
            address,
            members: VecDeque::new(),
        };
        for number in 0..count {
            crowd
                .join()
                .with_context(|| format!("connection {number}"))?;
            crowd.keep()?;
        }
        Ok(crowd)
    }

    /// Has each of them ask once more.
    pub(crate) fn ask_all(&mut self) -> Result<()> {
        (0..self.members.len()).try_for_each(|_| self.ask_oldest())
    }

    /// Has some of those ask that have been silent for long. Call it often.
    pub(crate) fn keep(&mut self) -> Result<()> {
        let is_old = |(since, _): &(Instant, _)| since.elapsed() > SILENCE;
        for _ in 0..TURN {
            if self.members.front().is_some_and(is_old) {
                self.ask_oldest()?;
            }
        }
        Ok(())
    }

    fn join(&mut self) -> Result<()> {
        let mut member = connect(self.address)?;
        exchange(&mut member)?;
        self.members.push_back((Instant::now(), member));
        Ok(())
    }

    fn ask_oldest(&mut self) -> Result<()> {
        let Some((since, mut member)) = self.members.pop_front() else {
            return Ok(());
        };
        exchange(&mut member)
            .with_context(|| format!("a request {:?} after the last one", since.elapsed()))?;
        self.members.push_back((Instant::now(), member));
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).context("cannot connect")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(REQUEST).context("cannot send")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&answer)? {
        let len = stream.read(&mut piece).context("no answer")?;
        ensure!(len > 0, "the connection was closed");
        answer.extend_from_slice(&piece[..len]);
    }
    Ok(())
}

/// Whether this is a whole answer; an error if it is not one that was asked for.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = std::str::from_utf8(&answer[..head]).context("the header is no text")?;
    ensure!(text.starts_with("HTTP/1.1 200 "), "the answer is {text}");
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, len) = lengths.next().context("the answer has no length")?;
    let len: usize = len.trim().parse().context("the length is no number")?;
    ensure!(
        answer.len() <= head + 4 + len,
        "the answer goes on too long"
    );
    Ok(answer.len() == head + 4 + len)
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn knows_the_end_of_an_answer() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for len in 0..answer.len() {
            assert!(!is_whole(&answer[..len]).expect("so far it is right"));
        }
        assert!(is_whole(answer).expect("it is right"));
        assert!(is_whole(&[&answer[..], b"d"].concat()).is_err());
        assert!(is_whole(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
