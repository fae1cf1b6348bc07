//! Who may teach us the address of a station.
//!
//! smoltcp believes every ARP packet that names our address, evicts the oldest entry of a full cache, and asks at most
//! once a second whatever the number of unknown neighbours. So its cache is guarded and fed here. A reply counts only
//! if we asked; a request teaches only an address we have not heard of, while there is room; and a peer that has
//! completed a handshake has shown that its station receives what we send there. Nobody else can change an entry.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr,
};
use toro_time::Instant;

use crate::ipv6;
use crate::packet::ETHERNET_LEN;
use crate::stats::DropReason;

/// Entries that can be taught, below the 64 of smoltcp's cache: the rest is for those we ask for.
const TAUGHT: usize = 48;
/// Questions that may be open at once; smoltcp asks once a second at most.
const ASKED: usize = 8;
/// How long an entry is not taught again: half of what smoltcp keeps it for.
const FRESH: Duration = Duration::from_secs(30);
/// Bytes of an ARP frame.
pub(crate) const ARP_FRAME_LEN: usize = 42;

/// A station and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Station {
    pub(crate) mac: [u8; 6],
    pub(crate) address: Ipv4Addr,
}

/// What to do with an ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// A reply that we asked for: let smoltcp learn from it.
    Learn,
    /// Let smoltcp learn from the request and answer it.
    LearnAndAnswer,
    /// Answer the request without learning.
    Answer(Station),
}

#[derive(Debug)]
struct Known {
    station: Station,
    taught: Instant,
}

/// The guard of the neighbour cache.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// What smoltcp was taught.
    known: Vec<Known>,
    /// Addresses that we asked for, oldest first.
    asked: Vec<Ipv4Addr>,
}

impl Neighbours {
    pub(crate) const fn new() -> Self {
        Self {
            known: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Notes that we asked for `address`.
    pub(crate) fn asked_for(&mut self, address: Ipv4Addr) {
        if self.asked.contains(&address) {
            return;
        }
        if self.asked.len() == ASKED {
            self.asked.remove(0);
        }
        self.asked.push(address);
    }

    /// Forgets everything, with smoltcp's cache, when our address changes.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.asked.clear();
    }

    /// Says what to do with the ARP frame `frame`.
    ///
    /// # Errors
    /// Says why it is to be dropped.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        frame: &[u8],
        own: Ipv4Addr,
    ) -> Result<Advice, DropReason> {
        let payload = frame.get(ETHERNET_LEN..).ok_or(DropReason::Truncated)?;
        let packet = ArpPacket::new_checked(payload).map_err(|_| DropReason::Truncated)?;
        let repr = ArpRepr::parse(&packet).map_err(|_| DropReason::EtherType)?;
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: mac,
            source_protocol_addr: address,
            target_protocol_addr: target,
            ..
        } = repr
        else {
            return Err(DropReason::EtherType);
        };
        if target != own {
            return Err(DropReason::NotOurAddress);
        }
        if address == own || !mac.is_unicast() || ipv6::is_stand_in(address) {
            return Err(DropReason::BadSource);
        }
        let station = Station {
            mac: mac.0,
            address,
        };
        match operation {
            ArpOperation::Reply => self.judge_reply(now, station),
            ArpOperation::Request => Ok(self.judge_request(now, station)),
            ArpOperation::Unknown(_) => Err(DropReason::EtherType),
        }
    }

    fn judge_reply(&mut self, now: Instant, station: Station) -> Result<Advice, DropReason> {
        let at = self
            .asked
            .iter()
            .position(|asked| *asked == station.address);
        self.asked.remove(at.ok_or(DropReason::UnsolicitedArp)?);
        self.remember(now, station);
        Ok(Advice::Learn)
    }

    fn judge_request(&mut self, now: Instant, station: Station) -> Advice {
        let known = self
            .known
            .iter()
            .any(|known| known.station.address == station.address);
        if known || self.known.len() >= TAUGHT {
            return Advice::Answer(station);
        }
        self.remember(now, station);
        Advice::LearnAndAnswer
    }

    /// The station that has `address`, and when it was last heard of.
    pub(crate) fn find(&self, address: Ipv4Addr) -> Option<([u8; 6], Instant)> {
        let same = |known: &&Known| known.station.address == address;
        let known = self.known.iter().find(same)?;
        Some((known.station.mac, known.taught))
    }

    /// Notes that `station` has proved itself. Returns whether smoltcp should be told.
    pub(crate) fn confirm(&mut self, now: Instant, station: Station) -> bool {
        let fresh = |known: &Known| known.station == station && now < known.taught + FRESH;
        if self.known.iter().any(fresh) {
            return false;
        }
        self.remember(now, station);
        true
    }

    fn remember(&mut self, now: Instant, station: Station) {
        let entry = Known {
            station,
            taught: now,
        };
        let same = self
            .known
            .iter()
            .position(|known| known.station.address == station.address);
        let oldest = || (0..self.known.len()).min_by_key(|at| self.known[*at].taught);
        let at = if self.known.len() < TAUGHT {
            same
        } else {
            same.or_else(oldest)
        };
        match at {
            Some(at) => self.known[at] = entry,
            None => self.known.push(entry),
        }
    }
}

/// Writes over `frame` the reply in which `from` names its address to `to`.
pub(crate) fn write_reply(frame: &mut [u8], from: Station, to: Station) {
    write(frame, ArpOperation::Reply, from, to);
}

/// Writes over `frame` the request in which `from` asks everybody for `address`.
pub(crate) fn write_request(frame: &mut [u8], from: Station, address: Ipv4Addr) {
    let everybody = Station {
        mac: EthernetAddress::BROADCAST.0,
        address,
    };
    write(frame, ArpOperation::Request, from, everybody);
    // RFC 826: the address that is asked for is not known yet.
    frame[ARP_FRAME_LEN - 10..ARP_FRAME_LEN - 4].fill(0);
}

#[inline]
fn write(frame: &mut [u8], operation: ArpOperation, from: Station, to: Station) {
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(from.mac),
        dst_addr: EthernetAddress(to.mac),
        ethertype: EthernetProtocol::Arp,
    };
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from.mac),
        source_protocol_addr: from.address,
        target_hardware_addr: EthernetAddress(to.mac),
        target_protocol_addr: to.address,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut *frame));
    arp.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_LEN..]));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Station = Station {
        mac: [2, 0, 0, 0, 0, 1],
        address: Ipv4Addr::new(10, 0, 0, 1),
    };

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    fn station(number: u8) -> Station {
        Station {
            mac: [2, 0, 0, 0, 1, number],
            address: Ipv4Addr::new(10, 0, 0, number),
        }
    }

    fn reply(from: Station) -> [u8; ARP_FRAME_LEN] {
        let mut frame = [0; ARP_FRAME_LEN];
        write_reply(&mut frame, from, OWN);
        frame
    }

    fn request(from: Station) -> [u8; ARP_FRAME_LEN] {
        let mut frame = reply(from);
        frame[21] = 1;
        frame
    }

    #[test]
    fn a_reply_counts_only_once_and_only_if_asked_for() {
        let mut neighbours = Neighbours::new();
        let frame = reply(station(9));
        let judge = |n: &mut Neighbours| n.judge(at(0), &frame, OWN.address);
        assert_eq!(judge(&mut neighbours), Err(DropReason::UnsolicitedArp));
        neighbours.asked_for(station(9).address);
        assert_eq!(judge(&mut neighbours), Ok(Advice::Learn));
        assert_eq!(judge(&mut neighbours), Err(DropReason::UnsolicitedArp));
    }

    #[test]
    fn a_request_cannot_change_an_entry() {
        let mut neighbours = Neighbours::new();
        let judge = |n: &mut Neighbours, s| n.judge(at(0), &request(s), OWN.address);
        assert_eq!(
            judge(&mut neighbours, station(9)),
            Ok(Advice::LearnAndAnswer)
        );
        let thief = Station {
            mac: [6; 6],
            ..station(9)
        };
        assert_eq!(judge(&mut neighbours, thief), Ok(Advice::Answer(thief)));
    }

    #[test]
    fn requests_from_everywhere_do_not_fill_the_cache() {
        let mut neighbours = Neighbours::new();
        let learnt = (2..=255)
            .filter(|number| {
                let advice = neighbours.judge(at(0), &request(station(*number)), OWN.address);
                advice == Ok(Advice::LearnAndAnswer)
            })
            .count();
        assert_eq!(learnt, TAUGHT);
        assert_eq!(neighbours.known.len(), TAUGHT);
    }

    #[test]
    fn a_proven_station_is_told_again_when_stale_or_moved() {
        let mut neighbours = Neighbours::new();
        assert!(neighbours.confirm(at(0), station(9)));
        assert!(!neighbours.confirm(at(29), station(9)));
        assert!(neighbours.confirm(at(31), station(9)));
        assert!(neighbours.confirm(
            at(32),
            Station {
                mac: [4; 6],
                ..station(9)
            }
        ));
        assert_eq!(neighbours.known.len(), 1);
    }
}
