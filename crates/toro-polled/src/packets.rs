//! [`Packets`]: the packets of a socket device, in and out (VIRTIO 1.3, 5.10).

use toro_dev::socket::{HEADER, Header};
use toro_mem::DmaBuf;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, Queue, Transport, device};

use crate::sending::{Sending, give};
use crate::{OpenError, Wait};

/// Descriptors of a queue.
const QUEUE: u16 = 16;
/// Bytes of a packet, with its header.
const PACKET: usize = 4096;
/// The most bytes of a payload.
pub(crate) const PAYLOAD: usize = PACKET - HEADER;

/// The queues of a device that runs.
#[derive(Debug)]
pub(crate) struct Packets {
    receiving: Queue,
    sending: Sending,
    /// Where lost connections would be told: it has no buffers, for who has one connection finds out by itself.
    _events: Queue,
    /// The context id of this machine.
    pub(crate) cid: u32,
}

impl Packets {
    pub(crate) fn start(transport: &mut dyn Transport, wait: Wait) -> Result<Self, OpenError> {
        if transport.device_type() != DeviceType::SOCKET {
            return Err(OpenError::OtherKind);
        }
        let wanted = EVENT_IDX | ACCESS_PLATFORM;
        let features = device::negotiate(transport, wanted, 0).map_err(OpenError::Negotiate)?;
        let words = |transport: &dyn Transport| {
            let low = device::field::<u32>(transport, 0)?;
            Some((low, device::field::<u32>(transport, 4)?))
        };
        // 5.10.4: 0 to 2 are others', and the largest is anybody's.
        let Some((cid @ 3..=0xffff_fffe, 0)) = device::consistent(transport, words) else {
            return Err(OpenError::Config);
        };
        let mut queue =
            |index| Queue::new(transport, index, QUEUE, features).map_err(OpenError::Queue);
        let (mut receiving, sending, events) = (queue(0)?, queue(1)?, queue(2)?);
        let sending = Sending::try_new(sending, PACKET, wait).map_err(OpenError::OutOfMemory)?;
        for _ in 0..receiving.size() {
            let buf = DmaBuf::try_new(PACKET).map_err(OpenError::OutOfMemory)?;
            give(&mut receiving, buf);
        }
        receiving.disable_interrupts();
        device::start(transport);
        receiving.notify_if_needed();
        Ok(Self {
            receiving,
            sending,
            _events: events,
            cid,
        })
    }

    /// Takes the next packet that has come in and shows it to `take`. `false` if there is none.
    pub(crate) fn receive(&mut self, take: impl FnOnce(Header, &[u8])) -> bool {
        let Ok(Some(used)) = self.receiving.pop() else {
            self.receiving.notify_if_needed();
            return false;
        };
        let mut buf = used.chain.into_first();
        let written = (used.written as usize).min(buf.len());
        // What is no packet is passed over.
        if let Ok(header) = Header::parse(&buf[..written]) {
            take(header, &buf[HEADER..written]);
        }
        // A back end may return a buffer that it has written nothing to: what is left of an old header must be none.
        buf[..HEADER].fill(0);
        give(&mut self.receiving, buf);
        true
    }

    /// Sends a packet; `false` if the device takes none.
    pub(crate) fn send(
        &mut self,
        header: &Header,
        payload: impl ExactSizeIterator<Item = u8>,
    ) -> bool {
        let Some(mut buf) = self.sending.take() else {
            return false;
        };
        let len = HEADER + payload.len();
        buf[..HEADER].copy_from_slice(&header.to_bytes());
        for (place, byte) in buf[HEADER..len].iter_mut().zip(payload) {
            *place = byte;
        }
        self.sending.send(buf, len)
    }

    /// Has the device interrupt when a packet comes in, or not. Returns whether there is one of which no interrupt will tell.
    pub(crate) fn set_interrupts(&mut self, wanted: bool) -> bool {
        if wanted {
            return self.receiving.enable_interrupts();
        }
        self.receiving.disable_interrupts();
        false
    }
}
