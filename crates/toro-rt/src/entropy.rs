//! Seeds the random numbers of all cores, from the processor and from a virtio source if there is one.

use core::future::poll_fn;
use core::time::Duration;

use log::{error, info, warn};
use toro_time::Instant;
use toro_virtio_rng::VirtioRng;

use crate::drivers::Found;

/// How long the boot waits for a device. The processor's words are there at once.
const PATIENCE: Duration = Duration::from_millis(100);

/// Mixes the bytes of a virtio source into the random numbers.
pub(crate) fn start(found: Found) {
    let name = found.name;
    let mut source = match VirtioRng::probe(found.transport) {
        Ok(source) => source,
        Err(reason) => return warn!("{name}: cannot be used: {reason}"),
    };
    let mut bytes = [0; toro_entropy::SEED];
    match read(&mut source, &mut bytes) {
        Ok(()) => {
            toro_entropy::stir(&bytes);
            info!("{name}: {} bytes stirred in", bytes.len());
        }
        Err(Trouble) => warn!("{name}: gives no random bytes"),
    }
}

/// Says out loud if nothing on this machine is random.
pub(crate) fn check() {
    if toro_entropy::quality() == toro_entropy::Quality::Weak {
        error!(
            "entropy: no RDSEED, no RDRAND and no virtio-rng: random numbers can be guessed; \
             give the machine a source (-device virtio-rng-pci)"
        );
    }
}

/// The device is silent, or has broken a rule.
struct Trouble;

/// Fills `bytes` from a device that may give few at a time.
fn read(source: &mut VirtioRng, bytes: &mut [u8]) -> Result<(), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        let came = toro_sched::block_on_until(
            deadline,
            poll_fn(|context| source.poll_fill(rest, context.waker())),
        );
        match came {
            Some(Ok(count)) if count > 0 => filled += count,
            _ => return Err(Trouble),
        }
    }
    Ok(())
}
