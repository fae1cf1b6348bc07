//! [`Cache`]: the stations of neighbours (RFC 4861, 5.1 and 7.3), with bounds.
//!
//! As for [ARP](crate::neighbours), nobody can change an entry unasked: an answer counts only if we asked, and what a
//! question or a router says of its own station teaches only what we have not heard of, while there is room.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;

use toro_time::Instant;

/// Entries.
const MOST: usize = 64;
/// Of those, how many can be taught by others.
const TAUGHT: usize = 48;
/// Packets that wait for one station.
const WAITING: usize = 3;
/// How long an entry is believed after it was confirmed (RFC 4861, 10: REACHABLE_TIME).
const REACHABLE: Duration = Duration::from_secs(30);
/// An entry that was confirmed longer ago makes room for another.
const OLD: Duration = Duration::from_secs(120);
/// How often is asked, and how many times (RFC 4861, 10).
const INTERVAL: Duration = Duration::from_secs(1);
const TRIES: u32 = 3;

/// What is known of a neighbour.
#[derive(Debug)]
struct Entry {
    station: Option<[u8; 6]>,
    confirmed: Instant,
    /// How often was asked, and when it is done again.
    asked: Option<(u32, Instant)>,
    waiting: Vec<Vec<u8>>,
}

/// Neighbours by their addresses.
#[derive(Debug, Default)]
pub(super) struct Cache(BTreeMap<Ipv6Addr, Entry>);

impl Cache {
    /// The station of `address`, if it is known. If that was long ago, it is asked for again.
    pub(super) fn find(&mut self, now: Instant, address: Ipv6Addr) -> Option<[u8; 6]> {
        let entry = self.0.get_mut(&address)?;
        let station = entry.station?;
        if now >= entry.confirmed + REACHABLE {
            entry.asked.get_or_insert((0, now));
        }
        Some(station)
    }

    /// Has `address` asked for, and keeps `frame` until its station is known, if there is room.
    pub(super) fn wait(&mut self, now: Instant, address: Ipv6Addr, frame: Vec<u8>) {
        if !self.0.contains_key(&address) {
            if self.0.len() >= MOST && !self.make_room(now, true) {
                return;
            }
            let entry = Entry {
                station: None,
                confirmed: now,
                asked: Some((0, now)),
                waiting: Vec::new(),
            };
            self.0.insert(address, entry);
        }
        if let Some(entry) = self.0.get_mut(&address) {
            if entry.waiting.len() == WAITING {
                entry.waiting.remove(0);
            }
            entry.waiting.push(frame);
        }
    }

    /// Forgets the entry that was confirmed longest ago; one that is not old only `by_force`.
    fn make_room(&mut self, now: Instant, by_force: bool) -> bool {
        let known = self.0.iter().filter(|(_, entry)| entry.station.is_some());
        let oldest = known.min_by_key(|(_, entry)| entry.confirmed);
        let oldest = oldest.filter(|(_, entry)| by_force || now >= entry.confirmed + OLD);
        let Some(address) = oldest.map(|(address, _)| *address) else {
            return false;
        };
        self.0.remove(&address).is_some()
    }

    /// Takes what `address` says of its own station without having been asked. Returns the packets that waited for it.
    pub(super) fn taught(
        &mut self,
        now: Instant,
        address: Ipv6Addr,
        station: [u8; 6],
    ) -> Vec<Vec<u8>> {
        match self.0.get_mut(&address) {
            Some(entry) if entry.station.is_none() => learn(entry, now, station),
            Some(_) => Vec::new(),
            None => {
                let has_room = self.0.len() < TAUGHT || self.make_room(now, false);
                if has_room {
                    let entry = Entry {
                        station: Some(station),
                        confirmed: now,
                        asked: None,
                        waiting: Vec::new(),
                    };
                    self.0.insert(address, entry);
                }
                Vec::new()
            }
        }
    }

    /// Takes an answer. Returns the packets that waited for it; `None` if nobody asked.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        address: Ipv6Addr,
        station: Option<[u8; 6]>,
    ) -> Option<Vec<Vec<u8>>> {
        let entry = self.0.get_mut(&address)?;
        entry.asked.filter(|(tries, _)| *tries > 0)?;
        // One that was asked directly may leave its station out (RFC 4861, 4.4).
        let station = station.or(entry.station)?;
        Some(learn(entry, now, station))
    }

    /// Says whom to ask now: all together, or the station where it was last. Who does not answer is forgotten.
    pub(super) fn ask(&mut self, now: Instant) -> Vec<(Ipv6Addr, Option<[u8; 6]>)> {
        let mut questions = Vec::new();
        self.0.retain(|address, entry| {
            let Some((tries, at)) = entry.asked.filter(|(_, at)| *at <= now) else {
                return true;
            };
            if tries == TRIES {
                return false;
            }
            entry.asked = Some((tries + 1, at.max(now) + INTERVAL));
            // The last time everybody is asked: it may have moved.
            let station = entry.station.filter(|_| tries + 1 < TRIES);
            questions.push((*address, station));
            true
        });
        questions
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let asked = self.0.values().filter_map(|entry| entry.asked);
        asked.map(|(_, at)| at).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn learn(entry: &mut Entry, now: Instant, station: [u8; 6]) -> Vec<Vec<u8>> {
    entry.station = Some(station);
    entry.confirmed = now;
    entry.asked = None;
    core::mem::take(&mut entry.waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    fn address(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number)
    }

    #[test]
    fn an_answer_counts_only_if_asked_for() {
        let mut cache = Cache::default();
        assert_eq!(cache.answered(at(0), address(1), Some(MAC)), None);
        cache.wait(at(0), address(1), vec![1]);
        assert_eq!(cache.answered(at(0), address(1), Some(MAC)), None);
        assert_eq!(cache.ask(at(0)), [(address(1), None)]);
        let waited = cache.answered(at(0), address(1), Some(MAC));
        assert_eq!(waited, Some(vec![vec![1]]));
        assert_eq!(cache.find(at(29), address(1)), Some(MAC));
        assert_eq!(cache.answered(at(0), address(1), Some([4; 6])), None);
        assert_eq!(cache.find(at(29), address(1)), Some(MAC));
    }

    #[test]
    fn nobody_changes_an_entry_unasked() {
        let mut cache = Cache::default();
        cache.taught(at(0), address(1), MAC);
        cache.taught(at(1), address(1), [4; 6]);
        assert_eq!(cache.find(at(2), address(1)), Some(MAC));
    }

    #[test]
    fn who_is_used_and_does_not_answer_is_forgotten() {
        let mut cache = Cache::default();
        cache.taught(at(0), address(1), MAC);
        assert_eq!(cache.next_deadline(), None);
        assert_eq!(cache.find(at(30), address(1)), Some(MAC));
        assert_eq!(cache.ask(at(30)), [(address(1), Some(MAC))]);
        assert_eq!(cache.ask(at(31)), [(address(1), Some(MAC))]);
        assert_eq!(cache.ask(at(32)), [(address(1), None)]);
        assert_eq!(cache.ask(at(33)), []);
        assert_eq!(cache.find(at(33), address(1)), None);
    }

    #[test]
    fn teachers_do_not_fill_it_and_questions_have_room() {
        let mut cache = Cache::default();
        for number in 0..1000 {
            cache.taught(at(0), address(number), MAC);
        }
        assert_eq!(cache.len(), TAUGHT);
        for number in 2000..3000 {
            cache.wait(at(0), address(number), vec![0; 9]);
        }
        assert_eq!(cache.len(), MOST);
        assert_eq!(cache.ask(at(0)).len(), MOST, "those that were taught went");
        cache.taught(at(200), address(5), MAC);
        assert_eq!(cache.find(at(200), address(5)), None);
    }
}
