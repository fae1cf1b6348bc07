//! [`FakeVsock`]: a socket device with its host in the test.

use toro_virtio::DeviceType;
use toro_virtio::feature::{EVENT_IDX, VERSION_1};

use crate::device::FakeDevice;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const EVENTS: usize = 2;

/// A socket device: packets come from the test and go there, headers and all.
#[derive(Clone, Debug)]
pub struct FakeVsock {
    /// The device beneath.
    pub device: FakeDevice,
}

impl FakeVsock {
    /// Event index.
    pub const FEATURES: u64 = VERSION_1 | EVENT_IDX;

    /// A device of the machine `cid`, with queues of up to `max_size` descriptors.
    pub fn new(cid: u64, max_size: u32) -> Self {
        let device = FakeDevice::new(DeviceType::SOCKET, Self::FEATURES, 3, max_size);
        let fake = Self { device };
        fake.set_cid(cid);
        fake
    }

    /// Changes the context id, without a word.
    pub fn set_cid(&self, cid: u64) {
        self.device.set_config(0, &cid.to_le_bytes());
    }

    /// Sends a packet to the driver, and says whether there was a buffer for it.
    pub fn send(&self, packet: &[u8]) -> bool {
        let request = self.device.take(RECEIVE);
        request.is_some_and(|request| {
            self.device.complete(RECEIVE, &request, packet);
            true
        })
    }

    /// Takes the packets that the driver has sent. Their buffers go back.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(request) = self.device.take(TRANSMIT) {
            self.device.complete(TRANSMIT, &request, &[]);
            packets.push(request.readable);
        }
        packets
    }

    /// Sends an event to the driver; 0 says that all connections are lost.
    pub fn tell(&self, event: u32) -> bool {
        let request = self.device.take(EVENTS);
        request.is_some_and(|request| {
            self.device.complete(EVENTS, &request, &event.to_le_bytes());
            true
        })
    }
}
