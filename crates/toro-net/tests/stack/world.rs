//! A stack, a client, the wire between them and the clock.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use toro_net::{Address, Config, ConnectionId, ReadError, Stack, WriteError};
use toro_time::Instant;

use crate::bytes::too_long;
use crate::flight::Flight;
use crate::station::Station;
use crate::wire::{FakeNet, Link};

/// The stack's address.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) stack: Stack,
    pub(crate) link: Rc<RefCell<Link>>,
    pub(crate) client: Station,
    /// The wire; what flies to the stack is marked.
    pub(crate) flight: Flight,
    /// A router on the way from the stack, if there is one.
    pub(crate) hop: Option<Hop>,
}

/// A router before a link that does not take all packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    /// The longest it takes.
    pub(crate) longest: u16,
    /// It says what it has dropped.
    pub(crate) speaks: bool,
}

pub(crate) fn config() -> Config {
    let mut config = Config::new([0x1234_5678, 0x9abc_def0]);
    config.address = Address::Static {
        ip: ADDRESS,
        prefix: 24,
        gateway: None,
    };
    config
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config(), false)
    }

    pub(crate) fn with(config: Config, tx_checksum: bool) -> Self {
        Self::on(FakeNet::new(tx_checksum), config)
    }

    /// With a device that cuts long frames.
    pub(crate) fn cutting(config: Config) -> Self {
        let (device, link) = FakeNet::new(true);
        link.borrow_mut().cut = Some(0);
        Self::on((device, link), config)
    }

    fn on((device, link): (FakeNet, Rc<RefCell<Link>>), config: Config) -> Self {
        let now = Instant::ZERO + Duration::from_millis(10);
        Self {
            now,
            stack: Stack::new(Box::new(device), config, now),
            link,
            client: Station::new(),
            flight: Flight::new(1),
            hop: None,
        }
    }

    pub(crate) fn bind(&mut self, port: u16) {
        self.stack
            .bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
            .unwrap();
    }

    pub(crate) fn accept(&mut self, port: u16) -> Option<ConnectionId> {
        match self.stack.accept(port, &mut None, Waker::noop()) {
            Poll::Ready(accepted) => Some(accepted.unwrap()),
            Poll::Pending => None,
        }
    }

    /// Connects the client and accepts it.
    pub(crate) fn connected(&mut self, port: u16) -> (SocketHandle, ConnectionId) {
        let handle = self.client.connect((ADDRESS, port));
        self.settle();
        let accepted = self.accept(port).expect("the handshake takes no service");
        (handle, accepted)
    }

    pub(crate) fn read(&mut self, id: ConnectionId) -> Poll<Result<Vec<u8>, ReadError>> {
        let mut bytes = vec![0; 4096];
        self.stack
            .read(id, &mut bytes, Waker::noop())
            .map_ok(|len| {
                bytes.truncate(len);
                bytes
            })
    }

    pub(crate) fn write(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        self.stack.write(self.now, id, bytes, Waker::noop())
    }

    pub(crate) fn client_state(&mut self, handle: SocketHandle) -> tcp::State {
        self.client.tcp(handle).state()
    }

    /// What the client has received so far.
    pub(crate) fn client_reads(&mut self, handle: SocketHandle) -> Vec<u8> {
        let socket = self.client.tcp(handle);
        let mut bytes = vec![0; socket.recv_queue()];
        let len = socket.recv_slice(&mut bytes).unwrap_or(0);
        bytes.truncate(len);
        bytes
    }

    fn smoltcp_now(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros((self.now.as_nanos() / 1000) as i64)
    }

    /// One turn of everyone at one moment. Returns whether a frame moved.
    pub(crate) fn turn(&mut self) -> bool {
        let before = self.flight.launched;
        self.client.poll(self.smoltcp_now());
        while let Some(frame) = self.client.port.sent.pop_front() {
            self.flight.launch(self.now, true, frame);
        }
        let mut landed = false;
        while let Some((to_stack, frame)) = self.flight.land(self.now) {
            landed = true;
            if to_stack {
                self.inject(frame);
            } else {
                self.client.port.received.push_back(frame);
            }
        }
        for frame in self.stack_turn() {
            match self.hop {
                Some(hop) if frame.len() > 14 + usize::from(hop.longest) => {
                    if hop.speaks {
                        let said = too_long(&frame, hop.longest);
                        self.flight.launch(self.now, true, said);
                    }
                }
                _ => self.flight.launch(self.now, false, frame),
            }
        }
        landed || self.flight.launched != before
    }

    /// Takes turns at this moment until nothing moves.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// Lets `duration` pass, stopping wherever somebody has something to do.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.settle();
            self.now = self.next_event().min(end);
        }
        self.settle();
    }

    /// The next moment at which something happens, at least a microsecond away.
    pub(crate) fn next_event(&mut self) -> Instant {
        let client = self.client.poll_at(self.smoltcp_now());
        let client = client.map(|at| Instant::from_nanos(at.total_micros() as u64 * 1000));
        let events = [self.stack.next_deadline(), client, self.flight.next()];
        let next = events
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Instant::FAR_FUTURE);
        next.max(self.now + Duration::from_micros(1))
    }

    /// Puts a frame on the wire to the stack.
    pub(crate) fn inject(&mut self, frame: Vec<u8>) {
        self.link.borrow_mut().to_stack.push_back(frame);
    }

    /// One turn of the stack alone; returns what it sent.
    pub(crate) fn stack_turn(&mut self) -> Vec<Vec<u8>> {
        self.stack.receive(self.now, 64);
        self.stack.serve(self.now);
        self.stack.advance(self.now);
        self.link.borrow_mut().from_stack.drain(..).collect()
    }
}
