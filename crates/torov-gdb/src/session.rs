//! [`Session`]: answers one debugger.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use torov_abi::Signal;
use torov_calls::debug::{Debug, Event, Mode};
use torov_calls::{Ending, Process};
use torov_host::{self as host, Polled};

use crate::packet::{self, Item, bytes, hex, number};
use crate::registers;

/// How many bytes of memory are read at once: their digits fit into a packet.
const MOST_MEMORY: u64 = 0x1f00;

const POLLIN: i16 = 1;

/// A conversation.
#[derive(Debug)]
pub(crate) struct Session {
    stream: File,
    process: Arc<Process>,
    debug: Arc<Debug>,
    auxiliary: Vec<u8>,
    inbox: Vec<u8>,
    /// Whether packets are answered by `+`.
    acknowledges: bool,
    runs: bool,
    /// The thread that questions are about.
    current: i32,
    /// Why the threads have stopped.
    stop: String,
}

/// What becomes of a packet.
enum Answer {
    /// This is sent.
    Text(String),
    /// These bytes are sent.
    Bytes(Vec<u8>),
    /// Nothing, until the threads stop again.
    Later,
    /// `OK`, and that was it.
    Farewell,
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Session {
    pub(crate) fn new(
        stream: File,
        process: Arc<Process>,
        debug: Arc<Debug>,
        auxiliary: Vec<u8>,
    ) -> Self {
        Self {
            stream,
            process,
            debug,
            auxiliary,
            inbox: Vec::new(),
            acknowledges: true,
            runs: true,
            current: 0,
            stop: String::new(),
        }
    }

    /// Serves until the debugger goes or the program ends.
    pub(crate) fn serve(&mut self) {
        // Whether it went or was lost: the program goes on without it.
        let _ = self.converse();
        self.debug.detach(&self.process);
        self.debug.is_told();
    }

    fn converse(&mut self) -> io::Result<()> {
        loop {
            let (stream, bell) = (self.stream.as_fd(), self.debug.bell());
            let mut polled =
                [(Some(stream), POLLIN), (Some(bell), POLLIN)].map(|(fd, events)| Polled {
                    fd,
                    events,
                    found: 0,
                });
            if !self.runs {
                polled[1].fd = None;
            }
            // gdb begins by asking why the program has stopped: it is heard once that is so.
            if self.stop.is_empty() {
                polled[0].fd = None;
            }
            let waited = host::poll(&mut polled, None);
            waited.map_err(|error| io::Error::from_raw_os_error(error.number().into()))?;
            let [said, rung] = polled.map(|entry| entry.found != 0);
            if rung && !self.has_stopped()? {
                return Ok(());
            }
            if said && !self.listen()? {
                return Ok(());
            }
        }
    }

    /// Tells of an event; false if it was the last.
    fn has_stopped(&mut self) -> io::Result<bool> {
        let Some(event) = self.debug.take_event() else {
            return Ok(true);
        };
        // The first stop is not told: gdb asks for it.
        let is_told = !self.stop.is_empty();
        let (tid, text) = match event {
            Event::Exit(status) => {
                self.send(format!("W{status:02x}").as_bytes())?;
                return Ok(false);
            }
            Event::Breakpoint(tid) => (tid, format!("T05swbreak:;thread:{tid:x};")),
            Event::Watchpoint(tid, at) => (tid, format!("T05watch:{at:x};thread:{tid:x};")),
            Event::Signal(tid, signal) => {
                let number = gdb_number(signal);
                (tid, format!("T{number:02x}thread:{tid:x};"))
            }
        };
        self.debug.stop(&self.process);
        self.runs = false;
        self.current = tid;
        self.stop = text;
        if is_told {
            self.send(self.stop.clone().as_bytes())?;
        }
        Ok(true)
    }

    /// Reads what has come, and answers it; false if the debugger goes.
    fn listen(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        let len = self.stream.read(&mut piece)?;
        if len == 0 {
            return Ok(false);
        }
        self.inbox.extend(&piece[..len]);
        while let Some(item) = packet::next(&mut self.inbox) {
            match item {
                Item::Interrupt if self.runs => {
                    let tid = self.debug.threads().first().copied().unwrap_or(0);
                    self.debug.interrupt(&self.process, tid);
                }
                Item::Interrupt => {}
                Item::Damaged => self.stream.write_all(b"-")?,
                Item::Packet(text) => {
                    if self.acknowledges {
                        self.stream.write_all(b"+")?;
                    }
                    match self.answer(&text) {
                        Answer::Text(text) => self.send(text.as_bytes())?,
                        Answer::Bytes(bytes) => self.send(&bytes)?,
                        Answer::Later => {}
                        Answer::Farewell => {
                            self.send(b"OK")?;
                            return Ok(false);
                        }
                    }
                    if text == b"QStartNoAckMode" {
                        self.acknowledges = false;
                    }
                }
            }
        }
        Ok(true)
    }

    fn send(&mut self, text: &[u8]) -> io::Result<()> {
        self.stream.write_all(&packet::packet(text))
    }

    fn answer(&mut self, text: &[u8]) -> Answer {
        if let Some(question) = text.strip_prefix(b"q") {
            return self.question(question);
        }
        let (letter, rest) = text.split_first().unwrap_or((&b' ', &[]));
        match letter {
            b'?' => Answer::Text(self.stop.clone()),
            b'g' => self.look(|halted| Some(registers::read_all(halted))),
            b'p' => self.look(|halted| {
                let number = usize::try_from(number(rest)?).ok()?;
                registers::read_one(halted, number)
            }),
            b'G' => self.change(|halted| {
                registers::write_all(halted, &bytes(rest)?);
                Some(())
            }),
            b'P' => self.change(|halted| {
                let (index, value) = split(rest, b'=')?;
                let index = usize::try_from(number(index)?).ok()?;
                registers::write_one(halted, index, &bytes(value)?).then_some(())
            }),
            b'm' => self.read_memory(rest).unwrap_or_else(|| "E0e".into()),
            b'M' | b'X' => done(self.write_memory(rest, *letter == b'X')),
            b'Z' | b'z' => self.breakpoint(rest, *letter == b'Z'),
            b'H' => {
                self.choose(rest);
                "OK".into()
            }
            b'T' => done(self.thread(rest).map(drop)),
            b'c' | b'C' => self.resume(&[(Mode::Run, *letter == b'C', None)]),
            b's' | b'S' => {
                let current = (Mode::Step, *letter == b'S', Some(self.current));
                self.resume(&[current, (Mode::Run, false, None)])
            }
            b'v' => self.verb(rest),
            b'k' => {
                self.process.end(&Ending::Signal(Signal::SIGKILL));
                Answer::Farewell
            }
            b'D' => Answer::Farewell,
            b'Q' if rest == b"StartNoAckMode" => "OK".into(),
            b'Q' => match rest.strip_prefix(b"PassSignals:") {
                Some(list) => {
                    self.debug.pass_over(signals(list));
                    "OK".into()
                }
                None => "".into(),
            },
            _ => "".into(),
        }
    }

    fn question(&self, text: &[u8]) -> Answer {
        const PLEASE: &str = "PacketSize=4000;qXfer:features:read+;qXfer:auxv:read+;\
                              vContSupported+;swbreak+;QStartNoAckMode+;QPassSignals+";
        if text.starts_with(b"Supported") {
            return PLEASE.into();
        }
        if let Some(range) = text.strip_prefix(b"Xfer:features:read:target.xml:") {
            return piece(registers::description().as_bytes(), range);
        }
        if let Some(range) = text.strip_prefix(b"Xfer:auxv:read::") {
            return piece(&self.auxiliary, range);
        }
        match text {
            b"C" => Answer::Text(format!("QC{:x}", self.current)),
            b"Attached" => "1".into(),
            b"fThreadInfo" => {
                let threads = self.debug.threads();
                let list: Vec<String> = threads.iter().map(|tid| format!("{tid:x}")).collect();
                Answer::Text(format!("m{}", list.join(",")))
            }
            b"sThreadInfo" => "l".into(),
            b"Symbol::" => "OK".into(),
            _ => "".into(),
        }
    }

    fn verb(&mut self, text: &[u8]) -> Answer {
        if text == b"Cont?" {
            return "vCont;c;C;s;S".into();
        }
        if text.starts_with(b"Kill") {
            self.process.end(&Ending::Signal(Signal::SIGKILL));
            return Answer::Farewell;
        }
        let Some(actions) = text.strip_prefix(b"Cont;") else {
            return "".into();
        };
        let mut modes = Vec::new();
        for action in actions.split(|byte| *byte == b';') {
            let (what, whom) =
                split(action, b':').map_or((action, None), |(what, whom)| (what, Some(whom)));
            let (mode, passes) = match what.first() {
                Some(letter @ (b'c' | b'C')) => (Mode::Run, *letter == b'C'),
                Some(letter @ (b's' | b'S')) => (Mode::Step, *letter == b'S'),
                _ => return "E16".into(),
            };
            let tid = match whom {
                None | Some(b"-1") => None,
                Some(digits) => number(digits).and_then(|tid| i32::try_from(tid).ok()),
            };
            modes.push((mode, passes, tid));
        }
        self.resume(&modes)
    }

    /// Lets the threads go on: for each the first of `modes` holds that means it. The middle says whether it gets the signal
    /// that it stopped for.
    fn resume(&mut self, modes: &[(Mode, bool, Option<i32>)]) -> Answer {
        self.runs = true;
        self.debug.resume(|tid| {
            let mut modes = modes.iter();
            let mode = modes.find(|(.., whom)| whom.is_none_or(|whom| whom == tid));
            mode.map_or((Mode::Halt, false), |(mode, passes, _)| (*mode, *passes))
        });
        Answer::Later
    }

    fn look(
        &self,
        look: impl FnOnce(&mut torov_calls::debug::Halted) -> Option<Vec<u8>>,
    ) -> Answer {
        match self.debug.with(self.current, look).flatten() {
            Some(bytes) => Answer::Text(hex(&bytes)),
            None => "E16".into(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut torov_calls::debug::Halted) -> Option<()>) -> Answer {
        done(self.debug.with(self.current, change).flatten())
    }

    /// Reads as much as is there of what is asked for.
    fn read_memory(&self, text: &[u8]) -> Option<Answer> {
        let (at, len) = split(text, b',')?;
        let (at, len) = (number(at)?, number(len)?.min(MOST_MEMORY));
        let mut found = Vec::new();
        while torov_abi::word::wide(found.len()) < len {
            let here = at.checked_add(torov_abi::word::wide(found.len()))?;
            let rest = len - torov_abi::word::wide(found.len());
            let mut piece = vec![0; torov_abi::word::size(rest.min(4096 - here % 4096))];
            if self.process.memory().read(here, &mut piece).is_err() {
                break;
            }
            found.append(&mut piece);
        }
        (!found.is_empty() || len == 0).then(|| Answer::Text(hex(&found)))
    }

    fn write_memory(&self, text: &[u8], binary: bool) -> Option<()> {
        let (range, value) = split(text, b':')?;
        let (at, _) = split(range, b',')?;
        let value = if binary {
            value.to_vec()
        } else {
            bytes(value)?
        };
        self.process.memory().load(number(at)?, &value).ok()
    }

    /// Breakpoints in software, and watchpoints for what is written; there are no others.
    fn breakpoint(&self, text: &[u8], add: bool) -> Answer {
        let mut parts = text.split(|byte| *byte == b',');
        let kind = parts.next();
        let (Some(at), Some(len)) = (parts.next().and_then(number), parts.next().and_then(number))
        else {
            return "E16".into();
        };
        let changed = match (kind, add) {
            (Some(b"0"), true) => self.debug.add_breakpoint(&self.process, at),
            (Some(b"0"), false) => self.debug.remove_breakpoint(&self.process, at),
            (Some(b"2"), true) => self.debug.add_watchpoint(&self.process, at, len),
            (Some(b"2"), false) => {
                self.debug.remove_watchpoint(at, len);
                Ok(())
            }
            _ => return "".into(),
        };
        done(changed.ok())
    }

    fn choose(&mut self, text: &[u8]) {
        if text.first() == Some(&b'g')
            && let Some(tid) = self.thread(&text[1..])
        {
            self.current = tid;
        }
    }

    /// The thread with these digits, if there is one.
    fn thread(&self, digits: &[u8]) -> Option<i32> {
        let tid = number(digits).and_then(|tid| i32::try_from(tid).ok())?;
        self.debug.threads().contains(&tid).then_some(tid)
    }
}

fn done(done: Option<()>) -> Answer {
    done.map_or("E16".into(), |()| "OK".into())
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// A piece of something long: `m` if more follows, `l` if not.
fn piece(whole: &[u8], range: &[u8]) -> Answer {
    let numbers = split(range, b',').and_then(|(at, len)| {
        let at = usize::try_from(number(at)?).ok()?;
        Some((
            at,
            usize::try_from(number(len)?).ok()?.min(packet::MOST / 4),
        ))
    });
    let Some((at, len)) = numbers else {
        return "E16".into();
    };
    let rest = whole.get(at..).unwrap_or(&[]);
    let letter = if rest.len() > len { b'm' } else { b'l' };
    let mut bytes = vec![letter];
    bytes.extend(&rest[..len.min(rest.len())]);
    Answer::Bytes(bytes)
}

/// The signals of a list of gdb's numbers, a bit for each.
fn signals(list: &[u8]) -> u64 {
    let numbers: Vec<u64> = list
        .split(|byte| *byte == b';')
        .filter_map(number)
        .collect();
    let wanted = (1..=64).filter(|signal| {
        let signal = Signal::new(*signal);
        signal.is_some_and(|signal| numbers.contains(&gdb_number(signal).into()))
    });
    wanted.fold(0, |all, signal| all | 1 << (signal - 1))
}

/// gdb numbers signals as an old Unix did.
fn gdb_number(signal: Signal) -> u8 {
    match signal.number() {
        7 => 10,
        10 => 30,
        12 => 31,
        17 => 20,
        31 => 12,
        number @ (1..=15 | 24 | 25) => number,
        _ => 143,
    }
}
