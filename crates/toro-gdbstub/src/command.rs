//! [`Command`]: what the text of a packet asks for.

use core::ops::Range;

use crate::hex::{digit, number};
use crate::points::{Point, PointKind};
use crate::resume::{Action, Resume};

/// A packet that was understood (GDB manual, E.2 to E.6).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// `?`: why does it stand still?
    WhyStopped,
    /// `qSupported`: what do both sides know?
    Features,
    /// `QStartNoAckMode`: no more `+`.
    NoAcks,
    /// `vCont?`: in which ways can a thread go on?
    Ways,
    /// `vCont`: go on.
    Resume(Resume),
    /// `Hg`: the thread whose registers are meant; `None` for any.
    Select(Option<u64>),
    /// `Hc`: nothing, since `vCont` names its threads.
    SelectForResume,
    /// `qC`: which thread is selected?
    Selected,
    /// `T`: is that thread alive?
    IsAlive(u64),
    /// `g`: all registers.
    Registers,
    /// `G`: set them, from digits.
    SetRegisters(&'a [u8]),
    /// `p`: one register.
    Register(usize),
    /// `P`: set it, from digits.
    SetRegister(usize, &'a [u8]),
    /// `m`: so many bytes of memory.
    Read(u64, u64),
    /// `M`: set so many, from digits.
    Write(u64, u64, &'a [u8]),
    /// `X`: set so many, from binary text.
    WriteBinary(u64, u64, &'a [u8]),
    /// `Z`.
    Insert(Point),
    /// `z`.
    Remove(Point),
    /// `qXfer:features:read:target.xml`: so many bytes of the description of the registers from there on.
    Description(u64, u64),
    /// `qXfer:threads:read`: the same of the list of threads.
    Threads(u64, u64),
    /// `qRcmd`: a command of `monitor`, in digits.
    Monitor(&'a [u8]),
    /// `qAttached`: was it there before gdb came?
    WasThere,
    /// `D`: go on without gdb.
    Detach,
    /// `k` or `vKill`: end the machine.
    Kill,
    /// Something else.
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads a packet; `None` if it begins like one that is known and goes on wrong.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (&letter, rest) = text.split_first().unwrap_or((&0, &[]));
        Some(match letter {
            b'?' => Self::WhyStopped,
            b'H' => return select(rest),
            b'T' => Self::IsAlive(number(rest)?),
            b'g' => Self::Registers,
            b'G' => Self::SetRegisters(rest),
            b'p' => Self::Register(index(rest)?),
            b'P' => {
                let (register, value) = split(rest, b'=')?;
                Self::SetRegister(index(register)?, value)
            }
            b'm' => {
                let Range { start, end } = pair(rest)?;
                Self::Read(start, end)
            }
            b'M' => {
                let (place, bytes) = split(rest, b':')?;
                let Range { start, end } = pair(place)?;
                Self::Write(start, end, bytes)
            }
            b'X' => {
                let (place, bytes) = split(rest, b':')?;
                let Range { start, end } = pair(place)?;
                Self::WriteBinary(start, end, bytes)
            }
            b'Z' => Self::Insert(point(rest)?),
            b'z' => Self::Remove(point(rest)?),
            b'D' => Self::Detach,
            b'k' => Self::Kill,
            b'v' | b'q' | b'Q' => return named(text),
            _ => Self::Unknown,
        })
    }
}

fn named(text: &[u8]) -> Option<Command<'_>> {
    let behind = |start: &str| text.strip_prefix(start.as_bytes());
    if text.starts_with(b"qSupported") {
        return Some(Command::Features);
    }
    if let Some(place) = behind("qXfer:features:read:target.xml:") {
        return pair(place).map(|Range { start, end }| Command::Description(start, end));
    }
    if let Some(place) = behind("qXfer:threads:read::") {
        return pair(place).map(|Range { start, end }| Command::Threads(start, end));
    }
    if let Some(command) = behind("qRcmd,") {
        return Some(Command::Monitor(command));
    }
    if let Some(actions) = behind("vCont;") {
        return resume(actions).map(Command::Resume);
    }
    Some(match text {
        b"QStartNoAckMode" => Command::NoAcks,
        b"vCont?" => Command::Ways,
        b"qC" => Command::Selected,
        _ if text.starts_with(b"qAttached") => Command::WasThere,
        _ if text.starts_with(b"vKill") => Command::Kill,
        _ => Command::Unknown,
    })
}

fn select(text: &[u8]) -> Option<Command<'_>> {
    match text.split_first()? {
        (b'g', b"0" | b"-1") => Some(Command::Select(None)),
        (b'g', thread) => Some(Command::Select(Some(number(thread)?))),
        (b'c', _) => Some(Command::SelectForResume),
        _ => None,
    }
}

/// The actions of `vCont`: `s:2;c`, each perhaps with a signal, which nobody takes here.
fn resume(text: &[u8]) -> Option<Resume> {
    let mut resume = Resume::default();
    for action in text.split(|&byte| byte == b';') {
        let (what, thread) = match split(action, b':') {
            Some((what, b"-1")) => (what, None),
            Some((what, thread)) => (what, Some(number(thread)?)),
            None => (action, None),
        };
        let (&letter, rest) = what.split_first()?;
        let action = match letter {
            b'c' | b'C' => Action::Continue,
            b's' | b'S' => Action::Step(0..0),
            b'r' => Action::Step(pair(rest)?),
            _ => return None,
        };
        if !resume.add(thread, action) {
            return None;
        }
    }
    Some(resume)
}

/// `KIND,ADDRESS,LENGTH`, with conditions behind it that are not offered, hence not sent.
fn point(text: &[u8]) -> Option<Point> {
    let (kind, place) = split(text, b',')?;
    let &[kind] = kind else {
        return None;
    };
    let Range { start, end } = pair(place)?;
    Some(Point {
        kind: PointKind::parse(kind)?,
        addr: start,
        len: end,
    })
}

/// Two numbers with a comma between.
fn pair(text: &[u8]) -> Option<Range<u64>> {
    let (first, second) = split(text, b',')?;
    Some(number(first)?..number(second)?)
}

fn index(text: &[u8]) -> Option<usize> {
    usize::try_from(number(text)?).ok()
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|&byte| byte == at)?;
    Some((&text[..position], &text[position + 1..]))
}

/// The bytes that binary text stands for; each that is escaped takes two.
pub(crate) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text.iter();
    core::iter::from_fn(move || match rest.next()? {
        b'}' => Some(rest.next()? ^ 0x20),
        &byte => Some(byte),
    })
}

/// The characters that pairs of digits stand for, as far as they are printable ASCII.
pub(crate) fn characters(text: &[u8]) -> impl Iterator<Item = u8> {
    text.as_chunks::<2>()
        .0
        .iter()
        .filter_map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .filter(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::{Command, unescaped};
    use crate::points::{Point, PointKind};
    use crate::resume::{Action, Resume};

    fn check(text: &str, expected: Option<Command<'_>>) {
        assert_eq!(Command::parse(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn packets_are_understood() {
        check("?", Some(Command::WhyStopped));
        check("qSupported:swbreak+", Some(Command::Features));
        check("Hg1f", Some(Command::Select(Some(31))));
        check("Hg0", Some(Command::Select(None)));
        check("Hc-1", Some(Command::SelectForResume));
        check("m100000,40", Some(Command::Read(0x10_0000, 0x40)));
        check("M10,1:ff", Some(Command::Write(16, 1, b"ff")));
        check("P10=00", Some(Command::SetRegister(16, b"00")));
        check("qRcmd,6865", Some(Command::Monitor(b"6865")));
        let point = Point {
            kind: PointKind::Write,
            addr: 0x1234,
            len: 8,
        };
        check("Z2,1234,8", Some(Command::Insert(point)));
        check("qXfer:threads:read::0,ff", Some(Command::Threads(0, 255)));
        check("", Some(Command::Unknown));
        check("vMustReplyEmpty", Some(Command::Unknown));
    }

    #[test]
    fn actions_are_kept_in_order() {
        let mut resume = Resume::default();
        resume.add(Some(3), Action::Step(0x10..0x20));
        resume.add(None, Action::Continue);
        check("vCont;r10,20:3;c:-1", Some(Command::Resume(resume)));
    }

    #[test]
    fn what_goes_on_wrong_is_refused() {
        for wrong in [
            "m",
            "m1",
            "m,1",
            "mx,1",
            "M1,1",
            "Z5,1,1",
            "Z0",
            "Hx1",
            "H",
            "P1",
            "pz",
            "vCont;",
            "vCont;x",
            "vCont;s:",
            "T",
            "qXfer:threads:read::1",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn binary_text_is_read() {
        let bytes: Vec<u8> = unescaped(b"a}\x03b}").collect();
        assert_eq!(bytes, b"a#b");
    }
}
