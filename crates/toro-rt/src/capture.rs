//! `pcap=PORT` on the command line: whoever opens the console port of that name gets the frames of all cards as pcapng.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;

use log::error;
use toro_console::Port;
use toro_dev::net::NetDevice;
use toro_dev::owner::DeviceName;
use toro_pcap::{Capture, Tap};
use toro_sync::Once;

use crate::{consoles, environment};

/// What is kept for a reader who is late, in bytes: more than a window of each of some connections.
const KEPT: usize = 1 << 20;

static CAPTURE: Once<Arc<Capture>> = Once::new();

/// Puts a tap on a card of this core, if the command line asks for it. Cards start before the thread that reads.
pub(crate) fn tap(name: DeviceName, card: Box<dyn NetDevice>) -> Box<dyn NetDevice> {
    if environment::value("pcap").is_none() {
        return card;
    }
    let capture = CAPTURE.call_once(|| Arc::new(Capture::new(KEPT)));
    let core = toro_sched::current().core();
    let interface = capture.add_interface(format!("{name} core {core}"));
    Box::new(Tap::new(card, Arc::clone(capture), interface))
}

/// Starts the thread that writes, if the command line asks for it.
pub(crate) fn start() {
    let Some(name) = environment::value("pcap") else {
        return;
    };
    let Some(capture) = CAPTURE.get() else {
        return error!("pcap={name}: this machine has no network card");
    };
    let capture = Arc::clone(capture);
    consoles::serve_at("pcap", name, move |port| serve(&port, &capture));
}

fn serve(port: &Port, capture: &Capture) {
    while port.wait_for_host().is_ok() {
        capture.begin("toro");
        while let Some(blocks) = next(port, capture) {
            if port.write_all(&blocks).is_err() {
                break;
            }
        }
        capture.end();
    }
}

/// Waits for what the cards see; `None` once the host has closed the port, for the next reader needs a section of its own.
fn next(port: &Port, capture: &Capture) -> Option<Vec<u8>> {
    let next = poll_fn(|cx| {
        match port.poll_read(&mut [0; 64], cx.waker()) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
            // Nobody listens to readers, but what they say must not keep their leaving from being heard.
            Poll::Ready(Ok(_)) => cx.waker().wake_by_ref(),
            Poll::Pending => {}
        }
        capture.poll_take(cx.waker()).map(Some)
    });
    toro_sched::block_on(next)
}
