//! [`PolledConsole`]: the first port of a virtio console (VIRTIO 1.3, 5.3). Its other ports, if it has any, are left alone.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use toro_mem::DmaBuf;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, Queue, Transport, device};

use crate::sending::{Sending, give};
use crate::{Line, OpenError, Sink, Wait};

/// Descriptors of a queue.
const QUEUE: u16 = 16;
/// Bytes of a buffer in each direction.
const RECEIVE: usize = 512;
const SEND: usize = 4096;

/// A console that is looked at.
pub struct PolledConsole {
    transport: Box<dyn Transport>,
    receiving: Queue,
    sending: Sending,
    /// What has come in and was not read.
    arrived: Option<(DmaBuf, Range<usize>)>,
    /// What was not sent, and its length.
    kept: Option<(DmaBuf, usize)>,
    /// A file was begun: a stream takes no second one.
    has_file: bool,
}

impl PolledConsole {
    /// Opens the console behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn open(mut transport: Box<dyn Transport>, wait: Wait) -> Result<Self, OpenError> {
        match queues(&mut *transport, wait) {
            Ok((receiving, sending)) => Ok(Self {
                transport,
                receiving,
                sending,
                arrived: None,
                kept: None,
                has_file: false,
            }),
            Err(error) => {
                device::fail(&mut *transport);
                Err(error)
            }
        }
    }

    /// Looks whether something has come in, if all before was read.
    fn look(&mut self) {
        while self.arrived.is_none()
            && let Ok(Some(used)) = self.receiving.pop()
        {
            let buf = used.chain.into_first();
            let written = (used.written as usize).min(buf.len());
            match written {
                0 => give(&mut self.receiving, buf),
                _ => self.arrived = Some((buf, 0..written)),
            }
        }
        self.receiving.notify_if_needed();
    }

    fn put(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            let Some((mut buf, len)) = self.kept.take().or_else(|| Some((self.sending.take()?, 0)))
            else {
                return false;
            };
            buf[len] = byte;
            self.kept = Some((buf, len + 1));
            if len + 1 == SEND && !self.send() {
                return false;
            }
        }
        true
    }

    fn send(&mut self) -> bool {
        let kept = self.kept.take();
        kept.is_none_or(|(buf, len)| self.sending.send(buf, len))
    }
}

fn queues(transport: &mut dyn Transport, wait: Wait) -> Result<(Queue, Sending), OpenError> {
    if transport.device_type() != DeviceType::CONSOLE {
        return Err(OpenError::OtherKind);
    }
    // Without MULTIPORT there is one port, and nothing to be said about it.
    let wanted = EVENT_IDX | ACCESS_PLATFORM;
    let features = device::negotiate(transport, wanted, 0).map_err(OpenError::Negotiate)?;
    let mut queue = |index| Queue::new(transport, index, QUEUE, features).map_err(OpenError::Queue);
    let (mut receiving, sending) = (queue(0)?, queue(1)?);
    let sending = Sending::try_new(sending, SEND, wait).map_err(OpenError::OutOfMemory)?;
    for _ in 0..receiving.size() {
        let buf = DmaBuf::try_new(RECEIVE).map_err(OpenError::OutOfMemory)?;
        give(&mut receiving, buf);
    }
    receiving.disable_interrupts();
    device::start(transport);
    receiving.notify_if_needed();
    Ok((receiving, sending))
}

impl Line for PolledConsole {
    fn read(&mut self) -> Option<u8> {
        self.look();
        let (buf, mut unread) = self.arrived.take()?;
        let byte = buf[unread.start];
        unread.start += 1;
        if unread.is_empty() {
            give(&mut self.receiving, buf);
        } else {
            self.arrived = Some((buf, unread));
        }
        Some(byte)
    }

    fn has_input(&mut self) -> bool {
        self.look();
        self.arrived.is_some()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    fn flush(&mut self) {
        self.send();
    }

    fn set_interrupts(&mut self, wanted: bool) -> bool {
        // A line that is up gives no further edge.
        self.transport.acknowledge();
        if wanted {
            self.receiving.enable_interrupts();
        } else {
            self.receiving.disable_interrupts();
        }
        self.has_input()
    }
}

impl Sink for PolledConsole {
    fn begin(&mut self) -> Option<u64> {
        let is_first = !core::mem::replace(&mut self.has_file, true);
        is_first.then_some(u64::MAX)
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        self.put(bytes)
    }

    fn finish(&mut self) -> bool {
        self.send() && self.sending.drain()
    }
}

impl fmt::Debug for PolledConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolledConsole")
    }
}
