//! The wish that the image ends in order, from whoever may have it: so far the machine's power button.
//!
//! A service that waits for [`requested`] says all it has to say and returns from `main`. Where nobody waits the image ends at once,
//! with its mounts synced as at every end. A service that does not end within `grace=SECONDS` (30 without it), or a second press, ends
//! the image as a failure.

use alloc::vec::Vec;
use core::future;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;

use log::{error, info, warn};
use toro_abi::exit::ExitCode;
use toro_boot::BootInfo;
use toro_sync::SpinLock;
use toro_time::Instant;

use crate::exit;
use crate::machine::Machine;
use crate::power_button::PowerButton;

/// How long a service may take to end, in seconds.
const GRACE: u64 = 30;

/// Who waits, on whatever core. Locked for single steps.
static WAITING: SpinLock<Vec<Waker>> = SpinLock::new(Vec::new());
static IS_REQUESTED: AtomicBool = AtomicBool::new(false);

/// Waits until the image is asked to end.
pub async fn requested() {
    future::poll_fn(|cx| {
        // Registered before the look: the request looks for those who wait after it has been made.
        let mut waiting = WAITING.lock();
        if is_requested() {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    })
    .await;
}

/// Whether the image was asked to end.
pub fn is_requested() -> bool {
    IS_REQUESTED.load(Ordering::Acquire)
}

/// Starts the thread that waits for the power button, if the machine has one.
pub(crate) fn start(info: &BootInfo, machine: &Machine) {
    let grace = match info.command_line().value("grace") {
        None => GRACE,
        Some(text) => text.parse().unwrap_or_else(|_| {
            error!("grace={text}: not a number of seconds; the service gets {GRACE} s to end");
            GRACE
        }),
    };
    let Some(button) = PowerButton::find(info, machine) else {
        return info!("no power button: the image ends when its main function returns");
    };
    let started = toro_sched::Builder::new()
        .name("power-button")
        .spawn(move || wait(&button, grace));
    if let Err(reason) = started {
        error!("the power button does nothing: {reason}");
    }
}

/// Passes the first press on, and ends the image at the second or after `grace`.
fn wait(button: &PowerButton, grace: u64) {
    button.wait(Instant::FAR_FUTURE);
    if !request() {
        info!("the power button was pressed: the image ends");
        exit::exit(ExitCode::Success);
    }
    info!("the power button was pressed: the service has {grace} s to end");
    match button.wait(Instant::now() + Duration::from_secs(grace)) {
        true => warn!("the power button was pressed again: the image ends"),
        false => warn!("the service has not ended within {grace} s: the image ends"),
    }
    exit::exit(ExitCode::Failure);
}

/// Wakes whoever waits; `false` if nobody does.
fn request() -> bool {
    let mut waiting = WAITING.lock();
    IS_REQUESTED.store(true, Ordering::Release);
    let woken = core::mem::take(&mut *waiting);
    drop(waiting);
    let is_awaited = !woken.is_empty();
    woken.into_iter().for_each(Waker::wake);
    is_awaited
}
