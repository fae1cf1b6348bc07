//! Seeded mutations of good requests: whatever arrives, the server stays in step with itself.

use crate::site::{exchange, exchange_in_pieces};
use toro_http::{Limits, Parsed, Target, parse};

const ROUNDS: usize = 200_000;

const SEEDS: [&[u8]; 6] = [
    b"GET /dir/index.html?a=b HTTP/1.1\r\nHost: a:80\r\nConnection: keep-alive\r\n\r\n",
    b"GET /%61.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\nIf-Range: \"2ebc9f61-a\"\r\n\r\n",
    b"HEAD http://a/with%20space HTTP/1.0\r\nIf-None-Match: W/\"x\", \"y\"\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"GET /a.txt HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
      If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n",
];

/// Pieces that the rules of the protocol turn on.
const PIECES: [&[u8]; 20] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"%2e",
    b"%00",
    b"../",
    b"//",
    b"\xff",
    b"HTTP/1.1",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n",
    b"0\r\n\r\n",
    b"\"",
    b",",
    b"99999999999999999999",
];

/// A xorshift generator: the same requests in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

fn mutate(random: &mut Random) -> Vec<u8> {
    let mut bytes = SEEDS[random.below(SEEDS.len())].to_vec();
    if random.below(3) == 0 {
        bytes.extend_from_slice(SEEDS[random.below(SEEDS.len())]);
    }
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => {
                let end = (at + random.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied());
            }
        }
    }
    bytes
}

/// What a prefix says must hold for the whole: a packet boundary decides nothing.
fn check_prefix(bytes: &[u8], cut: usize) {
    let prefix = parse(&bytes[..cut], &Limits::DEFAULT);
    let whole = parse(bytes, &Limits::DEFAULT);
    match (&prefix, &whole) {
        (Parsed::Partial, _) => {}
        (Parsed::Complete { consumed: a, .. }, Parsed::Complete { consumed: b, .. }) if a == b => {
            assert!(*a <= cut, "{a} > {cut}");
        }
        (Parsed::Invalid(_), Parsed::Invalid(_)) => {}
        _ => panic!(
            "{prefix:?} then {whole:?} in {:?}",
            String::from_utf8_lossy(bytes)
        ),
    }
}

/// What is taken as a head, another parser takes for the same one.
fn check_against_httparse(bytes: &[u8]) {
    let Parsed::Complete { request, consumed } = parse(bytes, &Limits::DEFAULT) else {
        return;
    };
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut headers);
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(
        other.parse(bytes),
        Ok(httparse::Status::Complete(consumed)),
        "{text:?}"
    );
    if let Target::Path { path, query: None } = request.target
        && other.path.is_some_and(|other| other.starts_with('/'))
    {
        assert_eq!(other.path, Some(path), "{text:?}");
    }
    for name in ["Host", "If-None-Match", "Content-Length", "Connection"] {
        let same_name = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        let others = other
            .headers
            .iter()
            .filter(same_name)
            .map(|field| field.value);
        assert!(request.values(name).eq(others), "{name} in {text:?}");
    }
}

#[test]
fn no_mutation_gets_the_server_out_of_step() {
    let mut random = Random(0x7070_2026);
    for round in 0..ROUNDS {
        let bytes = mutate(&mut random);
        let cut = random.below(bytes.len() + 1);
        check_prefix(&bytes, cut);
        check_against_httparse(&bytes);
        let (whole, rest) = exchange(&bytes);
        assert!(rest <= bytes.len());
        // One in eight again in small pieces: the same answers, but for a body that was not asked for.
        if round % 8 == 0
            && !bytes
                .windows(6)
                .any(|six| six.eq_ignore_ascii_case(b"expect"))
        {
            let statuses = |responses: &[crate::site::Response]| -> Vec<u16> {
                responses.iter().map(|response| response.status).collect()
            };
            let (pieces, _) = exchange_in_pieces(&bytes, 1 + round % 11);
            let (a, b) = (statuses(&whole), statuses(&pieces));
            assert_eq!(a.len(), b.len(), "{:?}", String::from_utf8_lossy(&bytes));
            assert_eq!(
                a.iter().filter(|status| **status < 400).count(),
                b.iter().filter(|status| **status < 400).count(),
                "{:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}
