//! The CMOS clock: the date, to the second.

use crate::port::{inb, outb};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

/// A date and time of day in UTC, as the clock keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// With the century.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 59.
    pub second: u8,
}

fn register(index: u8) -> u8 {
    outb(INDEX, index);
    inb(DATA)
}

fn sample() -> [u8; 6] {
    [0x00, 0x02, 0x04, 0x07, 0x08, 0x09].map(register)
}

/// Reads the clock; `None` if there is none or it does not settle.
pub fn read() -> Option<Date> {
    // Bit 7 of register A says that an update is under way, which lasts at most 2 ms; two equal samples outside one are good.
    for _ in 0..1000 {
        if register(0x0A) & 0x80 != 0 {
            continue;
        }
        let first = sample();
        if register(0x0A) & 0x80 == 0 && sample() == first {
            return decode(first, register(0x0B));
        }
    }
    None
}

fn decode(raw: [u8; 6], mode: u8) -> Option<Date> {
    let binary = mode & 4 != 0;
    let number = |value: u8| {
        if binary {
            value
        } else {
            (value >> 4) * 10 + (value & 15)
        }
    };
    let afternoon = mode & 2 == 0 && raw[2] & 0x80 != 0;
    let mut hour = number(raw[2] & 0x7F);
    if mode & 2 == 0 {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let date = Date {
        year: 2000 + u16::from(number(raw[5])),
        month: number(raw[4]),
        day: number(raw[3]),
        hour,
        minute: number(raw[1]),
        second: number(raw[0]),
    };
    let valid = (1..=12).contains(&date.month)
        && (1..=31).contains(&date.day)
        && date.hour < 24
        && date.minute < 60
        && date.second < 60
        && date.year < 2100;
    valid.then_some(date)
}

impl Date {
    /// Seconds since the beginning of 1970.
    pub fn unix_seconds(self) -> u64 {
        // Days from a civil date, with the year counted from March so that the leap day comes last.
        let shifted = self.month <= 2;
        let year = u64::from(self.year) - u64::from(shifted);
        let month = (u64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + u64::from(self.day) - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
        // Day 719,468 of that count is the first of January 1970.
        let days = days - 719_468;
        days * 86_400
            + u64::from(self.hour) * 3600
            + u64::from(self.minute) * 60
            + u64::from(self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: u16, month: u8, day: u8) -> u64 {
        Date {
            year,
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
        }
        .unix_seconds()
    }

    #[test]
    fn counts_seconds_since_1970() {
        assert_eq!(at(1970, 1, 1), 0);
        assert_eq!(at(2000, 3, 1), 951_868_800);
        assert_eq!(at(2024, 2, 29), 1_709_164_800);
        assert_eq!(at(2026, 11, 20), 1_795_132_800);
    }

    #[test]
    fn decodes_bcd_and_twelve_hours() {
        let date = decode([0x59, 0x30, 0x81, 0x20, 0x11, 0x26], 0).expect("a valid date");
        assert_eq!((date.hour, date.minute, date.second), (13, 30, 59));
        assert_eq!((date.year, date.month, date.day), (2026, 11, 20));
    }

    #[test]
    fn refuses_a_clock_that_is_not_there() {
        assert_eq!(decode([0xFF; 6], 0xFF), None);
    }
}
