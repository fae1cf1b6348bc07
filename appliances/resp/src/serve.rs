//! [`Server`]: the store as a service of the event loop.
//!
//! Commands are read where they arrive, and answered as long as there is room. A command too large for the receive ring
//! is gathered elsewhere, within a limit for all connections together; a value too large for the send ring follows
//! piece by piece from where it lies.

use alloc::rc::Rc;
use alloc::vec::Vec;

use toro::metrics::Requests;
use toro::net::{Closed, Conn, Output, Service};
use toro::time::Duration;
use toro_resp::{HEADER_MAX, Limits, Parsed, Reply, parse};

use crate::command::{self, REPLY_MAX, Then};
use crate::store::Store;

const LIMITS: Limits = Limits {
    words: 1024,
    word: 512 << 10,
    inline: 4 << 10,
    command: 544 << 10,
};

/// How much of a command may wait in the receive ring, which is larger on every machine.
const RING: usize = 2 << 10;
/// How long a command may take to arrive whole, and a client to read a part of a reply.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `metrics=` and `trace=` show of it.
static REQUESTS: Requests = Requests::new("resp");

/// Answers commands for all connections.
pub(crate) struct Server {
    store: Store,
    /// Bytes of commands that are being gathered, and the most that there may be.
    gathering: usize,
    gathering_max: usize,
}

/// What is kept for a connection.
#[derive(Default)]
pub(crate) struct Client {
    /// The start of a large command, and how long it must be before it is looked at again.
    gathered: Vec<u8>,
    needed: usize,
    /// A string that waits for room, and how much of it is out.
    sending: Option<(Rc<Vec<u8>>, usize)>,
    /// The connection closes when that is out.
    is_ending: bool,
}

impl Server {
    /// A server whose keys and values take at most `memory` bytes.
    pub(crate) fn new(memory: usize) -> Self {
        REQUESTS.announce();
        Self {
            store: Store::new(memory),
            gathering: 0,
            gathering_max: (memory / 4).max(LIMITS.command),
        }
    }

    /// Answers the whole commands in `input`, as far as there is room; returns how much that was.
    fn answer(
        &mut self,
        client: &mut Client,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        let mut consumed = 0;
        client.needed = 0;
        while consumed < input.len() && client.sending.is_none() {
            let place = output.spare(REPLY_MAX);
            if place.is_empty() {
                break;
            }
            let mut reply = Reply::new(place);
            let begun = Requests::begin();
            match parse(&input[consumed..], &LIMITS) {
                Parsed::Complete {
                    command,
                    consumed: len,
                } => {
                    let then = command::run(&command, &mut self.store, &mut reply);
                    let written = reply.len();
                    output.commit(REPLY_MAX, written);
                    consumed += len;
                    REQUESTS.end(begun);
                    match then {
                        Then::Continue => {}
                        Then::Echo(bytes) => client.send_copy(bytes, conn, output),
                        Then::Value(value) => client.send(value, output),
                        Then::Close => {
                            conn.close();
                            return input.len();
                        }
                    }
                }
                Parsed::Partial(needed) => {
                    client.needed = needed;
                    break;
                }
                Parsed::Invalid(error) => {
                    reply.error(&["ERR Protocol error: ", error.text()]);
                    let written = reply.len();
                    output.commit(REPLY_MAX, written);
                    conn.close();
                    return input.len();
                }
            }
        }
        let is_idle = consumed == input.len() && !output.is_waiting();
        conn.set_timeout((!is_idle).then_some(PATIENCE));
        consumed
    }

    /// Takes input out of the ring, behind what was gathered, and answers it once it is enough; returns how much.
    fn gather(
        &mut self,
        client: &mut Client,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        let before = client.gathered.capacity();
        let len = input.len().min(LIMITS.command - client.gathered.len());
        let fits = self.gathering + len <= self.gathering_max;
        if !fits || client.gathered.try_reserve(len).is_err() {
            output.write(b"-OOM too many large commands at a time\r\n");
            conn.close();
            return input.len();
        }
        client.gathered.extend_from_slice(&input[..len]);
        self.gathering += client.gathered.capacity() - before;
        if client.gathered.len() >= client.needed {
            self.answer_gathered(client, conn, output);
        }
        len
    }

    fn answer_gathered(&mut self, client: &mut Client, conn: &mut Conn, output: &mut Output<'_>) {
        let mut input = core::mem::take(&mut client.gathered);
        let consumed = self.answer(client, conn, &input, output);
        if consumed < input.len() {
            input.drain(..consumed);
            client.needed = client.needed.max(1);
            client.gathered = input;
        } else {
            self.gathering -= input.capacity();
        }
    }
}

impl Service for Server {
    type Connection = Client;

    fn connected(&mut self, _: &mut Conn, _: &mut Output<'_>) -> Option<Client> {
        Some(Client::default())
    }

    fn received(
        &mut self,
        client: &mut Client,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        if !client.gathered.is_empty() {
            return self.gather(client, conn, input, output);
        }
        let consumed = self.answer(client, conn, input, output);
        if client.needed <= RING {
            return consumed;
        }
        consumed + self.gather(client, conn, &input[consumed..], output)
    }

    fn writable(&mut self, client: &mut Client, conn: &mut Conn, output: &mut Output<'_>) {
        client.resume(output);
        if client.sending.is_some() {
            conn.set_timeout(Some(PATIENCE));
        } else if client.is_ending {
            conn.close();
        } else if !client.gathered.is_empty() {
            self.answer_gathered(client, conn, output);
        } else {
            conn.set_timeout(None);
        }
    }

    fn ending(&mut self, client: &mut Client, conn: &mut Conn, _: &mut Output<'_>) {
        client.is_ending = true;
        if client.sending.is_none() {
            conn.close();
        }
    }

    fn closed(&mut self, client: Client, _: Closed) {
        self.gathering -= client.gathered.capacity();
    }
}

impl Client {
    /// Sends a string of the client's own words.
    fn send_copy(&mut self, bytes: &[u8], conn: &mut Conn, output: &mut Output<'_>) {
        let len = bytes.len() + HEADER_MAX + 2;
        if output.room() >= len {
            let mut reply = Reply::new(output.spare(len));
            reply.bulk(bytes);
            let written = reply.len();
            output.commit(len, written);
            return;
        }
        let mut copy = Vec::new();
        if copy.try_reserve_exact(bytes.len()).is_err() {
            return conn.abort();
        }
        copy.extend_from_slice(bytes);
        self.send(Rc::new(copy), output);
    }

    /// Sends a string, the part that does not fit later.
    fn send(&mut self, value: Rc<Vec<u8>>, output: &mut Output<'_>) {
        let place = output.spare(HEADER_MAX);
        if place.is_empty() {
            // The room for the command's own reply was there, and a header is shorter.
            return;
        }
        let mut reply = Reply::new(place);
        reply.bulk_header(value.len());
        let written = reply.len();
        output.commit(HEADER_MAX, written);
        self.sending = Some((value, 0));
        self.resume(output);
    }

    /// Goes on with the string that waits.
    fn resume(&mut self, output: &mut Output<'_>) {
        let Some((value, sent)) = &mut self.sending else {
            return;
        };
        *sent += output.write(&value[*sent..]);
        if *sent == value.len() && output.write_all(b"\r\n") {
            self.sending = None;
        }
    }
}
