//! Long streams, with both directions at work.

use alloc::rc::Rc;
use alloc::vec;

use toro::thread;

use crate::peer::{self, connect};

/// Bytes that are written and read at a time.
const PIECE: usize = 16 << 10;

/// How much is sent in one go, in bytes: `mib=NUMBER`.
fn bulk() -> usize {
    let mib = toro::env::args().find_map(|word| word.strip_prefix("mib=")?.parse().ok());
    mib.unwrap_or(2) << 20
}

/// One thread writes, another reads what comes back, and looks at every byte.
pub(crate) fn a_long_stream_comes_back_whole() {
    let stream = Rc::new(connect("echo"));
    let len = bulk();
    let writer = Rc::clone(&stream);
    let write = move || {
        for number in 0..len / PIECE {
            let piece = peer::text(number, PIECE);
            writer.write_all(&piece).expect("the peer reads");
        }
    };
    let builder = thread::Builder::new().name("writer").stack_size(64 << 10);
    let writing = builder.spawn(write).expect("a thread");
    let mut back = vec![0; PIECE];
    for number in 0..len / PIECE {
        let mut filled = 0;
        while filled < PIECE {
            let read = stream.read(&mut back[filled..]).expect("the peer sends");
            assert!(read > 0, "the stream ends in piece {number}");
            filled += read;
        }
        assert!(back == peer::text(number, PIECE), "piece {number} differs");
    }
    writing.join().expect("all was written");
}
