//! What each command does and answers.

use alloc::rc::Rc;
use alloc::vec::Vec;

use toro_resp::{Args, Command, Reply};

use crate::store::{CountError, OutOfMemory, Store};

/// No reply but a value or an echo is longer.
pub(crate) const REPLY_MAX: usize = 256;
/// The longest word of the client that an error repeats.
const REPEATED: usize = 64;

const NO_MEMORY: &[&str] = &["OOM command not allowed when used memory > 'maxmemory'."];
const NOT_AN_INTEGER: &[&str] = &["ERR value is not an integer or out of range"];
const OVERFLOW: &[&str] = &["ERR increment or decrement would overflow"];
const SYNTAX: &[&str] = &["ERR syntax error"];

/// What is left to do after a reply of a few bytes.
pub(crate) enum Then<'a> {
    Continue,
    /// The client has had enough.
    Close,
    /// Bytes of the command go back as a string.
    Echo(&'a [u8]),
    /// A value goes out as a string.
    Value(Rc<Vec<u8>>),
}

/// Carries out a command. `reply` has room for [`REPLY_MAX`] bytes.
pub(crate) fn run<'a>(command: &Command<'a>, store: &mut Store, reply: &mut Reply<'_>) -> Then<'a> {
    let mut args = command.args();
    let Some(name) = args.next() else {
        return Then::Continue;
    };
    match (&upper(name), args.len()) {
        (b"GET\0\0\0\0\0", 1) => return get(args, store, reply),
        (b"SET\0\0\0\0\0", 2..) => set(args, store, reply),
        (b"DEL\0\0\0\0\0", 1..) => count(reply, args, |key| store.remove(key)),
        (b"EXISTS\0\0", 1..) => count(reply, args, |key| store.get(key).is_some()),
        (b"INCR\0\0\0\0", 1) => increment(args, store, reply),
        (b"PING\0\0\0\0", 0) => reply.simple("PONG"),
        (b"PING\0\0\0\0" | b"ECHO\0\0\0\0", 1) => {
            return args.next().map_or(Then::Continue, Then::Echo);
        }
        (b"DBSIZE\0\0", 0) => reply.integer(i64::try_from(store.len()).unwrap_or(i64::MAX)),
        // Clients ask for descriptions of the commands and do without.
        (b"COMMAND\0", _) => reply.array(0),
        (b"HELLO\0\0\0", 0..) => hello(args, reply),
        (b"QUIT\0\0\0\0", 0) => {
            reply.simple("OK");
            return Then::Close;
        }
        (
            b"GET\0\0\0\0\0" | b"SET\0\0\0\0\0" | b"DEL\0\0\0\0\0" | b"EXISTS\0\0"
            | b"INCR\0\0\0\0" | b"PING\0\0\0\0" | b"ECHO\0\0\0\0" | b"DBSIZE\0\0" | b"QUIT\0\0\0\0",
            _,
        ) => {
            let name = shown(name);
            reply.error(&["ERR wrong number of arguments for '", name, "' command"]);
        }
        _ => reply.error(&["ERR unknown command '", shown(name), "'"]),
    }
    Then::Continue
}

/// The name in capitals, with zeros behind it; all zeros if it is longer than any that is known.
fn upper(name: &[u8]) -> [u8; 8] {
    let mut upper = [0; 8];
    if let Some(place) = upper.get_mut(..name.len()) {
        for (upper, byte) in place.iter_mut().zip(name) {
            *upper = byte.to_ascii_uppercase();
        }
    }
    upper
}

/// A word of the client as it may stand in an error: short, and nothing that ends a line.
fn shown(word: &[u8]) -> &str {
    let plain = word.iter().take(REPEATED);
    let len = plain.take_while(|byte| matches!(byte, b' '..=b'~')).count();
    str::from_utf8(&word[..len]).unwrap_or("")
}

fn get<'a>(mut args: Args<'a>, store: &Store, reply: &mut Reply<'_>) -> Then<'a> {
    match args.next().and_then(|key| store.get(key)) {
        Some(value) if value.len() < REPLY_MAX - 32 => reply.bulk(value),
        Some(value) => return Then::Value(Rc::clone(value)),
        None => reply.null(),
    }
    Then::Continue
}

/// `SET key value [NX|XX]`
fn set(mut args: Args<'_>, store: &mut Store, reply: &mut Reply<'_>) {
    let (Some(key), Some(value)) = (args.next(), args.next()) else {
        return reply.error(SYNTAX);
    };
    let allowed = match (args.next(), args.next()) {
        (None, _) => true,
        (Some(word), None) if word.eq_ignore_ascii_case(b"NX") => store.get(key).is_none(),
        (Some(word), None) if word.eq_ignore_ascii_case(b"XX") => store.get(key).is_some(),
        _ => return reply.error(SYNTAX),
    };
    if !allowed {
        return reply.null();
    }
    match store.set(key, value) {
        Ok(()) => reply.simple("OK"),
        Err(OutOfMemory) => reply.error(NO_MEMORY),
    }
}

/// Answers for how many keys `what` is true.
fn count(reply: &mut Reply<'_>, keys: Args<'_>, mut what: impl FnMut(&[u8]) -> bool) {
    reply.integer(keys.map(|key| i64::from(what(key))).sum());
}

fn increment(mut args: Args<'_>, store: &mut Store, reply: &mut Reply<'_>) {
    match store.increment(args.next().unwrap_or(b"")) {
        Ok(value) => reply.integer(value),
        Err(CountError::NotAnInteger) => reply.error(NOT_AN_INTEGER),
        Err(CountError::Overflow) => reply.error(OVERFLOW),
        Err(CountError::OutOfMemory) => reply.error(NO_MEMORY),
    }
}

/// `HELLO [2]`: the one version that is spoken.
fn hello(mut args: Args<'_>, reply: &mut Reply<'_>) {
    if args.next().is_some_and(|version| version != b"2") {
        return reply.error(&["NOPROTO unsupported protocol version"]);
    }
    if args.next().is_some() {
        return reply.error(SYNTAX);
    }
    reply.array(6);
    for word in [&b"server"[..], b"toro", b"version", b"0.1.0", b"proto"] {
        reply.bulk(word);
    }
    reply.integer(2);
}
