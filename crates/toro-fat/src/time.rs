//! Dates as FAT writes them, from and to seconds since 1970. They are taken as UTC.

/// 1980-01-01, the first day that FAT knows, in days since 1970.
const EPOCH: u64 = 3652;

/// The date and the time of day, to two seconds. What FAT cannot say becomes the next that it can.
pub(crate) fn encode(seconds: u64) -> (u16, u16) {
    let days = seconds / 86_400;
    if days < EPOCH {
        return (1 << 5 | 1, 0);
    }
    let (year, month, day) = civil(days);
    if year > 2107 {
        return (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29);
    }
    let rest = seconds % 86_400;
    let date = (year - 1980) << 9 | month << 5 | day;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let time = hour << 11 | minute << 5 | (second / 2);
    (narrow(date), narrow(time))
}

/// Seconds since 1970; nonsense gives some time.
pub(crate) fn decode(date: u16, time: u16) -> u64 {
    let (date, time) = (u64::from(date), u64::from(time));
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let seconds = (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2;
    days(year, month.clamp(1, 12), day.max(1)) * 86_400 + seconds
}

/// Days since 1970 of a date (Hinnant's algorithm, for years from 1970 on).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn narrow(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    fn check(seconds: u64, date: (u64, u64, u64), expected: u64) {
        let (found, time) = encode(seconds);
        let found = u64::from(found);
        assert_eq!((1980 + (found >> 9), found >> 5 & 15, found & 31), date);
        assert_eq!(decode(encode(seconds).0, time), expected);
    }

    #[test]
    fn dates_come_back() {
        check(315_532_800, (1980, 1, 1), 315_532_800);
        check(951_782_399, (2000, 2, 28), 951_782_398);
        check(951_827_696, (2000, 2, 29), 951_827_696);
        check(1_700_000_001, (2023, 11, 14), 1_700_000_000);
        check(4_354_819_198, (2107, 12, 31), 4_354_819_198);
    }

    #[test]
    fn what_cannot_be_said_is_the_next() {
        check(0, (1980, 1, 1), 315_532_800);
        check(u64::MAX, (2107, 12, 31), 4_354_819_198);
    }

    #[test]
    fn nonsense_is_some_time() {
        for word in 0..=u16::MAX {
            decode(word, !word);
        }
    }
}
