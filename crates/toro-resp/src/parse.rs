//! Finding a command in what has arrived.

use core::fmt;

use crate::command::{Command, Form};

/// How much a client may send in one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Words of a command.
    pub words: usize,
    /// Bytes of a word.
    pub word: usize,
    /// Bytes of a command written as one line.
    pub inline: usize,
    /// Bytes of a command with all its lengths and line ends. Input never has to grow past this.
    pub command: usize,
}

/// What is at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole command.
    Complete {
        /// The command.
        command: Command<'a>,
        /// Bytes of the input that it takes.
        consumed: usize,
    },
    /// More is needed: at least as many bytes in all.
    Partial(usize),
    /// No command; the connection ends with that answer.
    Invalid(ProtocolError),
}

/// Why something is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number of words is no number, or too large.
    InvalidCount,
    /// The length of a word is no number, or too large.
    InvalidLength,
    /// A word does not begin with its length.
    ExpectedLength,
    /// A word does not end where its length says.
    ExpectedEnd,
    /// A line has no end.
    LineTooLong,
    /// The command as a whole is too large.
    TooLarge,
}

impl ProtocolError {
    /// What Redis calls it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidCount => "invalid multibulk length",
            Self::InvalidLength => "invalid bulk length",
            Self::ExpectedLength => "expected '$'",
            Self::ExpectedEnd => "expected a line end behind a word",
            Self::LineTooLong => "too big inline request",
            Self::TooLarge => "too big command",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for ProtocolError {}

/// Why a walk ended early.
enum Stop {
    Partial(usize),
    Invalid(ProtocolError),
}

/// Finds the command at the start of `input`.
///
/// Input that is `Partial` is looked at again from its start when more has come. The outcome does not depend on how the
/// bytes were cut into packets.
#[must_use]
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let parsed = match input.first() {
        None => Err(Stop::Partial(1)),
        Some(b'*') => array(input, limits),
        Some(_) => inline(input, limits),
    };
    match parsed {
        Ok((command, consumed)) => Parsed::Complete { command, consumed },
        Err(Stop::Partial(needed)) if needed > limits.command => {
            Parsed::Invalid(ProtocolError::TooLarge)
        }
        Err(Stop::Partial(needed)) => Parsed::Partial(needed),
        Err(Stop::Invalid(error)) => Parsed::Invalid(error),
    }
}

/// `*N`, then N words, each as `$len` and its bytes.
fn array<'a>(input: &'a [u8], limits: &Limits) -> Result<(Command<'a>, usize), Stop> {
    let (words, start) = match number(input, 1, ProtocolError::InvalidCount)? {
        // Redis takes no words, or fewer, for an empty command.
        (None | Some(0), start) => (0, start),
        (Some(words), _) if words > limits.words => {
            return Err(Stop::Invalid(ProtocolError::InvalidCount));
        }
        (Some(words), start) => (words, start),
    };
    let mut at = start;
    for left in (0..words).rev() {
        match input.get(at) {
            Some(b'$') => {}
            // Each word that is missing takes at least `$0`, its line end and another.
            None => return Err(Stop::Partial(at + 6 * (left + 1))),
            Some(_) => return Err(Stop::Invalid(ProtocolError::ExpectedLength)),
        }
        let (Some(len), word) = number(input, at + 1, ProtocolError::InvalidLength)? else {
            return Err(Stop::Invalid(ProtocolError::InvalidLength));
        };
        if len > limits.word {
            return Err(Stop::Invalid(ProtocolError::InvalidLength));
        }
        let end = word + len;
        at = end + 2;
        // Refused as soon as it is announced: nothing is gathered for it.
        if at > limits.command {
            return Err(Stop::Invalid(ProtocolError::TooLarge));
        }
        match input.get(end..at) {
            Some(b"\r\n") => {}
            None => return Err(Stop::Partial(at + 6 * left)),
            Some(_) => return Err(Stop::Invalid(ProtocolError::ExpectedEnd)),
        }
    }
    let command = Command {
        form: Form::Bulk(&input[start..at]),
        len: words,
    };
    Ok((command, at))
}

/// The number in the line at `at`, and where the next line begins; `None` for a negative one.
#[inline]
fn number(input: &[u8], at: usize, error: ProtocolError) -> Result<(Option<usize>, usize), Stop> {
    /// No length that is allowed has more.
    const DIGITS: usize = 9;
    // Most are of one digit.
    if let Some([digit @ b'0'..=b'9', b'\r', b'\n']) = input.get(at..at + 3) {
        return Ok((Some(usize::from(digit - b'0')), at + 3));
    }
    let is_negative = input.get(at) == Some(&b'-');
    let first = at + usize::from(is_negative);
    let (mut value, mut end) = (0, first);
    while let Some(digit @ b'0'..=b'9') = input.get(end) {
        if end - first == DIGITS {
            return Err(Stop::Invalid(error));
        }
        value = value * 10 + usize::from(digit - b'0');
        end += 1;
    }
    match (input.get(end), input.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) if end > first => Ok(((!is_negative).then_some(value), end + 2)),
        (None, _) => Err(Stop::Partial(end + if end > first { 2 } else { 3 })),
        (Some(b'\r'), None) if end > first => Err(Stop::Partial(end + 2)),
        _ => Err(Stop::Invalid(error)),
    }
}

/// One line, as a person types it; a bare LF ends it too.
fn inline<'a>(input: &'a [u8], limits: &Limits) -> Result<(Command<'a>, usize), Stop> {
    let head = &input[..input.len().min(limits.inline)];
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return Err(if input.len() >= limits.inline {
            Stop::Invalid(ProtocolError::LineTooLong)
        } else {
            Stop::Partial(input.len() + 1)
        });
    };
    let line = head[..end].trim_ascii();
    let words = line.split(u8::is_ascii_whitespace);
    let len = words.filter(|word| !word.is_empty()).count();
    if len > limits.words {
        return Err(Stop::Invalid(ProtocolError::InvalidCount));
    }
    let command = Command {
        form: Form::Inline(line),
        len,
    };
    Ok((command, end + 1))
}
