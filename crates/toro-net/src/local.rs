//! What belongs to the machine and not to a connection: its address, DHCP, pings, address resolution.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::task::Waker;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Duration;
use smoltcp::wire::{DhcpOption, IpCidr, Ipv4Cidr};
use toro_time::Instant;

use crate::address::Address;
use crate::interfaces::Interfaces;
use crate::lease::{self, Lease};
use crate::neighbours::Neighbours;
use crate::packet;

/// The DHCP option for the name of the client.
const OPTION_HOST_NAME: u8 = 12;

/// The addresses the machine has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Our address.
    pub ip: Ipv4Addr,
    /// Bits of the network part.
    pub prefix: u8,
    /// The router to everything else.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, from DHCP.
    pub dns: Vec<Ipv4Addr>,
    /// What else DHCP has said.
    pub lease: Lease,
}

/// The machine's own sockets and state.
pub(crate) struct Local {
    pub(crate) sockets: SocketSet<'static>,
    dhcp: Option<SocketHandle>,
    /// A server has our address, whichever stack asks it.
    uses_dhcp: bool,
    pub(crate) neighbours: Neighbours,
    pub(crate) addresses: Option<Addresses>,
    /// Who waits for an address.
    waiters: Vec<Waker>,
    /// When its sockets want to be looked at.
    pub(crate) due: Option<Instant>,
    /// They may have something to send now.
    pub(crate) touched: bool,
}

impl Local {
    pub(crate) fn new(address: Address, hostname: &str, interfaces: &mut Interfaces) -> Self {
        let mut local = Self {
            sockets: SocketSet::new(vec![]),
            dhcp: None,
            uses_dhcp: matches!(address, Address::Dhcp),
            neighbours: Neighbours::new(),
            addresses: None,
            waiters: Vec::new(),
            due: None,
            touched: true,
        };
        match address {
            Address::Dhcp => local.dhcp = Some(local.sockets.add(new_client(hostname))),
            Address::Static {
                ip,
                prefix,
                gateway,
            } => {
                local.configure(
                    interfaces,
                    Addresses {
                        ip,
                        prefix,
                        gateway,
                        dns: Vec::new(),
                        lease: Lease::default(),
                    },
                );
            }
        }
        local
    }

    /// A DHCP server has our address, whoever asks it.
    pub(crate) fn uses_dhcp(&self) -> bool {
        self.uses_dhcp
    }

    /// This stack asks the DHCP server.
    pub(crate) fn has_client(&self) -> bool {
        self.dhcp.is_some()
    }

    /// Leaves the DHCP server to the stack of another core.
    pub(crate) fn follow(&mut self) {
        if let Some(client) = self.dhcp.take() {
            self.sockets.remove(client);
        }
    }

    /// Takes over what the stack of another core has learnt.
    pub(crate) fn learn(&mut self, interfaces: &mut Interfaces, addresses: Option<Addresses>) {
        match addresses {
            Some(addresses) => self.configure(interfaces, addresses),
            None => self.deconfigure(interfaces),
        }
    }

    /// Takes over what the DHCP client has learnt; returns whether that was something.
    #[cold]
    #[inline(never)]
    pub(crate) fn follow_dhcp(&mut self, interfaces: &mut Interfaces) -> bool {
        let Some(handle) = self.dhcp else {
            return false;
        };
        let addresses = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            None => return false,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(lease)) => Some(Addresses {
                ip: lease.address.address(),
                prefix: lease.address.prefix_len(),
                // The server may be anyone: smoltcp panics on a router that is not one machine, and addresses from 240.0.0.0 on
                // stand for others (see `ipv6`).
                gateway: lease.router.filter(|router| packet::may_be_source(*router)),
                dns: lease.dns_servers.iter().copied().collect(),
                lease: Lease(
                    lease
                        .packet
                        .map_or_else(Vec::new, |packet| packet.into_inner().to_vec()),
                ),
            }),
        };
        self.learn(interfaces, addresses);
        true
    }

    #[cold]
    #[inline(never)]
    fn configure(&mut self, interfaces: &mut Interfaces, addresses: Addresses) {
        self.deconfigure(interfaces);
        if !packet::may_be_source(addresses.ip) || addresses.prefix > 32 {
            return;
        }
        let cidr = IpCidr::Ipv4(Ipv4Cidr::new(addresses.ip, addresses.prefix));
        let added = interfaces.configure(Some(cidr), Some(&addresses));
        debug_assert!(added, "the tables hold one address and one route");
        self.addresses = Some(addresses);
        for waiter in self.waiters.drain(..) {
            waiter.wake();
        }
    }

    fn deconfigure(&mut self, interfaces: &mut Interfaces) {
        interfaces.configure(None, None);
        self.neighbours.clear();
        self.addresses = None;
    }

    /// Wakes `waker` when there is an address.
    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|waiter| waiter.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }
}

fn new_client(hostname: &str) -> dhcpv4::Socket<'static> {
    let mut client = dhcpv4::Socket::new();
    // The first packet after boot is easily lost, while the other end of the link is not up yet.
    let mut retry = client.get_retry_config();
    retry.discover_timeout = Duration::from_secs(2);
    retry.initial_request_timeout = Duration::from_secs(1);
    client.set_retry_config(retry);
    client.set_parameter_request_list(lease::WANTED);
    client.set_receive_packet_buffer(Box::leak(vec![0; lease::PACKET_LEN].into_boxed_slice()));
    if !hostname.is_empty() && hostname.len() <= 63 {
        // smoltcp borrows its options; there is one client for as long as the machine runs.
        let name = Box::leak(String::from(hostname).into_boxed_str());
        let option = DhcpOption {
            kind: OPTION_HOST_NAME,
            data: name.as_bytes(),
        };
        client.set_outgoing_options(Box::leak(Box::new([option])));
    }
    client
}
