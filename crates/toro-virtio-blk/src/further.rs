//! [`FurtherQueue`]: more queues of a disk (VIRTIO 1.3, 5.2.2 and `VIRTIO_BLK_F_MQ`), each for a core of its own.
//!
//! The core that owns the device sets all of them up, with the interrupts that the other cores have named. Then each queue goes to its
//! core, which runs it as a disk: no request, no completion and no interrupt of it passes another core.
//!
//! ```text
//! owner: probe_queues(cores) ──► VirtioBlk of queue 0, looks after size and health
//!                            └─► FurtherQueue 1.. ──► core: open(interrupts) ──► VirtioBlk
//! ```
//! Requests of different queues overtake each other, as those of one do; a flush covers the writes of all queues that had completed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use toro_dev::block::BlockInfo;
use toro_pci::Registers;
use toro_virtio::{DeviceType, Interrupts, Message, ProbeError, Queue, QueueShare, Transport};

use crate::device::VirtioBlk;
use crate::probe::check_size;
use crate::together::Together;

/// A queue of a disk on its way to its core.
#[derive(Debug)]
pub struct FurtherQueue {
    queue: Queue,
    /// What masks its message.
    mask: Option<Registers>,
    info: BlockInfo,
    together: Arc<Together>,
}

impl FurtherQueue {
    pub(crate) fn new(
        (queue, mask): (Queue, Option<Registers>),
        info: BlockInfo,
        together: Arc<Together>,
    ) -> Self {
        Self {
            queue,
            mask,
            info,
            together,
        }
    }

    /// The disk for this core, which takes the interrupts of the queue by `interrupts`.
    pub fn open(self, interrupts: Box<dyn Interrupts>) -> VirtioBlk {
        let masks = self.mask.into_iter().collect();
        let share = QueueShare::new(DeviceType::BLOCK, interrupts, masks);
        VirtioBlk::new(Box::new(share), self.queue, self.info, self.together)
    }
}

/// Sets up a queue for each of `cores`, with what masks its message, until the device has none left that a request fits into.
pub(crate) fn further(
    transport: &mut dyn Transport,
    size: u16,
    features: u64,
    cores: &[Message],
) -> Vec<(Queue, Option<Registers>)> {
    let mut queues = Vec::new();
    for (index, message) in (1..).zip(cores) {
        let queue = Queue::new_for(transport, index, size, features, *message);
        let fits = queue.map_err(ProbeError::from).and_then(|queue| {
            check_size(&queue)?;
            Ok(queue)
        });
        match fits {
            Ok(queue) => queues.push((queue, transport.message_mask(*message))),
            Err(reason) => {
                log::warn!("blk: {index} queues of {}: {reason}", cores.len() + 1);
                break;
            }
        }
    }
    queues
}
