//! [`Queues`]: packets in, packets out, and events.

use alloc::vec::Vec;

use toro_dev::socket::{HEADER, Header, Packet};
use toro_mem::{DmaBuf, OutOfMemory};
use toro_virtio::{Buffer, DeviceError, Queue, Reset};

/// Bytes of an event (5.10.6.7).
const EVENT: usize = 4;
/// The one event that is known: all connections are lost.
const TRANSPORT_RESET: [u8; EVENT] = [0; EVENT];

/// The queues of a device that runs.
pub(crate) struct Queues {
    receiving: Queue,
    sending: Queue,
    events: Queue,
    /// Packets to send that the device has not got.
    free: Vec<DmaBuf>,
    packet_len: usize,
    /// How many packets to send may still be made.
    left: u16,
    malformed: u64,
}

impl Queues {
    /// Gives the device all its buffers to receive into; it learns of them at the next [`flush`](Self::flush).
    pub(crate) fn try_new(
        mut receiving: Queue,
        mut sending: Queue,
        mut events: Queue,
        packet_len: usize,
    ) -> Result<Self, OutOfMemory> {
        for _ in 0..receiving.size() {
            give(&mut receiving, DmaBuf::try_new(packet_len)?, packet_len);
        }
        for _ in 0..events.size() {
            give(&mut events, DmaBuf::try_new(EVENT)?, EVENT);
        }
        sending.disable_interrupts();
        let left = sending.size();
        Ok(Self {
            receiving,
            sending,
            events,
            free: Vec::new(),
            packet_len,
            left,
            malformed: 0,
        })
    }

    /// The most bytes of a payload.
    pub(crate) fn payload(&self) -> usize {
        self.packet_len - HEADER
    }

    /// Takes the next received packet. Buffers without one go back, and are counted.
    pub(crate) fn receive(&mut self) -> Result<Option<(Header, Packet)>, DeviceError> {
        while let Some(used) = self.receiving.pop()? {
            let buf = used.chain.into_first();
            let written = (used.written as usize).min(buf.len());
            match Header::parse(&buf[..written]) {
                Ok(header) => return Ok(Some((header, Packet::new(buf, written - HEADER)))),
                Err(error) => {
                    log::debug!("vsock: no packet: {error}");
                    self.malformed += 1;
                    self.recycle(buf);
                }
            }
        }
        Ok(None)
    }

    /// How many buffers came back without a packet.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Gives the device a buffer to receive into.
    pub(crate) fn recycle(&mut self, mut buf: DmaBuf) {
        // vhost-device-vsock returns buffers that it has written nothing to: what is left of an old header must be none.
        buf[..HEADER].fill(0);
        let len = buf.len();
        give(&mut self.receiving, buf, len);
    }

    /// Takes a packet to send.
    pub(crate) fn allocate(&mut self) -> Result<Option<Packet>, DeviceError> {
        if self.free.is_empty() {
            self.reap()?;
        }
        let mut buf = self.free.pop();
        if buf.is_none() && self.left > 0 {
            buf = DmaBuf::try_new(self.packet_len).ok();
            self.left -= u16::from(buf.is_some());
        }
        Ok(buf.map(|buf| Packet::new(buf, 0)))
    }

    /// Takes sent packets back.
    fn reap(&mut self) -> Result<(), DeviceError> {
        while let Some(used) = self.sending.pop()? {
            self.free.push(used.chain.into_first());
        }
        Ok(())
    }

    pub(crate) fn transmit(&mut self, header: &Header, packet: Packet) {
        let len = packet.payload().len();
        let header = Header {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            ..*header
        };
        let mut buf = packet.into_buf();
        buf[..HEADER].copy_from_slice(&header.to_bytes());
        // Refused only by a queue that has failed: there are as many packets as descriptors.
        drop(
            self.sending
                .add(Buffer::readable(buf, 0..HEADER + len).into()),
        );
    }

    pub(crate) fn flush(&mut self) {
        self.receiving.notify_if_needed();
        self.sending.notify_if_needed();
    }

    /// How many packets the device has not taken.
    pub(crate) fn outstanding(&mut self) -> Result<usize, DeviceError> {
        self.reap()?;
        Ok(usize::from(self.sending.outstanding()))
    }

    /// Whether the device has said that all connections are lost.
    pub(crate) fn has_lost(&mut self) -> Result<bool, DeviceError> {
        let mut lost = false;
        while let Some(used) = self.events.pop()? {
            let buf = used.chain.into_first();
            lost |= used.written as usize >= EVENT && buf[..EVENT] == TRANSPORT_RESET;
            give(&mut self.events, buf, EVENT);
        }
        self.events.notify_if_needed();
        Ok(lost)
    }

    /// Asks for interrupts, and says whether there is news already. Sent packets matter only to those who wait for one.
    pub(crate) fn arm(&mut self) -> bool {
        let news = self.receiving.enable_interrupts() | self.events.enable_interrupts();
        if self.free.is_empty() && self.left == 0 {
            return news | self.sending.enable_interrupts();
        }
        news
    }

    /// Has the queues give back what the device had.
    pub(crate) fn retire(&mut self, proof: &Reset) {
        for queue in [&mut self.receiving, &mut self.sending, &mut self.events] {
            queue.retire(proof);
        }
    }
}

fn give(queue: &mut Queue, buf: DmaBuf, len: usize) {
    // Refused only by a queue that has failed.
    drop(queue.add(Buffer::writable(buf, 0..len).into()));
}
