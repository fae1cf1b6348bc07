//! The two [`Interfaces`] of a stack: one for packets that fit the wire, one for long ones that the device cuts.
//!
//! smoltcp asks for the longest packet once, when an interface is made, and makes segments as long as that. So the
//! connections that may send long packets have an interface of their own, with the same addresses and neighbours.

use core::net::Ipv4Addr;

use smoltcp::iface::{self, Interface, Route, SocketSet};
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Cidr};
use toro_time::Instant;

use crate::clock;
use crate::device::{Phy, Wire};
use crate::local::Addresses;

/// One interface, or two if the device can cut.
pub(crate) struct Interfaces {
    /// For packets that fit the wire.
    pub(crate) narrow: Interface,
    wide: Option<Interface>,
}

impl Interfaces {
    /// `seed` is for the DHCP client alone: sequence numbers and ports are ours.
    pub(crate) fn new(wire: &mut Wire, seed: u64, now: Instant) -> Self {
        let narrow = make(wire, seed, now);
        let wide = wire.longest_packet().map(|longest| {
            let usual = core::mem::replace(&mut wire.packet_len, longest);
            let interface = make(wire, seed, now);
            wire.packet_len = usual;
            interface
        });
        Self { narrow, wide }
    }

    /// The interface for a connection that may send long packets, or may not.
    #[inline]
    pub(crate) fn choose(&mut self, wide: bool) -> &mut Interface {
        match &mut self.wide {
            Some(interface) if wide => interface,
            _ => &mut self.narrow,
        }
    }

    /// Gives both the same address; none for `None`. Says whether it fits into their tables.
    pub(crate) fn configure(
        &mut self,
        cidr: Option<IpCidr>,
        addresses: Option<&Addresses>,
    ) -> bool {
        let mut fits = true;
        for interface in [Some(&mut self.narrow), self.wide.as_mut()]
            .into_iter()
            .flatten()
        {
            interface.update_ip_addrs(|list| {
                list.clear();
                fits &= cidr.is_none_or(|cidr| list.push(cidr).is_ok());
            });
            let routes = interface.routes_mut();
            routes.remove_default_ipv4_route();
            if let Some(gateway) = addresses.and_then(|addresses| addresses.gateway) {
                fits &= routes.add_default_ipv4_route(gateway).is_ok();
            }
        }
        fits
    }

    /// Gives both the address `own` besides, with a router `hop` beside it to all of 240.0.0.0/4; returns whether one lacked it.
    pub(crate) fn lend(&mut self, own: Ipv4Addr, hop: Ipv4Addr) -> bool {
        let cidr = IpCidr::Ipv4(Ipv4Cidr::new(own, 30));
        let route = Route {
            cidr: IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Addr::new(240, 0, 0, 0), 4)),
            via_router: hop.into(),
            preferred_until: None,
            expires_at: None,
        };
        let mut is_new = false;
        for interface in [Some(&mut self.narrow), self.wide.as_mut()]
            .into_iter()
            .flatten()
        {
            if interface.ip_addrs().contains(&cidr) {
                continue;
            }
            is_new = true;
            interface.update_ip_addrs(|list| {
                let added = list.push(cidr);
                debug_assert!(added.is_ok(), "the table holds two addresses");
            });
            interface.routes_mut().update(|routes| {
                if !routes.iter().any(|known| known.cidr == route.cidr) {
                    let added = routes.push(route);
                    debug_assert!(added.is_ok(), "the table holds two routes");
                }
            });
        }
        is_new
    }

    /// Lets the interface for long packets learn from an ARP frame what the other one learns.
    pub(crate) fn teach(&mut self, now: Instant, frame: &[u8]) {
        if let Some(interface) = &mut self.wide {
            let mut phy = Phy {
                wire: None,
                frame: Some(frame),
            };
            let mut nobody = SocketSet::new(alloc::vec![]);
            interface.poll_ingress_single(clock::to_smoltcp(now), &mut phy, &mut nobody);
        }
    }
}

fn make(wire: &mut Wire, seed: u64, now: Instant) -> Interface {
    let (mac, wire) = (wire.info().mac, Some(wire));
    new(mac, seed, Phy { wire, frame: None }, clock::to_smoltcp(now))
}

/// An interface of the station `mac`.
#[inline(never)]
pub(crate) fn new(
    mac: [u8; 6],
    seed: u64,
    mut phy: Phy<'_>,
    now: smoltcp::time::Instant,
) -> Interface {
    let mut options = iface::Config::new(EthernetAddress(mac).into());
    options.random_seed = seed;
    Interface::new(options, &mut phy, now)
}
