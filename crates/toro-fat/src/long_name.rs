//! Long names: spread over slots in front of the short entry, the last part first.

use alloc::vec::Vec;

use toro_vfs::FileError;

use crate::entry::{LONG_NAME, Raw, SLOT};

/// Units of UTF-16 in a slot.
pub(crate) const UNITS: usize = 13;

/// Longest name, in units of UTF-16.
const LONGEST: usize = 255;

/// Set in the number of the slot that comes first, which holds the last part.
const LAST: u8 = 0x40;

/// The places of the units in a slot.
const PLACES: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Puts a long name together, slot by slot.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    units: Vec<u16>,
    checksum: u8,
    /// Number of the slot that was taken last; 0 if nothing is collected.
    number: u8,
}

impl Collector {
    pub(crate) fn clear(&mut self) {
        self.number = 0;
        self.units.clear();
    }

    /// Takes a slot whose attribute says that it is a part of a long name.
    pub(crate) fn take(&mut self, slot: &Raw) {
        let number = slot.0[0] & !LAST;
        let is_first = slot.0[0] & LAST != 0;
        let follows = self.number == number + 1 && self.checksum == slot.0[13];
        if !(1..=20).contains(&number) || !(is_first || follows) {
            return self.clear();
        }
        if is_first {
            self.units.clear();
            self.units.resize(usize::from(number) * UNITS, 0);
            self.checksum = slot.0[13];
        }
        self.number = number;
        let start = usize::from(number - 1) * UNITS;
        for (unit, at) in self.units[start..start + UNITS].iter_mut().zip(PLACES) {
            *unit = u16::from_le_bytes([slot.0[at], slot.0[at + 1]]);
        }
    }

    /// The units of the name, if all of it was there and belongs to that short name.
    pub(crate) fn whole(&self, short: &[u8; 11]) -> Option<&[u16]> {
        let is_whole = self.number == 1 && self.checksum == checksum(short);
        let end = self.units.iter().position(|unit| *unit == 0);
        let units = &self.units[..end.unwrap_or(self.units.len())];
        let is_name = (1..=LONGEST).contains(&units.len())
            && !units.contains(&u16::from(b'/'))
            && !units.iter().all(|unit| *unit == u16::from(b'.'));
        (is_whole && is_name).then_some(units)
    }
}

/// The units of a name that can be given to something new.
pub(crate) fn units(name: &str) -> Result<Vec<u16>, FileError> {
    let is_bad = |letter: char| letter < ' ' || "\"*/:<>?\\|\u{7f}".contains(letter);
    let units: Vec<u16> = name.encode_utf16().collect();
    // Others drop dots and spaces at the end, and would not find the name again.
    let is_cut = name.ends_with(['.', ' ']);
    if name.is_empty() || name.contains(is_bad) || is_cut || units.len() > LONGEST {
        return Err(FileError::InvalidPath);
    }
    Ok(units)
}

/// How many slots the long name takes.
pub(crate) fn slots_for(units: &[u16]) -> usize {
    units.len().div_ceil(UNITS)
}

/// The slots in the order in which they lie in the directory.
pub(crate) fn slots(units: &[u16], short: &[u8; 11]) -> impl Iterator<Item = Raw> {
    let checksum = checksum(short);
    let count = slots_for(units);
    (1..=count).rev().map(move |number| {
        let mut slot = Raw([0; SLOT]);
        let last = if number == count { LAST } else { 0 };
        slot.0[0] = u8::try_from(number).expect("a name has at most 20 parts") | last;
        slot.0[11] = LONG_NAME;
        slot.0[13] = checksum;
        for (nth, at) in ((number - 1) * UNITS..).zip(PLACES) {
            // A name that does not fill its last slot ends with 0, and 0xffff follows.
            let padding = if nth == units.len() { 0 } else { 0xffff };
            let unit = units.get(nth).copied().unwrap_or(padding);
            slot.0[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        slot
    })
}

/// A unit without regard to case. As elsewhere, letters whose cases differ in length are kept apart.
pub(crate) fn fold(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(u32::from(unit)) else {
        return unit;
    };
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => u16::try_from(u32::from(lower)).unwrap_or(unit),
        _ => unit,
    }
}

fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{Collector, fold, slots, units};

    fn check(name: &str) {
        let units = units(name).expect("it can be given");
        let mut collector = Collector::default();
        for slot in slots(&units, b"SHORT   TXT") {
            collector.take(&slot);
        }
        let found = collector
            .whole(b"SHORT   TXT")
            .map(String::from_utf16_lossy);
        assert_eq!(found.as_deref(), Some(name));
    }

    #[test]
    fn names_come_back() {
        check("a");
        check("exactly 13 ab");
        check("one more than 13");
    }

    #[test]
    fn long_and_foreign_names_come_back() {
        check(&"x".repeat(255));
        check("\u{e4}\u{65e5}\u{1f980}");
    }

    #[test]
    fn what_others_cannot_read_is_refused() {
        for name in ["", "a/b", "a:b", "a\n", "a.", "a ", &"x".repeat(256)] {
            assert!(units(name).is_err(), "{name:?}");
        }
        assert!(units(&"\u{1f980}".repeat(128)).is_err());
    }

    #[test]
    fn parts_of_two_names_do_not_mix() {
        let one = units(&"one".repeat(9)).expect("it can be given");
        let mut collector = Collector::default();
        for slot in slots(&one, b"SHORT   TXT").skip(1) {
            collector.take(&slot);
        }
        assert_eq!(collector.whole(b"SHORT   TXT"), None);
        for slot in slots(&one, b"SHORT   TXT") {
            collector.take(&slot);
        }
        assert_eq!(collector.whole(b"OTHER   TXT"), None);
    }

    #[test]
    fn case_does_not_matter() {
        let folded = |name: &str| name.encode_utf16().map(fold).collect::<Vec<_>>();
        assert_eq!(
            folded("\u{c4}Bc.TXT\u{1f980}"),
            folded("\u{e4}bC.txt\u{1f980}")
        );
        assert_ne!(folded("a"), folded("b"));
    }
}
