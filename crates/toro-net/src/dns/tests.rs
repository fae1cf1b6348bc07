//! Answers that servers give, and some that none should.

#![expect(
    clippy::cast_possible_truncation,
    reason = "test data is short, and cut on purpose"
)]

use alloc::vec::Vec;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// An answer to the question for `asked`, with these records: owner, type, lifetime and data.
fn message(asked: &str, kind: Kind, records: &[(&str, u16, u32, Vec<u8>)]) -> Vec<u8> {
    let mut message = question(7, &name(asked), kind);
    message[2] = 0x81;
    message[7] = records.len() as u8;
    for (owner, kind, lifetime, data) in records {
        message.extend_from_slice(&name(owner).0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&lifetime.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}

fn check(
    asked: &str,
    kind: Kind,
    records: &[(&str, u16, u32, Vec<u8>)],
    addresses: &[&str],
    alias: Option<&str>,
    lifetime: Option<u32>,
) {
    let expected = Answer {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        alias: alias.map(name),
        lifetime,
    };
    let message = message(asked, kind, records);
    assert_eq!(read(&message, 7, &name(asked), kind), Ok(expected));
}

#[test]
fn addresses_and_links_are_followed() {
    let v4 = |last| alloc::vec![10, 0, 0, last];
    let link = |to: &str| name(to).0;
    check(
        "a.b",
        Kind::A,
        &[("a.b", 1, 60, v4(1))],
        &["10.0.0.1"],
        None,
        Some(60),
    );
    let two = [("a.b", 1, 60, v4(1)), ("A.B", 1, 30, v4(2))];
    check(
        "a.b",
        Kind::A,
        &two,
        &["10.0.0.1", "10.0.0.2"],
        None,
        Some(30),
    );
    let linked = [
        ("d", 1, 500, v4(3)),
        ("a.b", 5, 10, link("c")),
        ("c", 5, 99, link("d")),
    ];
    check("a.b", Kind::A, &linked, &["10.0.0.3"], None, Some(10));
    let open = [("a.b", 5, 10, link("elsewhere.org"))];
    check("a.b", Kind::A, &open, &[], Some("elsewhere.org"), Some(10));
    let mut six = alloc::vec![0xfe, 0x80];
    six.resize(16, 0);
    check(
        "a.b",
        Kind::Aaaa,
        &[("a.b", 28, 5, six)],
        &["fe80::"],
        None,
        Some(5),
    );
}

#[test]
fn what_was_not_asked_for_is_passed_over() {
    let v4 = || alloc::vec![6, 6, 6, 6];
    let foreign = [
        ("victim.org", 1, 9999, v4()),
        ("a.b", 28, 5, v4()),
        ("a.b", 1, 5, alloc::vec![1]),
    ];
    check("a.b", Kind::A, &foreign, &[], None, None);
    let ring = [("a.b", 5, 10, name("c").0), ("c", 5, 10, name("a.b").0)];
    let message = message("a.b", Kind::A, &ring);
    assert!(read(&message, 7, &name("a.b"), Kind::A).is_ok(), "it ends");
}

#[test]
fn a_lifetime_with_the_highest_bit_is_none() {
    let record = ("a", 1, 0x8000_0001, alloc::vec![1, 2, 3, 4]);
    check("a", Kind::A, &[record], &["1.2.3.4"], None, Some(0));
}

#[test]
fn another_answer_is_foreign() {
    let good = message("a.b", Kind::A, &[("a.b", 1, 5, alloc::vec![1, 2, 3, 4])]);
    let flaw = |change: &dyn Fn(&mut Vec<u8>), expected| {
        let mut message = good.clone();
        change(&mut message);
        assert_eq!(read(&message, 7, &name("a.b"), Kind::A), Err(expected));
    };
    flaw(&|m| m[1] = 8, Flaw::Foreign);
    flaw(&|m| m[2] = 0x01, Flaw::Foreign);
    flaw(&|m| m[2] = 0x91, Flaw::Foreign);
    flaw(&|m| m[5] = 2, Flaw::Foreign);
    flaw(&|m| m[13] = b'x', Flaw::Foreign);
    flaw(&|m| m[18] = 28, Flaw::Foreign);
    flaw(&|m| m[20] = 3, Flaw::Foreign);
    flaw(&|m| m.truncate(14), Flaw::Foreign);
    flaw(&|m| m[3] = 3, Flaw::NoSuchName);
    flaw(&|m| m[3] = 2, Flaw::Failed);
    flaw(
        &|m| {
            m[2] |= 2;
            m.truncate(24);
        },
        Flaw::Cut,
    );
}

#[test]
fn pointers_lead_back_or_nowhere() {
    let mut message = question(7, &name("www.example"), Kind::A);
    message[2] = 0x81;
    message[7] = 1;
    // The owner is the name of the question.
    message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]);
    let at = message.len() - 16;
    let mut ask = |pointer: u8| {
        message[at + 1] = pointer;
        read(&message, 7, &name("www.example"), Kind::A)
            .unwrap()
            .addresses
            .len()
    };
    assert_eq!(ask(12), 1);
    assert_eq!(ask(16), 0, "only `example`");
    assert_eq!(ask(at as u8), 0, "to itself");
    assert_eq!(ask(at as u8 + 1), 0, "forward");
}

#[test]
fn names_are_checked() {
    for good in [
        "a",
        "a.",
        "WWW.example.org",
        "_srv.x-1.y",
        &"a.".repeat(126),
    ] {
        assert!(Name::parse(good).is_some(), "{good}");
    }
    let (long, longer) = ("a".repeat(64), "a.".repeat(128));
    for bad in ["", ".", "a..b", ".a", "a b", "ä", &long, &longer] {
        assert!(Name::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(name("A.b"), name("a.B."));
}

#[test]
fn mutated_answers_do_no_harm() {
    let records = [
        ("a.b", 5, 10, name("c").0),
        ("c", 1, 500, alloc::vec![1, 2, 3, 4]),
    ];
    let good = message("a.b", Kind::A, &records);
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    for _ in 0..100_000 {
        let mut message = good.clone();
        for _ in 0..1 + next() % 4 {
            let at = next() % message.len();
            message[at] = next() as u8;
        }
        message.truncate(next() % (2 * good.len()));
        if let Ok(answer) = read(&message, 7, &name("a.b"), Kind::A) {
            assert!(answer.addresses.len() <= ADDRESSES);
        }
    }
}
