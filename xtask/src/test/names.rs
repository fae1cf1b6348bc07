//! The names that the peers of a test image know, each with a trap of its own (RFC 1035, 4).

/// The host, as the image sees it.
const HOST: [u8; 4] = [10, 0, 2, 2];
/// Whom nobody should believe in.
const LIAR: [u8; 4] = [6, 6, 6, 6];

const TYPE_A: u8 = 1;
const TYPE_CNAME: u8 = 5;
const HEADER_LEN: usize = 12;

/// What comes back for a question by datagram.
pub(super) fn answers(question: &[u8]) -> Vec<Vec<u8>> {
    let Some(name) = asked(question) else {
        return Vec::new();
    };
    match name.as_str() {
        "silent.test" => Vec::new(),
        "cut.test" => {
            let mut cut = answer(question, 0, &[]);
            cut[2] |= 2;
            vec![cut]
        }
        // Others guess before the server speaks: another number, another question, another name in the answer.
        "guessed.test" => {
            let lie = [record(&name, TYPE_A, &LIAR)];
            let mut number = answer(question, 0, &lie);
            number[0] ^= 1;
            let mut other = answer(question, 0, &lie);
            other[HEADER_LEN + 1] ^= 1;
            vec![number, other, whole(question, &name)]
        }
        _ => vec![whole(question, &name)],
    }
}

/// What comes back for a question by connection, which nothing cuts.
pub(super) fn whole_answer(question: &[u8]) -> Option<Vec<u8>> {
    Some(whole(question, &asked(question)?))
}

fn whole(question: &[u8], name: &str) -> Vec<u8> {
    let host = || record(name, TYPE_A, &HOST);
    let is_a = question.ends_with(&[0, TYPE_A, 0, 1]);
    match name {
        "host.test" | "cut.test" | "guessed.test" if is_a => answer(question, 0, &[host()]),
        "poisoned.test" if is_a => {
            let lie = record("host.test", TYPE_A, &LIAR);
            answer(question, 0, &[lie, host()])
        }
        "alias.test" => answer(question, 0, &[alias(name, "elsewhere.test")]),
        "elsewhere.test" if is_a => {
            let records = [
                alias(name, "www.host.test"),
                record("www.host.test", TYPE_A, &HOST),
            ];
            answer(question, 0, &records)
        }
        "ring.test" => answer(question, 0, &[alias(name, "wring.test")]),
        "wring.test" => answer(question, 0, &[alias(name, "ring.test")]),
        "host.test" | "cut.test" | "empty.test" => answer(question, 0, &[]),
        "broken.test" => answer(question, 2, &[]),
        _ => answer(question, 3, &[]),
    }
}

/// The name of a question, in small letters.
fn asked(question: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    let mut at = HEADER_LEN;
    loop {
        let len = usize::from(*question.get(at)?);
        if len == 0 {
            return Some(labels.join("."));
        }
        let label = question.get(at + 1..=at + len)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + len;
    }
}

/// The question with an answer behind it.
fn answer(question: &[u8], code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = question.to_vec();
    (message[2], message[3]) = (0x81, 0x80 | code);
    message[7] = u8::try_from(records.len()).unwrap_or(u8::MAX);
    message.extend(records.concat());
    message
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').map(|label| {
        let len = u8::try_from(label.len()).unwrap_or(63);
        [&[len], label.as_bytes()].concat()
    });
    [labels.collect::<Vec<_>>().concat(), vec![0]].concat()
}

fn record(owner: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let len = u8::try_from(data.len()).unwrap_or(u8::MAX);
    let fixed = [0, kind, 0, 1, 0, 0, 1, 0, 0, len];
    [wire(owner), fixed.to_vec(), data.to_vec()].concat()
}

fn alias(owner: &str, target: &str) -> Vec<u8> {
    record(owner, TYPE_CNAME, &wire(target))
}
