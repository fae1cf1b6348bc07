//! Commands in both forms, whole, cut anywhere, and mutated.

use toro_resp::{Limits, Parsed, ProtocolError, parse};

const LIMITS: Limits = Limits {
    words: 64,
    word: 1000,
    inline: 256,
    command: 4096,
};

/// The words of the command at the start, and what it takes.
fn whole(input: &[u8]) -> (Vec<Vec<u8>>, usize) {
    match parse(input, &LIMITS) {
        Parsed::Complete { command, consumed } => {
            let words: Vec<_> = command.args().map(<[u8]>::to_vec).collect();
            assert_eq!(words.len(), command.len());
            (words, consumed)
        }
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(input)),
    }
}

fn check(input: &str, expected: &[&str]) {
    let (words, consumed) = whole(input.as_bytes());
    assert_eq!(
        words,
        expected
            .iter()
            .map(|word| word.as_bytes())
            .collect::<Vec<_>>()
    );
    assert_eq!(consumed, input.len());
    for cut in 0..input.len() {
        match parse(&input.as_bytes()[..cut], &LIMITS) {
            Parsed::Partial(needed) => assert!(needed > cut && needed <= input.len()),
            other => panic!("{other:?} for {:?}", &input[..cut]),
        }
    }
}

fn refused(input: &str, error: ProtocolError) {
    assert_eq!(
        parse(input.as_bytes(), &LIMITS),
        Parsed::Invalid(error),
        "{input:?}"
    );
}

#[test]
fn commands_come_as_arrays() {
    check("*1\r\n$4\r\nPING\r\n", &["PING"]);
    check("*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n", &["GET", "hello"]);
    check(
        "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n",
        &["SET", "", "\r\n\r\n"],
    );
    check("*0\r\n", &[]);
    check("*-1\r\n", &[]);
}

#[test]
fn commands_come_as_lines() {
    check("PING\r\n", &["PING"]);
    check("  SET  a\tb  \n", &["SET", "a", "b"]);
    check("\r\n", &[]);
}

#[test]
fn what_follows_is_left() {
    assert_eq!(whole(b"PING\r\nPING\r\n").1, 6);
    assert_eq!(whole(b"*1\r\n$4\r\nPING\r\n*1\r\n").1, 14);
}

#[test]
fn what_is_no_command_is_refused() {
    refused("*a\r\n", ProtocolError::InvalidCount);
    refused("*\r\n", ProtocolError::InvalidCount);
    refused("*1\n", ProtocolError::InvalidCount);
    refused("*65\r\n", ProtocolError::InvalidCount);
    refused("*9999999999", ProtocolError::InvalidCount);
    refused("*1\r\nGET\r\n", ProtocolError::ExpectedLength);
    refused("*1\r\n$-1\r\n", ProtocolError::InvalidLength);
    refused("*1\r\n$1001\r\n", ProtocolError::InvalidLength);
    refused("*1\r\n$99999999999\r\n", ProtocolError::InvalidLength);
    refused("*1\r\n$3\r\nPING\r\n", ProtocolError::ExpectedEnd);
    refused(&"x".repeat(256), ProtocolError::LineTooLong);
    let word = format!("$1000\r\n{}\r\n", "x".repeat(1000));
    refused(
        &format!("*6\r\n{}$1000\r\n", word.repeat(4)),
        ProtocolError::TooLarge,
    );
    refused(
        &" a".repeat(65).replacen(' ', "", 1).add("\r\n"),
        ProtocolError::InvalidCount,
    );
}

trait Add {
    fn add(self, tail: &str) -> String;
}

impl Add for String {
    fn add(mut self, tail: &str) -> String {
        self.push_str(tail);
        self
    }
}

/// A xorshift generator: the same commands in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

const SEEDS: [&[u8]; 4] = [
    b"*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n0123456789\r\n",
    b"SET a b\r\nGET a\r\n",
    b"*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n",
];
const PIECES: [&[u8]; 10] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"*",
    b"$",
    b"-1",
    b"999999999",
    b"0",
    b"$0\r\n\r\n",
    b"\0",
];

fn mutate(random: &mut Random) -> Vec<u8> {
    let mut bytes = SEEDS[random.below(SEEDS.len())].to_vec();
    bytes.extend_from_slice(SEEDS[random.below(SEEDS.len())]);
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() + 1);
        match random.below(4) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).expect("a byte"),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => {
                let end = (at + random.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied());
            }
        }
    }
    bytes
}

/// Whatever arrives: no panic, words that lie in the input, and the same outcome wherever it is cut.
#[test]
fn no_mutation_gets_the_parser_out_of_step() {
    let mut random = Random(0x7070_2026);
    for _ in 0..300_000 {
        let bytes = mutate(&mut random);
        let cut = random.below(bytes.len() + 1);
        let (prefix, all) = (parse(&bytes[..cut], &LIMITS), parse(&bytes, &LIMITS));
        let text = String::from_utf8_lossy(&bytes);
        match (prefix, all) {
            (Parsed::Partial(needed), all) => {
                assert!(needed > cut, "{text:?}");
                if let Parsed::Complete { consumed, .. } = all {
                    assert!(consumed >= needed, "{consumed} {needed} {text:?}");
                }
            }
            (Parsed::Complete { consumed, .. }, Parsed::Complete { consumed: all, .. }) => {
                assert_eq!(consumed, all, "{text:?}");
                assert!(consumed > 0 && consumed <= cut, "{text:?}");
                let (words, _) = whole(&bytes);
                assert!(words.iter().map(Vec::len).sum::<usize>() <= consumed);
            }
            (Parsed::Invalid(one), Parsed::Invalid(other)) => assert_eq!(one, other, "{text:?}"),
            other => panic!("{other:?} for {text:?}"),
        }
    }
}
