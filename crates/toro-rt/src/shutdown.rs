//! The wish that the image ends in order, from whoever may have it: the machine's power button, or its operator.
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

use crate::machine::Machine;
use crate::power_button::PowerButton;
use crate::{environment, exit};

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
    let Some(button) = PowerButton::find(info, machine) else {
        return info!("no power button: the image ends when its main function returns");
    };
    let started = toro_sched::Builder::new()
        .name("power-button")
        .spawn(move || {
            button.wait(Instant::FAR_FUTURE);
            info!("the power button was pressed");
            end(|deadline| button.wait(deadline))
        });
    if let Err(reason) = started {
        error!("the power button does nothing: {reason}");
    }
}

/// Has the service end in order, and ends the image if it does not: when `is_asked_again` says so, or at the deadline that it is given.
pub(crate) fn end(is_asked_again: impl FnOnce(Instant) -> bool) -> ! {
    if !request() {
        info!("nobody waits for that: the image ends");
        exit::exit(ExitCode::Success);
    }
    let grace = grace();
    info!("the service has {grace} s to end");
    match is_asked_again(Instant::now() + Duration::from_secs(grace)) {
        true => warn!("asked again: the image ends"),
        false => warn!("the service has not ended within {grace} s: the image ends"),
    }
    exit::exit(ExitCode::Failure);
}

/// How many seconds the service has.
fn grace() -> u64 {
    let Some(text) = environment::value("grace") else {
        return GRACE;
    };
    text.parse().unwrap_or_else(|_| {
        error!("grace={text}: not a number of seconds; the service gets {GRACE} s to end");
        GRACE
    })
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
