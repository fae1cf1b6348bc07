//! Packets from a peer that means no good: none makes the protocol fail, and none is answered by more than a packet.

mod fake;

use fake::Fake;
use toro_gdbstub::{Event, Next, Receiver, Session};

/// Packets as gdb sends them.
const ORDINARY: &[&str] = &[
    "?",
    "qSupported:swbreak+",
    "QStartNoAckMode",
    "vCont?",
    "vCont;c",
    "vCont;s:1;c:-1",
    "vCont;r10,20:1",
    "Hg1",
    "Hg-1",
    "Hc0",
    "qC",
    "T1",
    "g",
    "G00112233",
    "p10",
    "P10=0011223344556677",
    "m1000,40",
    "mffffffffffffffff,ffffffffffffffff",
    "M1000,2:abcd",
    "X1000,2:a}]",
    "Z0,1000,1",
    "z0,1000,1",
    "Z4,1000,8",
    "qXfer:features:read:target.xml:0,ffb",
    "qXfer:threads:read::0,ffb",
    "qXfer:threads:read::ffffffffffffffff,1",
    "qRcmd,74687265616473",
    "qAttached",
    "D;1",
    "k",
];

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }

    fn packet(&mut self) -> Vec<u8> {
        let mut text = ORDINARY[self.below(ORDINARY.len())].as_bytes().to_vec();
        for _ in 0..self.below(5) {
            let at = self.below(text.len() + 1);
            let byte = u8::try_from(self.below(256)).expect("a byte");
            match self.below(4) {
                0 if at < text.len() => text[at] = byte,
                1 => text.insert(at, byte),
                2 => text.truncate(at),
                _ => text.extend_from_within(at..),
            }
        }
        text
    }
}

#[test]
fn no_packet_makes_the_session_fail() {
    let (mut random, mut machine, mut session) = (Random(7), Fake::new(), Session::new());
    for _ in 0..100_000 {
        let text = random.packet();
        let next = session.handle(&text, &mut machine);
        assert!(session.reply().text().len() <= 4096);
        if let Next::Resume(resume) = next {
            assert!(
                resume.action(1).is_some(),
                "{:?}",
                String::from_utf8_lossy(&text)
            );
        }
    }
    session.handle(b"qC", &mut machine);
    assert!(session.reply().text().starts_with(b"QC"));
}

#[test]
fn what_is_sent_can_be_received() {
    let (mut random, mut machine, mut session) = (Random(9), Fake::new(), Session::new());
    let mut receiver = Receiver::new();
    for _ in 0..5_000 {
        session.handle(&random.packet(), &mut machine);
        let mut bytes = Vec::new();
        session.reply().send(|byte| bytes.push(byte));
        let (last, before) = bytes.split_last().expect("a packet");
        assert!(before.iter().all(|&byte| receiver.feed(byte).is_none()));
        assert_eq!(
            receiver.feed(*last),
            Some(Event::Packet(session.reply().text()))
        );
    }
}
