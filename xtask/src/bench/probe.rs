//! Asks a booting server until it answers: how long it takes to the first `200 OK`.
//!
//! A new connection is tried every few milliseconds and the older ones are kept open, for a packet that
//! came before the guest was listening is lost, and TCP would repeat it only after a second.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

/// Time between two attempts.
const STEP: Duration = Duration::from_millis(2);
/// Attempts that are open at a time; a machine under load must not drown in them.
const MAX_OPEN: usize = 64;

/// What a server is asked, and how an answer begins that shows that it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) port: u16,
    pub(crate) request: &'static [u8],
    pub(crate) answers: [&'static [u8]; 2],
}

/// For web servers.
pub(crate) const HTTP: Question = Question {
    port: 80,
    request: b"GET / HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n",
    answers: [b"HTTP/1.1 200", b"HTTP/1.0 200"],
};
/// For servers that speak the protocol of Redis.
pub(crate) const RESP: Question = Question {
    port: 6379,
    request: b"PING\r\n",
    answers: [b"+PONG", b"+PONG"],
};

/// For the guests that move data.
pub(crate) const IO: Question = Question {
    port: super::io::PORT,
    request: b"ping\n",
    answers: [b"done\n", b"done\n"],
};

/// One attempt: a connection, and how far it has got.
struct Attempt {
    question: Question,
    socket: Socket,
    sent: bool,
    answer: Vec<u8>,
}

enum Progress {
    Waiting,
    Answered,
    Failed,
}

/// Waits for a server at `address` to answer a question, asking whether it still runs.
///
/// Returns the time since `started`, or `None` if `timeout` has passed since then or the server ended.
pub(crate) fn first_answer(
    address: Ipv4Addr,
    question: Question,
    started: Instant,
    timeout: Duration,
    mut is_running: impl FnMut() -> bool,
) -> Result<Option<Duration>> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut next = Instant::now();
    while started.elapsed() < timeout && is_running() {
        if Instant::now() >= next {
            if attempts.len() == MAX_OPEN {
                attempts.remove(0);
            }
            attempts.push(Attempt::start(address, question)?);
            next = Instant::now() + STEP;
        }
        wait_for_any(&attempts)?;
        let mut index = 0;
        while index < attempts.len() {
            match attempts[index].proceed() {
                Progress::Answered => return Ok(Some(started.elapsed())),
                Progress::Failed => drop(attempts.swap_remove(index)),
                Progress::Waiting => index += 1,
            }
        }
    }
    Ok(None)
}

fn wait_for_any(attempts: &[Attempt]) -> Result<()> {
    let interest = |a: &Attempt| {
        if a.sent {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLOUT
        }
    };
    let mut fds: Vec<PollFd<'_>> = attempts
        .iter()
        .map(|a| PollFd::new(a.socket.as_fd(), interest(a)))
        .collect();
    poll(&mut fds, PollTimeout::from(1_u8))?;
    Ok(())
}

impl Attempt {
    fn start(address: Ipv4Addr, question: Question) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // "In progress" is the normal answer, and a refusal shows at the first write.
        let _ = socket.connect(&SocketAddrV4::new(address, question.port).into());
        Ok(Self {
            question,
            socket,
            sent: false,
            answer: Vec::new(),
        })
    }

    fn proceed(&mut self) -> Progress {
        if !self.sent {
            match self.socket.write(self.question.request) {
                // A fresh socket takes so little whole.
                Ok(len) => self.sent = len == self.question.request.len(),
                Err(error) => return Self::after(error.kind()),
            }
        }
        let mut buffer = [0; 256];
        match self.socket.read(&mut buffer) {
            Ok(0) => return Progress::Failed,
            Ok(len) => self.answer.extend(&buffer[..len]),
            Err(error) => return Self::after(error.kind()),
        }
        let answers = &self.question.answers;
        if answers.iter().any(|start| self.answer.starts_with(start)) {
            Progress::Answered
        } else {
            Progress::Waiting
        }
    }

    fn after(error: ErrorKind) -> Progress {
        match error {
            ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted => {
                Progress::Waiting
            }
            _ => Progress::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::{Attempt, Progress};

    #[test]
    fn gives_up_an_attempt_only_for_real_errors() {
        assert!(matches!(
            Attempt::after(ErrorKind::NotConnected),
            Progress::Waiting
        ));
        assert!(matches!(
            Attempt::after(ErrorKind::WouldBlock),
            Progress::Waiting
        ));
        assert!(matches!(
            Attempt::after(ErrorKind::ConnectionReset),
            Progress::Failed
        ));
        // What a write to a connection in progress may also say while SYNs are unanswered.
        assert!(matches!(
            Attempt::after(ErrorKind::ConnectionRefused),
            Progress::Failed
        ));
    }
}
