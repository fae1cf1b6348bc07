//! Cards with several queue pairs: one stack on each core, behind a queue pair of its own.
//!
//! As [`lending`](crate::lending) says.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use log::{error, info};
use toro_dev::owner::DeviceName;
use toro_time::Instant;
use toro_virtio::{CoreInterrupts, Interrupts as _, Transport};
use toro_virtio_net::{Config, PairMessages, ProbeError, VirtioNet};

use crate::lending::{is_dedicated, others, there};
use crate::network::run;

/// Queues that interrupt the owner of a card: those of the first pair, and the control queue.
const OWN_MESSAGES: u16 = 3;
/// How long a card may take to switch to several queue pairs, on a busy host.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a core lends to a card for a queue pair: its interrupts, and how the card sends them.
struct Branch {
    core: usize,
    interrupts: CoreInterrupts,
    messages: PairMessages,
}

/// Starts a card on this core, and a stack for each further queue pair on a core of its own.
///
/// # Errors
/// Fails as [`VirtioNet::probe`] does. A core that cannot start its pair says so in the log.
pub(crate) fn start(
    name: DeviceName,
    transport: Box<dyn Transport>,
    config: Config,
) -> Result<(), ProbeError> {
    let branches = match is_dedicated(name) {
        true => Vec::new(),
        false => branches(transport.messages_left()),
    };
    let messages: Vec<PairMessages> = branches.iter().map(|branch| branch.messages).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut is_patient = || {
        toro_sched::yield_now();
        Instant::now() < deadline
    };
    let (card, pairs) = VirtioNet::probe_pairs(transport, config, &messages, &mut is_patient)?;
    if pairs.is_empty() {
        run(name, card, None);
        return Ok(());
    }
    info!("{name}: {} queue pairs", pairs.len() + 1);
    let mut seats = toro_net::seats(pairs.len() + 1).into_iter();
    run(name, card, seats.next());
    for ((pair, branch), seat) in pairs.into_iter().zip(branches).zip(seats) {
        let core = branch.core;
        let open = move || match pair.open(Box::new(branch.interrupts)) {
            Ok(card) => run(name, card, Some(seat)),
            Err(reason) => error!("{name}: core {core} cannot use its queue pair: {reason}"),
        };
        if there(core, open).is_none() {
            error!("{name}: core {core} could not start its queue pair");
        }
    }
    Ok(())
}

/// What the other cores lend to a card that can send as many messages.
fn branches(messages: u16) -> Vec<Branch> {
    let most = usize::from(messages.saturating_sub(OWN_MESSAGES) / 2);
    let lend = |core| there(core, move || branch(core))?;
    others().take(most).filter_map(lend).collect()
}

/// What this core lends; nothing if it has a card of its own, or no vectors left.
fn branch(core: usize) -> Option<Branch> {
    if toro_net::is_init() {
        return None;
    }
    let mut interrupts = CoreInterrupts::new();
    let messages = PairMessages {
        receive: interrupts.message().ok()?,
        transmit: interrupts.message().ok()?,
    };
    Some(Branch {
        core,
        interrupts,
        messages,
    })
}
