//! A server that answers as a script says: [`run`] uses a share of it in every way there is. The fuzz target is this, and so is a test.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use toro_dev::fuse::{FuseError, Message};
use toro_fake::FakeFuse;
use toro_fuse::{Channel, FuseFs, Options};
use toro_time::Instant;
use toro_vfs::{FileError, FileSystem, NodeId, Sync};

/// More messages than this the calls below never take, whatever the answers.
const MOST_CALLS: usize = 60_000;
/// Entries of a directory that are looked at.
const MOST_ENTRIES: usize = 300;

/// Answers that an honest server gives, changed as the script says. When it is over they stay as they are.
struct Scripted {
    server: FakeFuse,
    script: RefCell<Vec<u8>>,
    calls: Cell<usize>,
}

impl Scripted {
    fn byte(&self) -> u8 {
        self.script.borrow_mut().pop().unwrap_or(0)
    }

    fn bytes(&self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// What is made of an honest answer.
    fn changed(&self, mut honest: Vec<u8>) -> Vec<u8> {
        let how = self.byte();
        let place = |len: usize| usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % len;
        match how & 3 {
            0 => return honest,
            1 => {
                for _ in 0..=(how >> 2 & 15) {
                    let at = place(honest.len());
                    honest[at] = self.byte();
                }
            }
            2 => honest.truncate(place(honest.len())),
            _ => {
                let len = usize::from(self.byte());
                honest.truncate(16);
                honest.extend(self.bytes(len));
            }
        }
        // As its header says, so that what is behind is looked at.
        if how & 0x80 != 0 && honest.len() >= 16 {
            let len = u32::try_from(honest.len()).expect("an answer is small");
            honest[..4].copy_from_slice(&len.to_le_bytes());
        }
        honest
    }
}

impl Channel for Scripted {
    fn call(&self, mut message: Message) -> Result<(Message, usize), FuseError> {
        self.calls.set(self.calls.get() + 1);
        assert!(self.calls.get() < MOST_CALLS, "the calls do not end");
        let honest = self.server.answer(&message.sent[..message.len]);
        let answer = self.changed(honest.expect("it is to be answered"));
        if self.byte() == 0xff {
            return Err(FuseError::TimedOut);
        }
        let (buf, room) = message.answer.as_mut().expect("it is to be answered");
        let len = answer.len().min(*room);
        buf[..len].copy_from_slice(&answer[..len]);
        Ok((message, len))
    }

    fn cast(&self, message: Message) {
        // What a liar made the other side say is not for the honest server.
        if message.answer.is_some() {
            self.server.answer(&message.sent[..message.len]);
        }
    }
}

/// Uses a share whose server follows `script`.
pub(crate) fn run(script: &[u8]) {
    let server = FakeFuse::new();
    server.add_file(b"file", &[7; 5000]);
    server.add_file(b"not \xff text", b"");
    server.add_link(b"link", "file");
    server.add_link(b"loop", "./loop");
    server.add_link(b"out", "/../../etc/passwd");
    let scripted = Scripted {
        server,
        script: RefCell::new(script.iter().rev().copied().collect()),
        calls: Cell::new(0),
    };
    let options = Options {
        read_only: false,
        clock: || Instant::from_nanos(5_000_000_000),
    };
    let Ok(share) = FuseFs::mount(Rc::new(scripted), options) else {
        return;
    };
    for round in 0..2 {
        let _ = share.space();
        read(&share, "file");
        read(&share, "link");
        let _ = share.open("loop").map(|node| share.close(node));
        let _ = share.canonicalize("out");
        list(&share, "");
        let _ = share.create_dir("dir").map(drop);
        write(&share, "dir/a");
        write(&share, "dir/b");
        list(&share, "dir");
        let _ = share.rename("dir/a", "dir/b");
        let _ = share.rename("dir", "other");
        read(&share, "other/b");
        let _ = share.remove_file("other/b");
        let _ = share.remove_dir("other");
        let _ = share.remove_file("link");
        if round == 0 {
            let _ = share.sync_all();
        }
    }
}

fn read(share: &FuseFs, path: &str) {
    let Ok(node) = share.open(path) else { return };
    let _ = share.metadata(node);
    let mut buf = [0; 3000];
    for offset in [0, 3000, 6000, u64::MAX] {
        match share.read_at(node, offset, &mut buf) {
            Ok(len) => assert!(len <= buf.len()),
            Err(error) => told(error),
        }
    }
    share.close(node);
}

fn write(share: &FuseFs, path: &str) {
    let Ok(node) = share.create(path) else { return };
    for bytes in [&[1u8; 100][..], &[2; 9000]] {
        match share.append(node, bytes) {
            Ok((_, len)) => assert!(len <= bytes.len()),
            Err(error) => told(error),
        }
    }
    let _ = share.set_len(node, 50);
    let _ = share.sync(node, Sync::Data);
    share.close(node);
}

fn list(share: &FuseFs, path: &str) {
    let Ok(node) = share.open(path) else { return };
    let mut cursor = 0;
    for _ in 0..MOST_ENTRIES {
        match entry(share, node, &mut cursor) {
            Some(name) => assert!(!name.is_empty() && !name.contains(['/', '\0'])),
            None => break,
        }
    }
    share.close(node);
}

fn entry(share: &FuseFs, node: NodeId, cursor: &mut u64) -> Option<String> {
    let entry = share.read_dir(node, cursor).ok().flatten()?;
    Some(entry.name().into())
}

/// An error says something.
fn told(error: FileError) {
    assert!(!error.to_string().is_empty());
}
