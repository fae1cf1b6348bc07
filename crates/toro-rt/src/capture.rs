//! `pcap=PORT` on the command line: whoever opens the console port of that name gets the frames of all cards as pcapng.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::future::poll_fn;

use log::{error, info};
use toro_console::Port;
use toro_dev::net::NetDevice;
use toro_dev::owner::DeviceName;
use toro_pcap::{Capture, Tap};
use toro_sync::Once;

use crate::{drivers, environment};

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
    let Some(core) = drivers::owner_of("console0") else {
        return error!(
            "pcap={name}: this machine has no console; give it a virtio-serial one with a port {name}"
        );
    };
    let (name, capture) = (String::from(name), Arc::clone(capture));
    let started = toro_sched::Builder::new()
        .name("pcap")
        .spawn_on(core, move || serve(&name, &capture));
    if let Err(reason) = started {
        error!("pcap: {reason}");
    }
}

fn serve(name: &str, capture: &Capture) {
    let port = match Port::open(name) {
        Ok(port) => port,
        Err(reason) => return error!("pcap={name}: {reason}"),
    };
    info!("pcap: frames are seen at the console port {name}");
    while port.wait_for_host().is_ok() {
        capture.begin("toro");
        // It ends when the host closes the port.
        loop {
            let blocks = toro_sched::block_on(poll_fn(|cx| capture.poll_take(cx.waker())));
            if port.write_all(&blocks).is_err() {
                break;
            }
        }
        capture.end();
    }
}
