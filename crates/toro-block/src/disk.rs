//! [`Disk`]: a handle to a disk of the running core.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use toro_dev::block::{BlockDevice, BlockError, BlockInfo, Op, Refused, Request, SECTOR};
use toro_dev::owner::DeviceName;
use toro_mem::DmaBuf;
use toro_sched::{Thread, block_on_for, park, park_until, yield_now};
use toro_time::Instant;

use crate::engine::{Engine, Stats, Ticket};
use crate::pending::Pending;

/// How many pieces of one long read or write are in flight together.
const PIECES: usize = 8;
/// The most bytes of a piece: what is copied lies in the cache.
const PIECE: usize = 128 << 10;

/// A handle to a disk. All handles of a core to a disk share a queue.
#[derive(Clone)]
pub struct Disk(Rc<Shared>);

struct Shared {
    name: DeviceName,
    /// Borrowed for single steps, never while a waker runs.
    engine: RefCell<Engine>,
    /// The disk's thread, once there is one.
    thread: RefCell<Option<Thread>>,
}

impl Disk {
    pub(crate) fn new(name: DeviceName, device: Box<dyn BlockDevice>) -> Self {
        Self(Rc::new(Shared {
            name,
            engine: RefCell::new(Engine::new(device)),
            thread: RefCell::new(None),
        }))
    }

    /// Its name: `blk0` is the first disk of the machine.
    pub fn name(&self) -> DeviceName {
        self.0.name
    }

    /// What the disk is.
    pub fn info(&self) -> BlockInfo {
        self.with_engine(|engine| engine.info())
    }

    /// What this core's requests to the disk have come to so far.
    pub fn stats(&self) -> Stats {
        self.with_engine(|engine| engine.stats())
    }

    /// Submits a request: the way to have many in flight. Waits for room if there is none.
    pub fn submit(&self, request: Request) -> Pending {
        Pending::new(self.clone(), request)
    }

    /// Fills `bytes` from `sector` on. Blocks.
    ///
    /// # Errors
    /// Fails if the range does not suit the disk ([`BlockInfo::check`]) or the device cannot read it.
    pub fn read(&self, sector: u64, bytes: &mut [u8]) -> Result<(), BlockError> {
        self.check_range(sector, bytes.len())?;
        let piece = self.piece();
        let mut coming = VecDeque::new();
        let mut next = sector;
        let mut ahead = bytes.len();
        let mut rest = bytes;
        while !rest.is_empty() {
            while coming.len() < PIECES && ahead > 0 {
                let len = ahead.min(piece);
                let buf = DmaBuf::try_new(len).map_err(|_| BlockError::OutOfMemory)?;
                let op = Op::Read(buf);
                coming.push_back(self.submit(Request { sector: next, op }));
                next += (len / SECTOR) as u64;
                ahead -= len;
            }
            let (buf, result) = match coming.pop_front() {
                Some(pending) => block_on_for("disk", pending),
                None => break,
            };
            result?;
            let buf = buf.ok_or(BlockError::Failed)?;
            let (now, later) = rest.split_at_mut(buf.len().min(rest.len()));
            now.copy_from_slice(&buf[..now.len()]);
            rest = later;
        }
        Ok(())
    }

    /// Writes `bytes` from `sector` on. Blocks. They are safe from a loss of power after a [`flush`](Self::flush).
    ///
    /// # Errors
    /// Fails if the range does not suit the disk or the device cannot write it. What the range holds then is not defined.
    pub fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), BlockError> {
        self.check_range(sector, bytes.len())?;
        if self.info().is_read_only {
            return Err(BlockError::ReadOnly);
        }
        let mut going = VecDeque::new();
        let mut next = sector;
        for part in bytes.chunks(self.piece()) {
            if going.len() == PIECES
                && let Some(pending) = going.pop_front()
            {
                block_on_for::<Pending>("disk", pending).1?;
            }
            let mut buf = DmaBuf::try_new(part.len()).map_err(|_| BlockError::OutOfMemory)?;
            buf.copy_from_slice(part);
            let op = Op::Write(buf);
            going.push_back(self.submit(Request { sector: next, op }));
            next += (part.len() / SECTOR) as u64;
        }
        // Every piece is waited for, whatever became of the others.
        going
            .into_iter()
            .map(|pending| block_on_for("disk", pending).1)
            .fold(Ok(()), Result::and)
    }

    /// Makes every write that has returned safe from a loss of power. Blocks.
    ///
    /// # Errors
    /// Fails if the device cannot do this, or has failed to: then nothing is known of any write since the last flush.
    pub fn flush(&self) -> Result<(), BlockError> {
        self.run(0, Op::Flush)
    }

    /// Tells the disk that `sectors` sectors are not needed; what they hold is not defined any more. Blocks.
    ///
    /// # Errors
    /// Fails if the device cannot do this, or the range does not suit it.
    pub fn discard(&self, sector: u64, sectors: u32) -> Result<(), BlockError> {
        self.run(sector, Op::Discard { sectors })
    }

    /// Makes `sectors` sectors zero, without sending zeroes. Blocks.
    ///
    /// # Errors
    /// Fails if the device cannot do this, or the range does not suit it.
    pub fn write_zeroes(&self, sector: u64, sectors: u32) -> Result<(), BlockError> {
        self.run(sector, Op::WriteZeroes { sectors })
    }

    fn run(&self, sector: u64, op: Op) -> Result<(), BlockError> {
        block_on_for("disk", self.submit(Request { sector, op })).1
    }

    /// Finds at once what would fail piece by piece.
    fn check_range(&self, sector: u64, len: usize) -> Result<(), BlockError> {
        let info = self.info();
        let block = u64::from(info.block_size);
        let start = sector.checked_mul(SECTOR as u64);
        let end = start.and_then(|start| start.checked_add(len as u64));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(BlockError::OutOfRange);
        };
        if start % block != 0 || end % block != 0 {
            return Err(BlockError::Misaligned);
        }
        if end / SECTOR as u64 > info.sectors {
            return Err(BlockError::OutOfRange);
        }
        Ok(())
    }

    /// How much one request moves: whole blocks.
    fn piece(&self) -> usize {
        let info = self.info();
        let most = usize::try_from(info.max_transfer).unwrap_or(PIECE);
        most.min(PIECE.max(info.block_size as usize))
    }

    /// Hands a request to the device and has the disk's thread make it known.
    pub(crate) fn submit_now(&self, request: Request) -> Result<Ticket, Refused> {
        let (submitted, is_first) = self.with_engine(|engine| {
            let is_first = !engine.is_unkicked();
            (engine.submit(request, Instant::now()), is_first)
        });
        if submitted.is_ok()
            && is_first
            && let Some(thread) = &*self.0.thread.borrow()
        {
            thread.unpark();
        }
        submitted
    }

    pub(crate) fn with_engine<R>(&self, f: impl FnOnce(&mut Engine) -> R) -> R {
        f(&mut self.0.engine.borrow_mut())
    }

    /// Takes the disk's turns, for ever: the body of its thread.
    pub(crate) fn work(&self) -> ! {
        let thread = toro_sched::current();
        let waker = thread.waker();
        *self.0.thread.borrow_mut() = Some(thread);
        let mut woken = Vec::new();
        loop {
            let (is_idle, deadline) = self.with_engine(|engine| {
                let is_idle = engine.turn(Instant::now(), &waker, &mut woken);
                (is_idle, engine.next_check())
            });
            woken
                .drain(..)
                .for_each(|waker: core::task::Waker| waker.wake());
            match deadline {
                _ if !is_idle => yield_now(),
                Some(deadline) => park_until(deadline),
                None => park(),
            }
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.name())
    }
}
