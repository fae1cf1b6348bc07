//! Many short connections, one after the other: does the server keep answering, and without a stall?
//!
//! Stacks that leak a socket, a port or a timer for each connection pass every short test and stop answering
//! in this one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// No single step of an exchange waits longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so many failures in a row the server is taken for dead.
const GIVE_UP_AFTER: u32 = 20;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n";

/// What became of the connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ChurnReport {
    /// Connections that were tried.
    pub(crate) tried: u32,
    /// Connections that were answered with 200, whole, and closed in good order.
    pub(crate) answered: u32,
    /// Connections that the server refused or reset.
    pub(crate) resets: u32,
    /// Connections that were silent for too long.
    pub(crate) timeouts: u32,
    /// Connections that failed in another way, a wrong or cut answer among them.
    pub(crate) other_errors: u32,
    /// The longest that one connection took from connect to close.
    pub(crate) longest: Duration,
    /// Time that all of them took.
    pub(crate) elapsed: Duration,
}

impl ChurnReport {
    /// True if every connection that was asked for was answered.
    pub(crate) fn is_clean(&self, connections: u32) -> bool {
        self.answered == connections
    }

    /// Connections answered per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.answered) / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn count(&mut self, outcome: &io::Result<()>) {
        self.tried += 1;
        match outcome.as_ref().map_err(io::Error::kind) {
            Ok(()) => self.answered += 1,
            Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => self.timeouts += 1,
            Err(
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe,
            ) => self.resets += 1,
            Err(_) => self.other_errors += 1,
        }
    }
}

/// Makes `connections` connections to the HTTP server at `address`, one after the other, each for one request.
///
/// Ends early if the server seems dead. `progress` is called about once a second.
pub(crate) fn churn(
    address: SocketAddr,
    connections: u32,
    mut progress: impl FnMut(&ChurnReport),
) -> ChurnReport {
    let mut report = ChurnReport::default();
    let (started, mut shown, mut failures_in_row) = (Instant::now(), Instant::now(), 0);
    while report.tried < connections && failures_in_row < GIVE_UP_AFTER {
        let opened = Instant::now();
        let outcome = exchange(address);
        report.longest = report.longest.max(opened.elapsed());
        report.elapsed = started.elapsed();
        report.count(&outcome);
        failures_in_row = if outcome.is_ok() {
            0
        } else {
            failures_in_row + 1
        };
        if shown.elapsed() > Duration::from_secs(1) {
            progress(&report);
            shown = Instant::now();
        }
    }
    report
}

/// One connection: a request, its whole answer, the end of the stream.
fn exchange(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if is_whole(&answer) {
        Ok(())
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}

/// True of an answer with 200 and a body of the length that its head says.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    head.starts_with("http/1.1 200") && length == Some(answer.len() - end - 4)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::{churn, is_whole};

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn tells_a_whole_answer_from_a_cut_one() {
        assert!(is_whole(ANSWER));
        assert!(!is_whole(&ANSWER[..ANSWER.len() - 1]));
        assert!(!is_whole(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        ));
        assert!(!is_whole(b""));
    }

    #[test]
    fn counts_answers_and_gives_up_on_a_dead_server() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = thread::spawn(move || {
            for stream in listener.incoming().take(7) {
                let mut stream = stream.expect("a client");
                let mut request = [0; 256];
                let len = stream.read(&mut request).expect("a request");
                assert!(request[..len].ends_with(b"\r\n\r\n"));
                stream.write_all(ANSWER).expect("the client reads");
            }
        });
        let report = churn(address, 7, |_| {});
        server.join().expect("the server answered seven times");
        assert!(report.is_clean(7) && report.resets == 0, "{report:?}");
        let report = churn(address, 1000, |_| {});
        assert_eq!((report.tried, report.resets, report.answered), (20, 20, 0));
    }
}
