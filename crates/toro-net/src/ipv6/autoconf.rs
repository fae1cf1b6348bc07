//! [`Autoconf`]: which addresses are ours, and what routers say (RFC 4862, RFC 4861, 6.3).
//!
//! The identifier in our addresses follows from the card's address (modified EUI-64, RFC 4291, appendix A): an image has no
//! place to keep a secret that RFC 7217 would need for one that is stable and says less. An address is used when nobody has
//! objected for a second. Who can send to us can pretend to be a router, so there are bounds on all it may say.

use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;

use toro_time::Instant;

use super::header::{ALL_NODES, ALL_ROUTERS, prefix_of, solicited_node};
use super::messages::{self, Advertisement, Prefix};
use super::parse::Address6;

/// Addresses that may be ours.
const OWN: usize = 5;
/// Routers, prefixes and name servers that are remembered.
const ROUTERS: usize = 4;
const LINKS: usize = 8;
const SERVERS: usize = 3;
/// How long others may object to an address (RFC 4862, 5.1: one question, RetransTimer).
const TENTATIVE: Duration = Duration::from_secs(1);
/// How often routers are asked for, and how many times (RFC 4861, 10).
const INTERVAL: Duration = Duration::from_secs(4);
const TRIES: u32 = 3;
/// An advertisement may not leave an address less (RFC 4862, 5.5.3).
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// The smallest packet that every link takes (RFC 8200, 5).
const LEAST_MTU: usize = 1280;

/// One of our addresses.
#[derive(Clone, Copy, Debug)]
struct Own {
    address: Ipv6Addr,
    preferred: Instant,
    valid: Instant,
    /// Until when others may object; `None` once it is ours.
    tentative: Option<Instant>,
}

/// Our addresses, and the way to others.
#[derive(Debug)]
pub(super) struct Autoconf {
    mac: [u8; 6],
    mode: Address6,
    own: Vec<Own>,
    routers: Vec<(Ipv6Addr, Instant)>,
    /// Prefixes of addresses that are on the link.
    links: Vec<(Ipv6Addr, u8, Instant)>,
    servers: Vec<(Ipv6Addr, Instant)>,
    /// When routers are asked for next, and how often they were.
    solicitation: Option<(u32, Instant)>,
    pub(super) mtu: usize,
    /// Addresses that somebody else has.
    pub(super) conflicts: u64,
}

fn after(now: Instant, seconds: u32) -> Instant {
    match seconds {
        u32::MAX => Instant::FAR_FUTURE,
        _ => now + Duration::from_secs(seconds.into()),
    }
}

impl Autoconf {
    /// Begins with the address that holds on the link alone; what is to be sent goes to `out`.
    pub(super) fn new(
        now: Instant,
        mac: [u8; 6],
        mtu: usize,
        mode: Address6,
        out: &mut Vec<Vec<u8>>,
    ) -> Self {
        let mut made = Self {
            mac,
            mode,
            own: Vec::new(),
            routers: Vec::new(),
            links: Vec::new(),
            servers: Vec::new(),
            solicitation: None,
            mtu,
            conflicts: 0,
        };
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        made.add(now, made.with_identifier(link_local), [u32::MAX; 2], out);
        if let Address6::Static {
            ip,
            prefix,
            gateway,
        } = mode
        {
            made.add(now, ip, [u32::MAX; 2], out);
            let on_link = (prefix_of(ip, prefix), prefix, Instant::FAR_FUTURE);
            made.links.push(on_link);
            made.routers
                .extend(gateway.map(|gateway| (gateway, Instant::FAR_FUTURE)));
        }
        made
    }

    /// The address of this card in the network of `prefix`, which has 64 bits.
    fn with_identifier(&self, prefix: Ipv6Addr) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | u128::from(identifier))
    }

    fn add(
        &mut self,
        now: Instant,
        address: Ipv6Addr,
        [preferred, valid]: [u32; 2],
        out: &mut Vec<Vec<u8>>,
    ) {
        if self.own.len() >= OWN {
            return;
        }
        let group = solicited_node(address);
        let nobody = Ipv6Addr::UNSPECIFIED;
        out.push(messages::report_membership(nobody, address));
        out.push(messages::solicit(nobody, group, address, self.mac));
        self.own.push(Own {
            address,
            preferred: after(now, preferred),
            valid: after(now, valid),
            tentative: Some(now + TENTATIVE),
        });
    }

    /// Whether packets to `address` are for us.
    pub(super) fn has(&self, address: Ipv6Addr) -> bool {
        let mut own = self.own.iter();
        own.any(|own| own.address == address && own.tentative.is_none())
    }

    /// Whether we belong to the group `address`.
    pub(super) fn is_member(&self, address: Ipv6Addr) -> bool {
        let mut own = self.own.iter();
        address == ALL_NODES || own.any(|own| solicited_node(own.address) == address)
    }

    /// The address that is to be ours, and that others may still object to.
    pub(super) fn is_tentative(&self, address: Ipv6Addr) -> bool {
        let mut own = self.own.iter();
        own.any(|own| own.address == address && own.tentative.is_some())
    }

    /// Somebody else has `address`, which was to be ours (RFC 4862, 5.4.5).
    pub(super) fn give_up(&mut self, address: Ipv6Addr) {
        self.own.retain(|own| own.address != address);
        self.conflicts += 1;
    }

    /// Our addresses that can be used, that of the link first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        let ready = self.own.iter().filter(|own| own.tentative.is_none());
        ready.map(|own| own.address)
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.servers.iter().map(|(address, _)| *address)
    }

    pub(super) fn routers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.routers.iter().map(|(address, _)| *address)
    }

    /// The address to send from to `target` (RFC 6724, rules 2, 3 and 8); `None` if there is none that would do.
    pub(super) fn source_for(&self, now: Instant, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let is_near = |address: Ipv6Addr| address.is_unicast_link_local() || address.is_multicast();
        let ready = self.own.iter().filter(|own| own.tentative.is_none());
        let fitting = ready
            .filter(|own| own.address.is_unicast_link_local() == is_near(target))
            .max_by_key(|own| {
                let common = (own.address.to_bits() ^ target.to_bits()).leading_zeros();
                (now < own.preferred, common)
            });
        fitting.map(|own| own.address)
    }

    /// Where a packet to `target` goes first; `None` if nowhere.
    pub(super) fn next_hop(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let mut links = self.links.iter();
        let is_on_link = target.is_unicast_link_local()
            || links.any(|(prefix, len, _)| prefix_of(target, *len) == *prefix);
        if is_on_link {
            Some(target)
        } else {
            self.routers.first().map(|(router, _)| *router)
        }
    }

    /// Takes what the router `from` says.
    pub(super) fn advertised(
        &mut self,
        now: Instant,
        from: Ipv6Addr,
        said: &Advertisement,
        out: &mut Vec<Vec<u8>>,
    ) {
        if self.mode != Address6::Auto {
            return;
        }
        let until = now + Duration::from_secs(said.lifetime.into());
        if said.lifetime > 0 {
            self.solicitation = None;
        }
        renew(&mut self.routers, now, from, until, ROUTERS);
        for (server, lifetime) in &said.servers {
            let until = after(now, *lifetime);
            renew(&mut self.servers, now, *server, until, SERVERS);
        }
        if let Some(mtu) = said.mtu.and_then(|mtu| usize::try_from(mtu).ok())
            && (LEAST_MTU..=self.mtu).contains(&mtu)
        {
            self.mtu = mtu;
        }
        for prefix in &said.prefixes {
            self.follow_prefix(now, prefix, out);
        }
    }

    fn follow_prefix(&mut self, now: Instant, said: &Prefix, out: &mut Vec<Vec<u8>>) {
        let prefix = prefix_of(said.prefix, said.len);
        if said.len > 128 || prefix.is_unicast_link_local() || prefix.is_multicast() {
            return;
        }
        let until = after(now, said.valid);
        if said.is_on_link && said.len > 0 {
            self.links
                .retain(|(known, len, _)| (*known, *len) != (prefix, said.len));
            if until > now && self.links.len() < LINKS {
                self.links.push((prefix, said.len, until));
            }
        }
        let is_sane = said.preferred <= said.valid && said.len == 64 && !prefix.is_unspecified();
        if !said.is_for_addresses || !is_sane {
            return;
        }
        let address = self.with_identifier(prefix);
        match self.own.iter_mut().find(|own| own.address == address) {
            Some(own) => {
                own.preferred = after(now, said.preferred);
                // RFC 4862, 5.5.3 (e): nobody ends an address within two hours.
                if until > now + TWO_HOURS || until > own.valid {
                    own.valid = until;
                } else {
                    own.valid = own.valid.min(now + TWO_HOURS);
                }
            }
            None if said.valid > 0 => self.add(now, address, [said.preferred, said.valid], out),
            None => {}
        }
    }

    /// Does what is due; returns whether an address has become ours.
    pub(super) fn advance(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) -> bool {
        let mut is_new = false;
        for own in &mut self.own {
            if own.tentative.is_some_and(|until| until <= now) {
                own.tentative = None;
                is_new = true;
                // Those who were there before may know the station of somebody else.
                out.push(messages::advertise(own.address, ALL_NODES, self.mac));
                let asks_routers = own.address.is_unicast_link_local();
                if asks_routers && self.mode == Address6::Auto {
                    self.solicitation = Some((0, now));
                }
            }
        }
        self.own.retain(|own| own.valid > now);
        self.routers.retain(|(_, until)| *until > now);
        self.links.retain(|(.., until)| *until > now);
        self.servers.retain(|(_, until)| *until > now);
        let source = self.source_for(now, ALL_ROUTERS);
        if let Some((tries, at)) = self.solicitation
            && let Some(source) = source
            && at <= now
        {
            out.push(messages::solicit_routers(source, self.mac));
            self.solicitation = (tries + 1 < TRIES).then_some((tries + 1, now + INTERVAL));
        }
        is_new
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let own = self
            .own
            .iter()
            .map(|own| own.tentative.unwrap_or(own.valid));
        let routers = self.routers.iter().map(|(_, until)| *until);
        let links = self.links.iter().map(|(.., until)| *until);
        let asking = self.solicitation.iter().map(|(_, at)| *at);
        let all = own.chain(routers).chain(links).chain(asking);
        all.min().filter(|due| *due < Instant::FAR_FUTURE)
    }
}

/// Remembers `what` until then, among at most `most`; forgets it if that has passed.
fn renew(
    known: &mut Vec<(Ipv6Addr, Instant)>,
    now: Instant,
    what: Ipv6Addr,
    until: Instant,
    most: usize,
) {
    match known.iter().position(|(address, _)| *address == what) {
        Some(at) => known[at].1 = until,
        None if known.len() < most => known.push((what, until)),
        None => {}
    }
    known.retain(|(_, until)| *until > now);
}
