//! A plain smoltcp host: the peer of the stack.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

/// The client's station and address.
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Frames of the client.
#[derive(Default)]
pub(crate) struct Port {
    pub(crate) received: VecDeque<Vec<u8>>,
    pub(crate) sent: VecDeque<Vec<u8>>,
    mtu: usize,
}

/// A host with smoltcp.
pub(crate) struct Station {
    pub(crate) port: Port,
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    /// Its segments tell the time of [`set_clock`], to who does so too.
    pub(crate) has_timestamps: bool,
    next_port: u16,
}

thread_local! {
    static CLOCK: Cell<u32> = const { Cell::new(0) };
}

/// Sets the clock of the client in this test.
pub(crate) fn set_clock(time: u32) {
    CLOCK.set(time);
}

impl Station {
    pub(crate) fn new() -> Self {
        Self::with_mtu(1500)
    }

    pub(crate) fn with_mtu(mtu: usize) -> Self {
        let mut port = Port {
            mtu,
            ..Port::default()
        };
        let mut config = Config::new(EthernetAddress(MAC).into());
        config.random_seed = 42;
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|list| list.push(IpCidr::new(ADDRESS.into(), 24)).unwrap());
        Self {
            port,
            interface,
            sockets: SocketSet::new(vec![]),
            has_timestamps: false,
            next_port: 40_000,
        }
    }

    /// Begins a connection from a port of its own.
    pub(crate) fn connect(&mut self, to: (Ipv4Addr, u16)) -> SocketHandle {
        self.next_port = if self.next_port == 60_000 {
            40_000
        } else {
            self.next_port + 1
        };
        self.connect_from(self.next_port, to)
    }

    pub(crate) fn connect_from(&mut self, from: u16, to: (Ipv4Addr, u16)) -> SocketHandle {
        self.connect_with(32 << 10, from, to)
    }

    /// Connects with rings of `ring` bytes.
    pub(crate) fn connect_with(
        &mut self,
        ring: usize,
        from: u16,
        to: (Ipv4Addr, u16),
    ) -> SocketHandle {
        let mut socket = self.new_socket(ring);
        socket.connect(self.interface.context(), to, from).unwrap();
        self.sockets.add(socket)
    }

    pub(crate) fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = self.new_socket(32 << 10);
        socket.listen(port).unwrap();
        self.sockets.add(socket)
    }

    fn new_socket(&self, ring: usize) -> tcp::Socket<'static> {
        let ring = || tcp::SocketBuffer::new(vec![0; ring]);
        let mut socket = tcp::Socket::new(ring(), ring());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        if self.has_timestamps {
            socket.set_tsval_generator(Some(|| CLOCK.get()));
        }
        socket
    }

    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Sends and receives what there is.
    pub(crate) fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }

    pub(crate) fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 14 + self.mtu;
        capabilities
    }
}

pub(crate) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub(crate) struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}
