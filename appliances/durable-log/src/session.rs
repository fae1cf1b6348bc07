//! A client: lines come in, answers go out when what they promise is true.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use toro::metrics::Requests;
use toro::net::TcpStream;
use toro::sync::Mutex;
use toro_journal::{Journal, LONGEST, Medium};

/// A client that says nothing for so long is sent away.
const PATIENCE: Duration = Duration::from_secs(600);

/// Longest line: a record and the word before it.
const LINE: usize = LONGEST + 16;

/// What `metrics=` and `trace=` show of it: each line, from when it is there to when its answer is sent.
pub(crate) static REQUESTS: Requests = Requests::new("durable-log");

/// What is answered to a line.
enum Answer {
    /// `ok`, once the record of that number is stable.
    Appended(u64),
    Ready(Vec<u8>),
}

/// Serves a client until it goes.
pub(crate) fn run<M: Medium>(stream: &TcpStream, journal: &Mutex<Journal<M>>) {
    stream.set_read_timeout(Some(PATIENCE));
    let mut lines = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut piece) {
        lines.extend_from_slice(&piece[..len]);
        let end = lines.iter().rposition(|byte| *byte == b'\n');
        let Some(end) = end else {
            if lines.len() > LINE {
                let _ = stream.write_all(b"error the line is too long\n");
                return;
            }
            continue;
        };
        let begun = Requests::begin();
        let whole = lines[..end].split(|byte| *byte == b'\n');
        let answers: Vec<_> = whole.map(|line| answer(line, journal)).collect();
        lines.drain(..=end);
        if stream.write_all(&settled(&answers, journal)).is_err() {
            return;
        }
        answers.iter().for_each(|_| REQUESTS.end(begun));
    }
}

fn answer<M: Medium>(line: &[u8], journal: &Mutex<Journal<M>>) -> Answer {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(text) = line.strip_prefix(b"append ") {
        return match journal.lock().append(text) {
            Ok(number) => Answer::Appended(number),
            Err(reason) => error(&reason.to_string()),
        };
    }
    if line == b"count" {
        let records = journal.lock().records();
        return Answer::Ready(format!("count {records}").into_bytes());
    }
    let number = line.strip_prefix(b"get ").map(core::str::from_utf8);
    let Some(Ok(number)) = number else {
        return error("say `append TEXT`, `get NUMBER` or `count`");
    };
    let Ok(number) = number.parse() else {
        return error("`get` wants a number");
    };
    match journal.lock().read(number) {
        Ok(Some(payload)) => Answer::Ready([b"record ", &payload[..]].concat()),
        Ok(None) => Answer::Ready(b"none".to_vec()),
        Err(reason) => error(&reason.to_string()),
    }
}

fn error(reason: &str) -> Answer {
    Answer::Ready(format!("error {reason}").into_bytes())
}

/// The answers as lines, after a sync for those that need one.
fn settled<M: Medium>(answers: &[Answer], journal: &Mutex<Journal<M>>) -> Vec<u8> {
    let last = answers.iter().rev().find_map(|answer| match answer {
        Answer::Appended(number) => Some(*number),
        Answer::Ready(_) => None,
    });
    let mut synced = Ok(());
    if let Some(last) = last {
        let mut journal = journal.lock();
        // Whoever came first has synced for the others as well.
        if !journal.is_stable(last) {
            synced = journal.sync();
        }
    }
    let mut lines = Vec::new();
    for answer in answers {
        match (answer, &synced) {
            (Answer::Ready(text), _) => lines.extend_from_slice(text),
            (Answer::Appended(number), Ok(())) => {
                lines.extend_from_slice(format!("ok {number}").as_bytes());
            }
            (Answer::Appended(_), Err(reason)) => {
                let reason: String = reason.to_string();
                lines.extend_from_slice(format!("error {reason}").as_bytes());
            }
        }
        lines.push(b'\n');
    }
    lines
}
