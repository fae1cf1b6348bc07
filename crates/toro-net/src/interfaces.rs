//! The [`Interfaces`] of a stack: one for packets that fit the wire, one for long ones that the device cuts, and more for paths
//! that take only shorter ones.
//!
//! smoltcp asks for the longest packet once, when an interface is made, and makes segments as long as that. So the
//! connections that may send long packets have an interface of their own, with the same addresses and neighbours, and so have
//! those with a narrow [path](crate::path).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::iface::{self, Interface, Route, SocketSet};
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Cidr};
use toro_time::Instant;

use crate::clock;
use crate::device::{Phy, Wire};
use crate::local::Addresses;

/// One interface at first, or two if the device can cut.
pub(crate) struct Interfaces {
    /// For packets that fit the wire.
    pub(crate) narrow: Interface,
    /// The others, with their longest packets; one for packets that the device cuts comes first.
    others: Vec<(usize, Interface)>,
    seed: u64,
}

impl Interfaces {
    /// `seed` is for the DHCP client alone: sequence numbers and ports are ours.
    pub(crate) fn new(wire: &mut Wire, seed: u64, now: Instant) -> Self {
        let mut interfaces = Self {
            narrow: make(wire, seed, now),
            others: Vec::new(),
            seed,
        };
        if let Some(longest) = wire.longest_packet() {
            interfaces.add(wire, now, longest);
        }
        interfaces
    }

    /// Makes an interface for packets of up to `longest` bytes.
    #[cold]
    #[inline(never)]
    fn add(&mut self, wire: &mut Wire, now: Instant, longest: usize) {
        let usual = core::mem::replace(&mut wire.packet_len, longest);
        let mut interface = make(wire, self.seed, now);
        wire.packet_len = usual;
        let narrow = &mut self.narrow;
        interface.update_ip_addrs(|list| {
            let added = list.extend_from_slice(narrow.ip_addrs());
            debug_assert!(added.is_ok(), "tables of one length");
        });
        let routes = interface.routes_mut();
        narrow.routes_mut().update(|from| {
            routes.update(|to| {
                let added = to.extend_from_slice(from);
                debug_assert!(added.is_ok(), "tables of one length");
            });
        });
        self.others.push((longest, interface));
    }

    /// The interface for a connection that may send long packets, or whose `path` takes only such; 0 for what the wire takes.
    #[inline]
    pub(crate) fn choose(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        wide: bool,
        path: u16,
    ) -> &mut Interface {
        match (wide, path) {
            (false, 0) => &mut self.narrow,
            // It was made first.
            (true, _) => self
                .others
                .first_mut()
                .map_or(&mut self.narrow, |(_, interface)| interface),
            (false, path) => self.short(wire, now, usize::from(path).min(wire.info().mtu)),
        }
    }

    #[cold]
    #[inline(never)]
    fn short(&mut self, wire: &mut Wire, now: Instant, longest: usize) -> &mut Interface {
        let mut others = self.others.iter();
        let place = match others.position(|(other, _)| *other == longest) {
            Some(place) => place,
            None => {
                self.add(wire, now, longest);
                self.others.len() - 1
            }
        };
        &mut self.others[place].1
    }

    fn each(&mut self, f: &mut dyn FnMut(&mut Interface)) {
        f(&mut self.narrow);
        for (_, interface) in &mut self.others {
            f(interface);
        }
    }

    /// Gives all the same address; none for `None`. Says whether it fits into their tables.
    pub(crate) fn configure(
        &mut self,
        cidr: Option<IpCidr>,
        addresses: Option<&Addresses>,
    ) -> bool {
        let mut fits = true;
        self.each(&mut |interface| {
            interface.update_ip_addrs(|list| {
                list.clear();
                fits &= cidr.is_none_or(|cidr| list.push(cidr).is_ok());
            });
            let routes = interface.routes_mut();
            routes.remove_default_ipv4_route();
            if let Some(gateway) = addresses.and_then(|addresses| addresses.gateway) {
                fits &= routes.add_default_ipv4_route(gateway).is_ok();
            }
        });
        fits
    }

    /// Gives all the address `own` besides, with a router `hop` beside it to all of 240.0.0.0/4; returns whether one lacked it.
    pub(crate) fn lend(&mut self, own: Ipv4Addr, hop: Ipv4Addr) -> bool {
        let cidr = IpCidr::Ipv4(Ipv4Cidr::new(own, 30));
        let route = Route {
            cidr: IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Addr::new(240, 0, 0, 0), 4)),
            via_router: hop.into(),
            preferred_until: None,
            expires_at: None,
        };
        let mut is_new = false;
        self.each(&mut |interface| {
            if interface.ip_addrs().contains(&cidr) {
                return;
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
        });
        is_new
    }

    /// Lets the other interfaces learn from an ARP frame what the first one learns.
    pub(crate) fn teach(&mut self, now: Instant, frame: &[u8]) {
        for (_, interface) in &mut self.others {
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
