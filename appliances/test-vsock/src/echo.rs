//! Sends back what it gets: with a thread, and on the event loop.

use alloc::rc::Rc;
use alloc::vec;
use core::cell::Cell;

use toro::vsock::{Conn, Output, Service, VsockStream};

/// How many connections have got all.
pub(crate) type Done = Rc<Cell<usize>>;

/// Sends so many bytes back. The connection ends with the stream.
pub(crate) fn serve(stream: &VsockStream, len: usize) {
    let mut bytes = vec![0; 16 << 10];
    let mut left = len;
    while left > 0 {
        let read = stream.read(&mut bytes).expect("the host sends");
        assert!(read > 0 && read <= left, "{read} bytes of {left}");
        stream.write_all(&bytes[..read]).expect("the host reads");
        left -= read;
    }
}

/// Sends so many bytes back on each connection, and closes it.
pub(crate) struct Echo {
    len: usize,
    done: Done,
}

impl Echo {
    pub(crate) fn new(len: usize, done: &Done) -> Self {
        Self {
            len,
            done: Rc::clone(done),
        }
    }
}

/// Written for any stack: it asks for no address.
impl<A: Copy + 'static> Service<A> for Echo {
    /// How many bytes are left.
    type Connection = usize;

    fn connected(&mut self, _: &mut Conn<A>, _: &mut Output<'_>) -> Option<usize> {
        Some(self.len)
    }

    fn received(
        &mut self,
        left: &mut usize,
        conn: &mut Conn<A>,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        let written = output.write(input);
        *left -= written;
        if *left == 0 {
            self.done.set(self.done.get() + 1);
            conn.close();
        }
        written
    }
}
