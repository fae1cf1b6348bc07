//! Idle: the one place where a core sleeps.
//!
//! The hole that loses wake-ups (an arrival between the last look and the halt) is closed by looking with interrupts off.
//! A device's interrupt, or another core's, is then held back until `sti; hlt` lets it in, and it ends the halt at once. Another core
//! that posts mail sees the announced sleep and sends an interrupt; one that posts before the announcement makes it fail.

use alloc::sync::Arc;

use toro_arch::{core_local, cpu};
use toro_queue::Mailbox;

use crate::thread::Block;

/// Waits for an interrupt or mail, unless something has arrived already. Taking the mail ends the announced sleep.
pub(crate) fn wait(mailbox: &Mailbox<Arc<Block>>) {
    // What others have freed of this core's memory would otherwise wait until the core runs out.
    toro_mem::collect();
    cpu::disable_interrupts();
    if core_local::has_pending() || !mailbox.announce_sleep() {
        cpu::enable_interrupts();
    } else {
        cpu::wait_for_interrupt();
    }
}
