//! [`FakeBlk`]: a disk whose sectors lie in the test.

use std::cell::RefCell;
use std::rc::Rc;

use toro_virtio::DeviceType;
use toro_virtio::feature::{EVENT_IDX, INDIRECT_DESC, VERSION_1};

use crate::device::FakeDevice;
use crate::rings::Request;

const FIRST: usize = 0;
const SECTOR: usize = 512;
const OK: u8 = 0;
const FAILED: u8 = 1;
const UNSUPPORTED: u8 = 2;

/// A disk that works.
#[derive(Clone, Debug)]
pub struct FakeBlk {
    /// The device beneath.
    pub device: FakeDevice,
    bytes: Rc<RefCell<Vec<u8>>>,
    /// How many flushes were done.
    flushes: Rc<RefCell<u32>>,
}

impl FakeBlk {
    /// Blocks, flush, discard, write of zeroes, indirect descriptors, event index.
    pub const FEATURES: u64 =
        VERSION_1 | EVENT_IDX | INDIRECT_DESC | 1 << 14 | 1 << 13 | 1 << 9 | 1 << 6;
    /// The feature bit of a read-only disk.
    pub const READ_ONLY: u64 = 1 << 5;

    /// The feature bit of a disk with several queues.
    pub const SEVERAL_QUEUES: u64 = 1 << 12;

    /// An empty disk of `sectors` that offers `features`, with a queue of up to `max_size` descriptors.
    pub fn new(features: u64, sectors: usize, max_size: u32) -> Self {
        Self::with_queues(features, sectors, max_size, 1)
    }

    /// As [`new`](Self::new), with so many queues, and messages for all but the first.
    pub fn with_queues(features: u64, sectors: usize, max_size: u32, queues: u16) -> Self {
        let device = FakeDevice::new(DeviceType::BLOCK, features, queues.into(), max_size);
        device.set_messages(queues - 1);
        device.set_config(34, &queues.to_le_bytes());
        device.set_config(0, &(sectors as u64).to_le_bytes());
        device.set_config(20, &512u32.to_le_bytes());
        // Limits of discards and of writes of zeroes, each with one segment.
        for offset in [36, 48] {
            device.set_config(offset, &64u32.to_le_bytes());
            device.set_config(offset + 4, &1u32.to_le_bytes());
        }
        Self {
            device,
            bytes: Rc::new(RefCell::new(vec![0; sectors * SECTOR])),
            flushes: Rc::default(),
        }
    }

    /// How many flushes were done.
    pub fn flushes(&self) -> u32 {
        *self.flushes.borrow()
    }

    /// What the disk holds.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    /// Carries out the next request, and says whether there was one.
    pub fn serve(&self) -> bool {
        self.serve_queue(FIRST)
    }

    /// As [`serve`](Self::serve), of queue `queue`.
    pub fn serve_queue(&self, queue: usize) -> bool {
        let request = self.device.take(queue);
        request.is_some_and(|request| {
            self.carry_out_of(queue, &request);
            true
        })
    }

    /// Carries out a request that was taken before.
    pub fn carry_out(&self, request: &Request) {
        self.carry_out_of(FIRST, request);
    }

    /// As [`carry_out`](Self::carry_out), of queue `queue`.
    pub fn carry_out_of(&self, queue: usize, request: &Request) {
        let mut answer = vec![0; request.capacity().saturating_sub(1)];
        let status = self.answer(request, &mut answer);
        answer.push(status);
        self.device.complete(queue, request, &answer);
    }

    /// Answers a request with this status, and does nothing.
    pub fn refuse(&self, request: &Request, status: u8) {
        let mut answer = vec![0; request.capacity().saturating_sub(1)];
        answer.push(status);
        self.device.complete(FIRST, request, &answer);
    }

    fn answer(&self, request: &Request, data: &mut [u8]) -> u8 {
        let Some((header, rest)) = request.readable.split_at_checked(16) else {
            return FAILED;
        };
        let sector = u64::from_le_bytes(header[8..].try_into().expect("eight bytes"));
        let mut bytes = self.bytes.borrow_mut();
        match header[0] {
            0 => part(&mut bytes, sector, data.len()).map(|part| data.copy_from_slice(part)),
            1 => part(&mut bytes, sector, rest.len()).map(|part| part.copy_from_slice(rest)),
            4 => {
                *self.flushes.borrow_mut() += 1;
                Some(())
            }
            11 | 13 => range(rest).and_then(|(sector, sectors)| {
                part(&mut bytes, sector, sectors * SECTOR).map(|part| part.fill(0))
            }),
            _ => return UNSUPPORTED,
        }
        .map_or(FAILED, |()| OK)
    }
}

fn part(bytes: &mut [u8], sector: u64, len: usize) -> Option<&mut [u8]> {
    let start = usize::try_from(sector).ok()?.checked_mul(SECTOR)?;
    bytes.get_mut(start..start.checked_add(len)?)
}

fn range(segment: &[u8]) -> Option<(u64, usize)> {
    let sector = u64::from_le_bytes(segment.get(..8)?.try_into().ok()?);
    let sectors = u32::from_le_bytes(segment.get(8..12)?.try_into().ok()?);
    Some((sector, sectors as usize))
}
