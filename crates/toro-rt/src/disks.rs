//! The disks of a core: those that it owns, and a queue of each of the others.

use alloc::boxed::Box;
use alloc::vec::Vec;

use log::{error, info};
use toro_dev::block::BlockDevice as _;
use toro_dev::owner::DeviceName;
use toro_virtio::{CoreInterrupts, Interrupts as _, Message};
use toro_virtio_blk::{Config, VirtioBlk};

use crate::drivers::Found;
use crate::lending::{is_dedicated, others, there};

/// The message of the first queue, which stays with the owner.
const OWN_MESSAGES: u16 = 1;
/// Disks beyond the first eight have a queue for their owner alone: a core has 62 vectors.
const SHARED: usize = 8;

/// What a core lends to a disk for a queue: its interrupts, and how the disk sends them.
struct Lent {
    core: usize,
    interrupts: CoreInterrupts,
    message: Message,
}

/// Starts a disk for the core that owns it, and a further queue for each other core, as far as it has some.
pub(crate) fn start(found: Found) {
    let Found { name, transport } = found;
    let lent = match is_dedicated(name) || name.number >= SHARED {
        true => Vec::new(),
        false => lent(transport.messages_left()),
    };
    let messages: Vec<Message> = lent.iter().map(|lent| lent.message).collect();
    let started = VirtioBlk::probe_queues(transport, Config::default(), &messages);
    let (disk, queues) = match started {
        Ok(started) => started,
        Err(reason) => return error!("{name}: the disk cannot be used: {reason}"),
    };
    let about = disk.info();
    let mode = if about.is_read_only {
        ", read-only"
    } else {
        ""
    };
    info!(
        "{name}: {} sectors, blocks of {} bytes{mode}, queues for {} cores",
        about.sectors,
        about.block_size,
        queues.len() + 1
    );
    add(name, disk);
    for (queue, lent) in queues.into_iter().zip(lent) {
        let open = move || add(name, queue.open(Box::new(lent.interrupts)));
        if there(lent.core, open).is_none() {
            error!("{name}: core {} could not start its queue", lent.core);
        }
    }
}

/// Gives this core the disk, by one of its queues.
fn add(name: DeviceName, disk: VirtioBlk) {
    if let Err(reason) = toro_block::add(name, Box::new(disk)) {
        error!("{name}: {reason}");
    }
}

/// What the other cores lend to a disk that can send as many messages.
fn lent(messages: u16) -> Vec<Lent> {
    let most = usize::from(messages.saturating_sub(OWN_MESSAGES));
    let lend = |core| there(core, move || lend(core))?;
    others().take(most).filter_map(lend).collect()
}

/// What this core lends; nothing if it has no vectors left.
fn lend(core: usize) -> Option<Lent> {
    let mut interrupts = CoreInterrupts::new();
    let message = interrupts.message().ok()?;
    Some(Lent {
        core,
        interrupts,
        message,
    })
}
