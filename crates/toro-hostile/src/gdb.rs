//! What comes in at the port of the debugger.

#[path = "../../toro-gdbstub/tests/packets/fake.rs"]
mod fake;

use fake::Fake;
use toro_gdbstub::{Event, Receiver, Session};

/// Bytes as they are; and between each two line ends a text in a sound packet, which the fuzzer could not find by itself.
pub(crate) fn run(data: &[u8]) {
    let (mut machine, mut session) = (Fake::new(), Session::new());
    let mut receiver = Receiver::new();
    for &byte in data {
        if let Some(Event::Packet(text)) = receiver.feed(byte) {
            session.handle(text, &mut machine);
        }
    }
    for text in data.split(|&byte| byte == b'\n') {
        session.handle(text, &mut machine);
        assert!(session.reply().text().len() <= 4096);
        let mut bytes = Vec::new();
        session.reply().send(|byte| bytes.push(byte));
        let mut receiver = Receiver::new();
        let (last, before) = bytes.split_last().expect("a packet");
        assert!(before.iter().all(|&byte| receiver.feed(byte).is_none()));
        assert_eq!(
            receiver.feed(*last),
            Some(Event::Packet(session.reply().text()))
        );
    }
}
