//! Free memory of every core, shown to the host through a balloon.
//!
//! Every two seconds where a core uses more or less memory than before, else once a minute: the free blocks of its heap are walked by address, some
//! at a time. They belong to the device while it looks, so never more than a quarter of what a core has free.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::poll_fn;
use core::time::Duration;

use log::{error, info, warn};
use toro_mem::DmaBuf;
use toro_time::Instant;
use toro_virtio_balloon::VirtioBalloon;

use crate::drivers::Found;
use crate::lending::there;

/// How often it is looked for free memory.
const PERIOD: Duration = Duration::from_secs(2);
/// How long the device may look at a report.
const PATIENCE: Duration = Duration::from_secs(30);
/// A core that uses as much memory as before, but for so many bytes, is left alone for so many periods.
const CHANGE: usize = 1 << 20;
const QUIET: u32 = 30;
/// The most bytes of a block.
const BLOCK: usize = 4 << 20;
/// Not more than this part of the free memory is lent.
const PART: usize = 4;

/// Starts a balloon, with a thread on the core that owns it.
pub(crate) fn start(found: Found) {
    let name = found.name;
    let mut balloon = match VirtioBalloon::probe(found.transport) {
        Ok(balloon) => balloon,
        Err(reason) => return warn!("{name}: cannot be used: {reason}"),
    };
    info!("{name}: free memory is shown to the host");
    let body = move || match work(&mut balloon) {
        Ok(never) => match never {},
        Err(reason) => error!("{name}: free memory is not shown to the host any more: {reason}"),
    };
    if let Err(reason) = toro_sched::Builder::new().name("balloon").spawn(body) {
        error!("{name}: {reason}");
    }
}

/// Reports what is free, for as long as the device looks at it.
fn work(balloon: &mut VirtioBalloon) -> Result<Infallible, &'static str> {
    // What each core used when it was last looked at, and how often it was left alone since.
    let mut cores = alloc::vec![(usize::MAX, 0); toro_sched::cores()];
    loop {
        toro_sched::sleep(PERIOD);
        for (core, (used, quiet)) in cores.iter_mut().enumerate() {
            let now = there(core, || toro_mem::stats().in_use).unwrap_or(*used);
            *quiet += 1;
            if now.abs_diff(*used) < CHANGE && *quiet < QUIET {
                continue;
            }
            (*used, *quiet) = (now, 0);
            let mut next = 0;
            while let Some(Some(lent)) = there(core, move || lend(next)) {
                next = lent.next;
                report(balloon, lent.blocks)?;
            }
        }
    }
}

/// Blocks of a core on their way to the device, and where to go on.
struct Lent {
    blocks: Vec<DmaBuf>,
    next: usize,
}

/// Takes free blocks of this core from address `next` on.
fn lend(mut next: usize) -> Option<Lent> {
    let most = toro_mem::stats().free / PART;
    let (mut blocks, mut lent) = (Vec::with_capacity(VirtioBalloon::MOST), 0);
    while blocks.len() < VirtioBalloon::MOST && lent < most {
        let Some(block) = toro_mem::lend(next, BLOCK.min(most)) else {
            break;
        };
        next = block.as_ptr() as usize + block.len();
        lent += block.len();
        blocks.push(block);
    }
    (!blocks.is_empty()).then_some(Lent { blocks, next })
}

/// Shows blocks to the device and waits until it has seen them.
fn report(balloon: &mut VirtioBalloon, blocks: Vec<DmaBuf>) -> Result<(), &'static str> {
    balloon.report(blocks);
    let seen = poll_fn(|context| balloon.poll_done(context.waker()));
    match toro_sched::block_on_until(Instant::now() + PATIENCE, seen) {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => Err("the device has broken a rule"),
        None => Err("the device does not answer"),
    }
}
