//! The site with a thread for each connection: for files that have to be read, where the network must not wait for a disk or the host.
//!
//! Several visits wait for their files at the same time, each in a piece of memory of its own, and the event loop of the network goes on.
//! What a request means is the same as in [`serve`](crate::serve).

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddrV4;
use core::time::Duration;

use toro::fs::File;
use toro::metrics::Requests;
use toro::net::{BindError, Shutdown, TcpListener, TcpStream};
use toro::sync::Semaphore;
use toro::thread;
use toro::time::Instant;
use toro_http::{Body, Connection, Found, MIN_OUTPUT, Site, Status, Step, Then};

use crate::files;
use crate::serve::{LIMITS, LINGER, REQUEST, REQUESTS, WRITE, wall_clock};

/// So many visits at a time; who comes later waits until one ends.
const VISITS: usize = 128;
/// How long a connection may be kept without a request: others may wait for its place.
const IDLE: Duration = Duration::from_secs(10);
/// What the deepest calls of a file system need, in bytes.
const STACK: usize = 64 << 10;
/// Bytes of a file that are read at a time.
const PIECE: usize = 32 << 10;
/// What is read of a connection at a time.
const INPUT: usize = 2 << 10;

/// What the visits share.
struct Counts {
    /// Places for visits.
    places: Semaphore,
    /// A permit less for each visit that is answering.
    quiet: Semaphore,
}

/// Serves the files below `root` until the machine is asked to end.
///
/// # Errors
/// Fails if nobody can listen at `address`.
pub(crate) fn serve(address: SocketAddrV4, root: &'static str) -> Result<(), BindError> {
    REQUESTS.announce();
    let listener = TcpListener::bind(address)?;
    toro::println!("web-server: listening on port {}", address.port());
    let counts = Rc::new(Counts {
        places: Semaphore::new(VISITS),
        quiet: Semaphore::new(VISITS),
    });
    let shared = Rc::clone(&counts);
    thread::spawn("door", move || welcome(&listener, root, &shared));
    toro::net::until_end();
    // What was begun is sent; nobody begins anything new.
    drop(counts.quiet.acquire_many(VISITS));
    Ok(())
}

/// Gives each visitor a thread.
fn welcome(listener: &TcpListener, root: &'static str, counts: &Rc<Counts>) {
    loop {
        // Given back by the visit.
        counts.places.acquire().forget();
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        let shared = Rc::clone(counts);
        let builder = thread::Builder::new().name("visit").stack_size(STACK);
        let spawned = builder.spawn(move || {
            Visit::new(&stream, root).serve(&shared.quiet);
            shared.places.add(1);
        });
        // Without memory for a stack the stream is dropped, which ends the connection.
        if let Err(error) = spawned {
            counts.places.add(1);
            toro::log::warn!("a client is turned away: {error}");
        }
    }
}

/// Every file below a root, looked up anew each time: it may have changed.
struct Folder(&'static str);

impl Site for Folder {
    type Handle = File;

    fn find(&mut self, path: &str) -> Found<File> {
        files::look_up(self.0, path)
    }
}

/// The connection is over.
struct Over;

impl From<toro::net::WriteError> for Over {
    fn from(_: toro::net::WriteError) -> Self {
        Self
    }
}

/// One connection.
struct Visit<'a> {
    stream: &'a TcpStream,
    http: Connection,
    folder: Folder,
    /// What has come and was not answered.
    input: Vec<u8>,
    /// A head, and behind it pieces of a body.
    output: Vec<u8>,
}

impl<'a> Visit<'a> {
    fn new(stream: &'a TcpStream, root: &'static str) -> Self {
        stream.set_write_timeout(Some(WRITE));
        Self {
            stream,
            http: Connection::new(LIMITS),
            folder: Folder(root),
            input: Vec::new(),
            output: vec![0; MIN_OUTPUT + PIECE],
        }
    }

    /// Answers until the connection is over. A permit of `quiet` is held while an answer is on its way.
    fn serve(&mut self, quiet: &Semaphore) {
        loop {
            if self.input.is_empty() && !self.hear(Instant::now() + IDLE) {
                return;
            }
            let _busy = quiet.acquire();
            if self.answer().is_err() {
                return;
            }
        }
    }

    /// Answers the request that has begun to come.
    fn answer(&mut self) -> Result<(), Over> {
        let deadline = Instant::now() + REQUEST;
        loop {
            let begun = Requests::begin();
            let place = &mut self.output[..MIN_OUTPUT];
            match self
                .http
                .step(&self.input, &mut self.folder, wall_clock(), place)
            {
                Step::Read if self.hear(deadline) => {}
                Step::Read => return self.refuse(),
                // It has as much room as any reply needs.
                Step::Flush => return Err(Over),
                Step::Reply {
                    consumed,
                    head,
                    body,
                    then,
                } => {
                    self.send(head, body)?;
                    self.input.drain(..consumed);
                    REQUESTS.end(begun);
                    return self.end(then);
                }
            }
        }
    }

    /// Reads more; `false` if nothing more comes in time.
    fn hear(&mut self, deadline: Instant) -> bool {
        let at = self.input.len();
        if self.input.try_reserve(INPUT).is_err() {
            return false;
        }
        self.input.resize(at + INPUT, 0);
        self.stream
            .set_read_timeout(Some(deadline.duration_since(Instant::now())));
        let len = self.stream.read(&mut self.input[at..]).unwrap_or(0);
        self.input.truncate(at + len);
        len > 0
    }

    /// Sends the head and what follows it, in as few pieces as can be.
    fn send(&mut self, head: usize, body: Body<File>) -> Result<(), Over> {
        let (mut filled, mut left) = (head, None);
        if let Body::File { handle, start, end } = body {
            left = Some((handle, start..end));
        }
        while let Some((file, part)) = &mut left {
            let most = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
            let place = &mut self.output[filled..];
            let most = most.min(place.len());
            // A file that ends sooner than its head has promised ends the connection.
            let len = file.read_at(&mut place[..most], part.start).unwrap_or(0);
            if len == 0 {
                return Err(Over);
            }
            part.start += len as u64;
            filled += len;
            if part.start == part.end {
                left = None;
            } else if filled == self.output.len() {
                self.stream.write_all(&self.output)?;
                filled = 0;
            }
        }
        Ok(self.stream.write_all(&self.output[..filled])?)
    }

    /// Does what comes after a reply.
    fn end(&mut self, then: Then) -> Result<(), Over> {
        match then {
            Then::Continue => Ok(()),
            Then::Close => Err(Over),
            Then::Drain => self.drain(),
        }
    }

    /// Says why there is no answer: the request did not come whole in time.
    fn refuse(&mut self) -> Result<(), Over> {
        let place = &mut self.output[..MIN_OUTPUT];
        let len = self
            .http
            .refuse(Status::RequestTimeout, wall_clock(), place);
        self.stream.write_all(&self.output[..len])?;
        self.drain()
    }

    /// Drops what still comes, for a moment: a connection that is closed over unread input is reset, which can take the reply with it.
    fn drain(&mut self) -> Result<(), Over> {
        self.stream.shutdown(Shutdown::Write);
        let deadline = Instant::now() + LINGER;
        self.input.clear();
        while self.hear(deadline) {
            self.input.clear();
        }
        Err(Over)
    }
}
