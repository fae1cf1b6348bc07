//! [`Demux`]: from the addresses and ports of a segment to what it belongs to, in one keyed hash lookup.

use core::net::Ipv4Addr;

use hashbrown::HashTable;

use crate::aging::AgingId;
use crate::packet::Tuple;
use crate::random::Key;
use crate::slab::SlotId;

/// What a tuple belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Connection(SlotId),
    HalfOpen(AgingId),
    TimeWait(AgingId),
}

struct Entry {
    tuple: Tuple,
    target: Target,
}

/// The table of all tuples of a stack. Its order is secret, so that peers cannot choose colliding ports.
pub(crate) struct Demux {
    table: HashTable<Entry>,
    key: Key,
}

impl Demux {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            table: HashTable::new(),
            key,
        }
    }

    pub(crate) fn find(&self, tuple: &Tuple) -> Option<Target> {
        let entry = self
            .table
            .find(self.key.place(tuple), |entry| entry.tuple == *tuple)?;
        Some(entry.target)
    }

    /// Gives `tuple` to `target`, whatever it belonged to before.
    pub(crate) fn set(&mut self, tuple: Tuple, target: Target) {
        let (key, hash) = (self.key, self.key.place(&tuple));
        match self.table.find_mut(hash, |entry| entry.tuple == tuple) {
            Some(entry) => entry.target = target,
            None => {
                let entry = Entry { tuple, target };
                self.table
                    .insert_unique(hash, entry, |entry| key.place(&entry.tuple));
            }
        }
    }

    /// The peers of all tuples.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.table.iter().map(|entry| entry.tuple.remote)
    }

    /// Forgets `tuple` if it still belongs to `target`.
    pub(crate) fn remove(&mut self, tuple: &Tuple, target: Target) {
        let hash = self.key.place(tuple);
        let mine = |entry: &Entry| entry.tuple == *tuple && entry.target == target;
        if let Ok(entry) = self.table.find_entry(hash, mine) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: Ipv4Addr::new(10, 0, 2, 15),
            remote: Ipv4Addr::new(10, 0, 2, 2),
            local_port: 80,
            remote_port: port,
        }
    }

    #[test]
    fn finds_what_was_set_and_forgets_what_was_removed() {
        let mut demux = Demux::new(Key::derive([1, 2], 3));
        for port in 1..2000 {
            demux.set(tuple(port), Target::TimeWait(u32::from(port)));
        }
        demux.set(tuple(7), Target::HalfOpen(1));
        assert_eq!(demux.find(&tuple(7)), Some(Target::HalfOpen(1)));
        assert_eq!(demux.find(&tuple(1999)), Some(Target::TimeWait(1999)));
        demux.remove(&tuple(7), Target::TimeWait(7));
        assert_eq!(
            demux.find(&tuple(7)),
            Some(Target::HalfOpen(1)),
            "it has a new owner"
        );
        demux.remove(&tuple(7), Target::HalfOpen(1));
        assert_eq!(demux.find(&tuple(7)), None);
        assert_eq!(demux.table.len(), 1998);
    }
}
