//! [`FakeNet`]: a network card with its far end in the test.

use toro_virtio::DeviceType;
use toro_virtio::feature::{EVENT_IDX, VERSION_1};

use crate::device::FakeDevice;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const HEADER: usize = 12;

/// A card: what its driver receives comes from the test, and what it sends goes there.
#[derive(Clone, Debug)]
pub struct FakeNet {
    /// The device beneath.
    pub device: FakeDevice,
}

impl FakeNet {
    /// The card's address.
    pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    /// Checksum offload in both directions, MTU, MAC, status, event index.
    pub const FEATURES: u64 = VERSION_1 | EVENT_IDX | 1 << 16 | 1 << 5 | 1 << 3 | 1 << 1 | 1;

    /// A card that offers `features`, with queues of up to `max_size` descriptors, its link up.
    pub fn new(features: u64, max_size: u32) -> Self {
        let device = FakeDevice::new(DeviceType::NET, features, 2, max_size);
        device.set_config(0, &Self::MAC);
        device.set_config(10, &1500u16.to_le_bytes());
        let card = Self { device };
        card.set_link(true);
        card
    }

    /// Plugs the cable in or out, without an interrupt.
    pub fn set_link(&self, is_up: bool) {
        self.device.set_config(6, &[u8::from(is_up), 0]);
    }

    /// A card that offers `features`, control queue and queue pairs among them, with `pairs` pairs and messages for all of them.
    pub fn with_pairs(features: u64, pairs: u16, max_size: u32) -> Self {
        let queues = usize::from(pairs) * 2 + 1;
        let device = FakeDevice::new(DeviceType::NET, features, queues, max_size);
        device.set_config(0, &Self::MAC);
        device.set_config(8, &pairs.to_le_bytes());
        device.set_config(10, &1500u16.to_le_bytes());
        device.set_messages(2 * pairs);
        let card = Self { device };
        card.set_link(true);
        card
    }

    /// Sends `frame` in buffers of queue `queue`, and says in its header that there are as many as `claimed`, if that is given.
    /// Returns whether there were enough.
    pub fn send_merged(
        &self,
        queue: usize,
        mut header: [u8; HEADER],
        frame: &[u8],
        claimed: Option<u16>,
    ) -> bool {
        let mut left = HEADER + frame.len();
        let mut requests = Vec::new();
        while left > 0 {
            let Some(request) = self.device.take(queue) else {
                return false;
            };
            left = left.saturating_sub(request.capacity());
            requests.push(request);
        }
        let count = u16::try_from(requests.len()).expect("a queue is shorter");
        header[10..].copy_from_slice(&claimed.unwrap_or(count).to_le_bytes());
        let packet: Vec<u8> = header.iter().chain(frame).copied().collect();
        let mut rest = &packet[..];
        for request in &requests {
            let (part, behind) = rest.split_at(rest.len().min(request.capacity()));
            self.device.complete(queue, request, part);
            rest = behind;
        }
        true
    }

    /// Sends `frame` to the driver, and says whether there was a buffer for it.
    pub fn send(&self, frame: &[u8]) -> bool {
        self.send_with([0; HEADER], frame)
    }

    /// Sends `frame` with this header.
    pub fn send_with(&self, header: [u8; HEADER], frame: &[u8]) -> bool {
        let Some(request) = self.device.take(RECEIVE) else {
            return false;
        };
        let packet: Vec<u8> = header.iter().chain(frame).copied().collect();
        self.device.complete(RECEIVE, &request, &packet);
        true
    }

    /// Takes what the driver has sent: headers and frames. Their buffers go back.
    pub fn sent(&self) -> Vec<([u8; HEADER], Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some(request) = self.device.take(TRANSMIT) {
            let (header, frame) = request.readable.split_at(HEADER);
            frames.push((header.try_into().expect("twelve bytes"), frame.to_vec()));
            self.device.complete(TRANSMIT, &request, &[]);
        }
        frames
    }
}
