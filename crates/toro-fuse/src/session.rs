//! [`Session`]: requests one by one. Numbers messages, sends them, and takes only the answers that match.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use toro_dev::fuse::{FuseError, Message};
use toro_mem::DmaBuf;
use toro_vfs::{FileError, IoError};

use crate::channel::Channel;
use crate::errno;
use crate::limits::Limits;
use crate::pool::Pool;
use crate::reply::Header;
use crate::wire::{Args, IN_HEADER, OUT_HEADER, Opcode, ROOT};

/// A conversation with a server, once it was opened.
pub(crate) struct Session {
    channel: Rc<dyn Channel>,
    pool: RefCell<Pool>,
    /// The number of the last message.
    unique: Cell<u64>,
    pub(crate) limits: Limits,
}

/// A request: what is asked of which node, and the bytes behind the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) node: u64,
    pub(crate) args: Args,
    /// Names and data, one after the other.
    pub(crate) parts: &'a [&'a [u8]],
}

/// An answer; its buffer is used again when it is dropped.
pub(crate) struct Answer<'s> {
    session: &'s Session,
    buf: Option<DmaBuf>,
    len: usize,
}

/// Ends a name.
pub(crate) const NUL: &[u8] = b"\0";

impl<'a> Request<'a> {
    pub(crate) const fn new(opcode: Opcode, node: u64, args: Args) -> Self {
        Self {
            opcode,
            node,
            args,
            parts: &[],
        }
    }

    /// With these bytes behind its arguments.
    pub(crate) const fn with(self, parts: &'a [&'a [u8]]) -> Self {
        Self { parts, ..self }
    }

    fn len(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| part.len()).sum();
        IN_HEADER + self.args.as_bytes().len() + parts
    }

    fn write(&self, unique: u64, len: usize, buf: &mut [u8]) {
        let header = Args::new()
            .u32(u32::try_from(len).expect("a message is no longer than 2 MiB"))
            .u32(self.opcode as u32)
            .u64(unique)
            .u64(self.node)
            // User and group 0, process 0, no extensions.
            .zeros(16);
        let mut at = 0;
        let pieces = [header.as_bytes(), self.args.as_bytes()];
        for piece in pieces.iter().chain(self.parts) {
            buf[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
    }
}

impl Session {
    /// Opens a conversation over `channel`.
    ///
    /// # Errors
    /// Fails if the server does not answer or speaks another protocol.
    pub(crate) fn open(channel: Rc<dyn Channel>) -> Result<Self, FileError> {
        let mut session = Self {
            channel,
            pool: RefCell::default(),
            unique: Cell::new(0),
            limits: Limits::LEAST,
        };
        let request = Request::new(Opcode::Init, 0, Limits::ask());
        let answer = session.call(request, Limits::ANSWER)?;
        let limits = Limits::parse(answer.body());
        drop(answer);
        session.limits = limits.map_err(|error| {
            log::error!("fuse: {error}");
            FileError::Unsupported
        })?;
        Ok(session)
    }

    /// Sends a request and waits for its answer, of at most `room` bytes behind the header.
    ///
    /// # Errors
    /// What the server fails with; [`IoError::Gone`] if it does not answer, and [`FileError::Corrupt`] if its answer makes no sense.
    pub(crate) fn call(&self, request: Request<'_>, room: usize) -> Result<Answer<'_>, FileError> {
        match self.try_call(request, room)? {
            Ok(answer) => Ok(answer),
            Err(errno) => Err(errno::translate(request.opcode, errno)),
        }
    }

    /// As [`call`](Self::call), but gives the number of the server's failure.
    pub(crate) fn try_call(
        &self,
        request: Request<'_>,
        room: usize,
    ) -> Result<Result<Answer<'_>, u32>, FileError> {
        let (message, unique) = self.message(request, Some(room))?;
        let (message, written) = self.channel.call(message).map_err(lost)?;
        self.pool.borrow_mut().give(message.sent);
        let Some((buf, _)) = message.answer else {
            return Err(FileError::Corrupt);
        };
        let len = written.min(buf.len());
        let header = Header::parse(&buf[..len]);
        let answer = Answer {
            session: self,
            buf: Some(buf),
            len,
        };
        match header {
            Some(header) if header.unique == unique => Ok(match header.error {
                0 => Ok(answer),
                errno => Err(errno),
            }),
            found => {
                log::warn!(
                    "fuse: {:?} number {unique} was answered with {found:?} in {len} bytes",
                    request.opcode
                );
                Err(FileError::Corrupt)
            }
        }
    }

    /// Sends a request whose answer, a header at most, nobody waits for.
    pub(crate) fn cast(&self, request: Request<'_>) {
        if let Ok((message, _)) = self.message(request, Some(0)) {
            self.channel.cast(message);
        }
    }

    /// Sends a message that has no answer.
    pub(crate) fn tell(&self, request: Request<'_>) {
        if let Ok((message, _)) = self.message(request, None) {
            self.channel.cast(message);
        }
    }

    /// Brings all that was written to the host's disk; `false` if the server cannot.
    pub(crate) fn sync(&self) -> Result<bool, FileError> {
        let request = Request::new(Opcode::Syncfs, ROOT, Args::new().u64(0));
        match self.try_call(request, 0)? {
            Ok(_) => Ok(true),
            Err(errno::ENOSYS) => Ok(false),
            Err(errno) => Err(errno::translate(Opcode::Syncfs, errno)),
        }
    }

    fn message(
        &self,
        request: Request<'_>,
        room: Option<usize>,
    ) -> Result<(Message, u64), FileError> {
        let unique = self.unique.get() + 1;
        self.unique.set(unique);
        let len = request.len();
        let mut pool = self.pool.borrow_mut();
        let mut take = |len| pool.take(len).map_err(|_| FileError::OutOfMemory);
        let mut sent = take(len)?;
        request.write(unique, len, &mut sent);
        let room = room.map(|room| OUT_HEADER + room);
        let answer = room.map(|room| Ok((take(room)?, room))).transpose()?;
        Ok((Message { sent, len, answer }, unique))
    }
}

impl Answer<'_> {
    /// What stands behind the header.
    pub(crate) fn body(&self) -> &[u8] {
        let bytes = self.buf.as_deref().unwrap_or(&[]);
        bytes.get(OUT_HEADER..self.len).unwrap_or(&[])
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            self.session.pool.borrow_mut().give(buf);
        }
    }
}

fn lost(error: FuseError) -> FileError {
    match error {
        FuseError::TimedOut | FuseError::Failed => FileError::Io(IoError::Gone),
        FuseError::OutOfMemory => FileError::OutOfMemory,
    }
}
