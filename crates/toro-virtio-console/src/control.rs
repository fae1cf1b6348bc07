//! [`Control`]: the two queues by which ports come, go, and get names (VIRTIO 1.3, 5.3.6.2).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use toro_mem::{DmaBuf, OutOfMemory};
use toro_virtio::{Buffer, DeviceError, Queue};

/// Bytes of a message: port, event, value. A name follows the header.
const HEADER: usize = 8;
/// Bytes of a buffer for a message: a longer one is cut by the device.
const MESSAGE: usize = 128;
/// The most messages that wait to be sent: a device that takes none of them while it asks for more is given up.
const BACKLOG: usize = 64;

/// What a message is about (5.3.6.2).
pub(crate) mod event {
    pub(crate) const DEVICE_READY: u16 = 0;
    pub(crate) const PORT_ADD: u16 = 1;
    pub(crate) const PORT_REMOVE: u16 = 2;
    pub(crate) const PORT_READY: u16 = 3;
    pub(crate) const PORT_OPEN: u16 = 6;
    pub(crate) const PORT_NAME: u16 = 7;
}

/// A message of the device, checked for its length only.
pub(crate) struct Message {
    pub(crate) port: u32,
    pub(crate) event: u16,
    pub(crate) value: u16,
    /// What follows the header.
    pub(crate) rest: Vec<u8>,
}

/// The control queues.
pub(crate) struct Control {
    incoming: Queue,
    outgoing: Queue,
    /// Buffers for messages to the device.
    pool: Vec<DmaBuf>,
    /// Messages that have not left.
    backlog: VecDeque<[u8; HEADER]>,
}

impl Control {
    /// Says that the driver is ready, and gives the device room for messages. Both move at the next [`kick`](Self::kick).
    pub(crate) fn try_new(mut incoming: Queue, outgoing: Queue) -> Result<Self, OutOfMemory> {
        for _ in 0..incoming.size() {
            give(&mut incoming, DmaBuf::try_new(MESSAGE)?);
        }
        let buf = |_| DmaBuf::try_new(HEADER);
        let pool: Result<_, _> = (0..outgoing.size()).map(buf).collect();
        let mut control = Self {
            incoming,
            outgoing,
            pool: pool?,
            backlog: VecDeque::new(),
        };
        control.say(0, event::DEVICE_READY, 1);
        Ok(control)
    }

    /// Says something to the device at the next [`kick`](Self::kick). Returns `false` if it has not listened for too long.
    pub(crate) fn say(&mut self, port: u32, event: u16, value: u16) -> bool {
        if self.backlog.len() == BACKLOG {
            return false;
        }
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&port.to_le_bytes());
        bytes[4..6].copy_from_slice(&event.to_le_bytes());
        bytes[6..].copy_from_slice(&value.to_le_bytes());
        self.backlog.push_back(bytes);
        true
    }

    /// Takes the next message of the device. One without a whole header is passed over.
    ///
    /// Ends: buffers that were given back move at the next [`kick`](Self::kick).
    pub(crate) fn next(&mut self) -> Result<Option<Message>, DeviceError> {
        while let Some(used) = self.incoming.pop()? {
            let buf = used.chain.into_first();
            let written = (used.written as usize).min(buf.len());
            let message = parse(&buf[..written]);
            give(&mut self.incoming, buf);
            if message.is_some() {
                return Ok(message);
            }
        }
        Ok(None)
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn kick(&mut self) -> Result<(), DeviceError> {
        while let Some(used) = self.outgoing.pop()? {
            self.pool.push(used.chain.into_first());
        }
        while let Some(bytes) = self.backlog.front() {
            let Some(mut buf) = self.pool.pop() else {
                break;
            };
            buf.copy_from_slice(bytes);
            let added = self.outgoing.add(Buffer::readable(buf, 0..HEADER).into());
            debug_assert!(added.is_ok(), "the pool is as large as the queue");
            self.backlog.pop_front();
        }
        // Room for the answers first: QEMU drops those that find none.
        self.incoming.notify_if_needed();
        self.outgoing.notify_if_needed();
        Ok(())
    }

    /// Asks for interrupts, and says whether there is news already.
    pub(crate) fn arm(&mut self) -> bool {
        let incoming = self.incoming.enable_interrupts();
        // Sent messages matter only while others wait for their buffers.
        incoming | (!self.backlog.is_empty() && self.outgoing.enable_interrupts())
    }

    pub(crate) fn queues(&mut self) -> [&mut Queue; 2] {
        [&mut self.incoming, &mut self.outgoing]
    }
}

fn give(queue: &mut Queue, buf: DmaBuf) {
    let len = buf.len();
    let added = queue.add(Buffer::writable(buf, 0..len).into());
    debug_assert!(added.is_ok(), "there are as many buffers as descriptors");
}

fn parse(bytes: &[u8]) -> Option<Message> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [p0, p1, p2, p3, e0, e1, v0, v1] = *header;
    Some(Message {
        port: u32::from_le_bytes([p0, p1, p2, p3]),
        event: u16::from_le_bytes([e0, e1]),
        value: u16::from_le_bytes([v0, v1]),
        rest: Vec::from(rest),
    })
}
