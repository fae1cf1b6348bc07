//! [`PolledDisk`]: a disk that takes a file from its first sector on (VIRTIO 1.3, 5.2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use toro_mem::DmaBuf;
use toro_virtio::feature::ACCESS_PLATFORM;
use toro_virtio::{Buffer, Chain, DeviceType, Queue, Transport, device};

use crate::{OpenError, Sink, Wait};

const READ_ONLY: u64 = 1 << 5;
const FLUSH: u64 = 1 << 9;

const SECTOR: u64 = 512;
/// Bytes of a request: whole blocks of any disk.
const PIECE: usize = 64 << 10;
/// What a request takes: header, data, status.
const PARTS: u16 = 3;

/// The kinds of request (5.2.6).
const IN: u32 = 0;
const OUT: u32 = 1;
const SYNC: u32 = 4;

/// How a core file begins; an empty disk holds zeros there.
const MAGIC: [u8; 4] = *b"\x7fELF";

/// A disk that is looked at.
pub struct PolledDisk {
    /// What the device writes to goes with it.
    _transport: Box<dyn Transport>,
    queue: Queue,
    wait: Wait,
    sectors: u64,
    can_flush: bool,
    /// Header and status of the only request, and the list that they become: none while the device has them.
    request: Option<(DmaBuf, DmaBuf, Vec<Buffer>)>,
    /// Its data; none while the device has them.
    data: Option<DmaBuf>,
    /// The sector at which the data go, and how many bytes of them there are.
    sector: u64,
    len: usize,
}

impl PolledDisk {
    /// Opens the disk behind `transport`, which is empty or holds a core file.
    ///
    /// # Errors
    /// Fails if it is something else or in other use, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn open(mut transport: Box<dyn Transport>, wait: Wait) -> Result<Self, OpenError> {
        let opened = start(&mut *transport);
        let (queue, sectors, can_flush) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                device::fail(&mut *transport);
                return Err(error);
            }
        };
        let buf = |len| DmaBuf::try_new(len).map_err(OpenError::OutOfMemory);
        let mut disk = Self {
            _transport: transport,
            queue,
            wait,
            sectors,
            can_flush,
            request: Some((buf(16)?, buf(1)?, Vec::with_capacity(usize::from(PARTS)))),
            data: Some(buf(PIECE)?),
            sector: 0,
            len: 0,
        };
        let first = disk.first_bytes().ok_or(OpenError::Silent)?;
        match first == [0; 4] || first == MAGIC {
            true => Ok(disk),
            false => Err(OpenError::InUse),
        }
    }

    fn first_bytes(&mut self) -> Option<[u8; 4]> {
        let is_read = self.carry_out(IN, 0, 4096);
        let data = self.data.as_ref().filter(|_| is_read)?;
        data.first_chunk().copied()
    }

    /// Has the device carry out a request of so many bytes of data; `false` if it does not.
    fn carry_out(&mut self, kind: u32, sector: u64, len: usize) -> bool {
        let Some((mut header, mut status, mut parts)) = self.request.take() else {
            return false;
        };
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        status[0] = u8::MAX;
        parts.push(Buffer::readable(header, 0..16));
        if len > 0
            && let Some(data) = self.data.take()
        {
            parts.push(match kind {
                IN => Buffer::writable(data, 0..len),
                _ => Buffer::readable(data, 0..len),
            });
        }
        parts.push(Buffer::writable(status, 0..1));
        if self.queue.add(Chain::new(parts)).is_err() {
            return false;
        }
        self.queue.notify_if_needed();
        let (queue, wait) = (&mut self.queue, self.wait);
        let mut used = None;
        wait(&mut || {
            used = queue.pop().ok().flatten();
            used.is_some() || queue.error().is_some()
        });
        let Some(used) = used else {
            return false;
        };
        let mut parts = used.chain.into_buffers();
        let status = parts.pop().map(Buffer::into_buf);
        if len > 0 {
            self.data = parts.pop().map(Buffer::into_buf);
        }
        let header = parts.pop().map(Buffer::into_buf);
        let (Some(header), Some(status)) = (header, status) else {
            return false;
        };
        let is_done = status[0] == 0;
        self.request = Some((header, status, parts));
        is_done
    }

    /// Writes what was gathered.
    fn send(&mut self) -> bool {
        let len = self.len.next_multiple_of(4096).min(PIECE);
        let (sector, sectors) = (self.sector, len as u64 / SECTOR);
        if sector + sectors > self.sectors {
            return false;
        }
        if let Some(data) = &mut self.data {
            data[self.len..len].fill(0);
        }
        (self.sector, self.len) = (sector + sectors, 0);
        len == 0 || self.carry_out(OUT, sector, len)
    }
}

/// Agrees on features, and lets the device run; returns its queue, how many sectors it has and whether it can flush.
fn start(transport: &mut dyn Transport) -> Result<(Queue, u64, bool), OpenError> {
    if transport.device_type() != DeviceType::BLOCK {
        return Err(OpenError::OtherKind);
    }
    let wanted = READ_ONLY | FLUSH | ACCESS_PLATFORM;
    let features = device::negotiate(transport, wanted, 0).map_err(OpenError::Negotiate)?;
    if features & READ_ONLY != 0 {
        return Err(OpenError::ReadOnly);
    }
    let capacity = |transport: &dyn Transport| {
        let low = device::field::<u32>(transport, 0)?;
        Some((low, device::field::<u32>(transport, 4)?))
    };
    let (low, high) = device::consistent(transport, capacity).ok_or(OpenError::Config)?;
    // As many as bytes can be counted.
    let sectors = (u64::from(low) | u64::from(high) << 32).min(u64::MAX / SECTOR);
    let mut queue = Queue::new(transport, 0, 4, features).map_err(OpenError::Queue)?;
    if queue.size() < PARTS {
        return Err(OpenError::ShortQueue(queue.size()));
    }
    queue.disable_interrupts();
    device::start(transport);
    Ok((queue, sectors, features & FLUSH != 0))
}

impl Sink for PolledDisk {
    fn begin(&mut self) -> Option<u64> {
        (self.sector, self.len) = (0, 0);
        Some(self.sectors / 8 * 4096)
    }

    fn write(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Some(data) = &mut self.data else {
                return false;
            };
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.len));
            data[self.len..self.len + now.len()].copy_from_slice(now);
            self.len += now.len();
            bytes = later;
            if self.len == PIECE && !self.send() {
                return false;
            }
        }
        true
    }

    fn finish(&mut self) -> bool {
        self.send() && (!self.can_flush || self.carry_out(SYNC, 0, 0))
    }
}

impl fmt::Debug for PolledDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolledDisk({} sectors)", self.sectors)
    }
}
