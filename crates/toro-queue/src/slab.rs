//! [`Slab`]: slots with generations, so that a stale handle finds nothing instead of someone else's connection.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Names a slot and its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotId {
    index: u32,
    generation: u32,
}

impl SlotId {
    /// The place of the slot: small, and no other living tenant has it.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    // Boxed: the vector then moves pointers when it grows, and an empty slot is small.
    tenant: Option<Box<T>>,
}

/// Values under handles; slots are reused, last freed first.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    /// No slots yet.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many tenants there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives `value` a slot.
    ///
    /// # Panics
    /// Panics if there are 2^32 slots.
    pub fn insert(&mut self, value: T) -> SlotId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                tenant: None,
            });
            // Where there are more, the index below panics.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.tenant = Some(Box::new(value));
        SlotId {
            index,
            generation: slot.generation,
        }
    }

    /// The tenant, if it is still there.
    pub fn get(&self, id: SlotId) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        slot.tenant
            .as_deref()
            .filter(|_| slot.generation == id.generation)
    }

    /// The tenant for changes, if it is still there.
    pub fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.tenant
            .as_deref_mut()
            .filter(|_| slot.generation == id.generation)
    }

    /// How many slots there are, with tenants or without.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The tenant of the slot at `place`, and its handle.
    pub fn at(&self, place: usize) -> Option<(SlotId, &T)> {
        let slot = self.slots.get(place)?;
        let id = SlotId {
            index: u32::try_from(place).ok()?,
            generation: slot.generation,
        };
        Some((id, slot.tenant.as_deref()?))
    }

    /// Takes the tenant out, if it is still there.
    pub fn remove(&mut self, id: SlotId) -> Option<Box<T>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let tenant = slot.tenant.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(tenant)
    }

    /// All that have a tenant.
    /// The handles of all tenants.
    pub fn ids(&self) -> Vec<SlotId> {
        let slots = (0..).zip(&self.slots);
        slots
            .filter(|(_, slot)| slot.tenant.is_some())
            .map(|(index, slot)| SlotId {
                index,
                generation: slot.generation,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first).as_deref(), Some(&"first"));
        let second = slab.insert("second");
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second).copied(), Some("second"));
    }

    #[test]
    fn places_are_walked_over_holes() {
        let mut slab = Slab::new();
        let ids: [SlotId; 3] = core::array::from_fn(|number| slab.insert(number));
        slab.remove(ids[1]);
        let found = (0..=slab.places()).map(|place| slab.at(place));
        let found: Vec<_> = found.collect();
        assert_eq!(found, [Some((ids[0], &0)), None, Some((ids[2], &2)), None]);
    }

    #[test]
    fn slots_are_reused() {
        let mut slab = Slab::new();
        for turn in 0..1000 {
            let id = slab.insert(turn);
            assert_eq!(id.index, 0);
            slab.remove(id);
        }
        assert_eq!((slab.len(), slab.slots.len()), (0, 1));
    }
}
