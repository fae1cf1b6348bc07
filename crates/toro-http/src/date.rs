//! HTTP dates: written in the one form that is sent, read in all three that exist (RFC 9110, 5.6.7).
//!
//! A time is seconds since 1970 UTC. Dates before that are read as 0, which compares as they would.

/// The length of a date as it is sent.
pub(crate) const DATE_LEN: usize = 29;

/// The last second of the year 9999, the last that fits the form.
const LAST: u64 = 253_402_300_799;

const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// The fields in front of a date.
const BEFORE: &[u8; 22] = b"\r\nServer: toro\r\nDate: ";
/// Where they end if there is no date.
const SERVER_END: usize = 14;

/// The fields that every reply begins with, written anew only when the second changes.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: Option<u64>,
    text: [u8; BEFORE.len() + DATE_LEN],
}

impl Clock {
    pub(crate) const fn new() -> Self {
        let mut text = [0; BEFORE.len() + DATE_LEN];
        text.split_at_mut(BEFORE.len()).0.copy_from_slice(BEFORE);
        Self { now: None, text }
    }

    /// Moves to `now`; `None` means that there is no wall clock.
    pub(crate) fn set(&mut self, now: Option<u64>) {
        if now != self.now {
            self.now = now;
            self.text[BEFORE.len()..].copy_from_slice(&format(now.unwrap_or(0)));
        }
    }

    pub(crate) fn now(&self) -> Option<u64> {
        self.now
    }

    /// `Server` and `Date`; a server without a clock must not send a date (RFC 9110, 6.6.1).
    pub(crate) fn text(&self) -> &[u8] {
        match self.now {
            Some(_) => &self.text,
            None => &self.text[..SERVER_END],
        }
    }
}

/// Writes `time` as `Sun, 06 Nov 1994 08:49:37 GMT`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each field is reduced below its digits"
)]
pub(crate) fn format(time: u64) -> [u8; DATE_LEN] {
    let time = time.min(LAST);
    let (days, second) = (time / 86_400, time % 86_400);
    let (year, month, day) = civil_from_days(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(&DAYS[(days % 7) as usize].as_bytes()[..3]);
    two_digits(&mut text[5..7], day as u8);
    let name = 3 * (month as usize - 1);
    text[8..11].copy_from_slice(&MONTHS[name..name + 3]);
    two_digits(&mut text[12..14], (year / 100) as u8);
    two_digits(&mut text[14..16], (year % 100) as u8);
    two_digits(&mut text[17..19], (second / 3600) as u8);
    two_digits(&mut text[20..22], (second / 60 % 60) as u8);
    two_digits(&mut text[23..25], (second % 60) as u8);
    text
}

fn two_digits(place: &mut [u8], number: u8) {
    place[0] = b'0' + number / 10;
    place[1] = b'0' + number % 10;
}

/// Reads a date of any of the three forms; `now` settles the century of a two-digit year.
pub(crate) fn parse(text: &[u8], now: Option<u64>) -> Option<u64> {
    let text = text.trim_ascii();
    match text.iter().position(|byte| *byte == b',') {
        Some(3) => parse_imf(text),
        Some(comma) => parse_rfc850(text, comma, now),
        None => parse_asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_imf(text: &[u8]) -> Option<u64> {
    let fits = text.len() == DATE_LEN
        && is_day_name(&text[..3], 3)
        && pattern(text, b"???, ?? ??? ???? ??:??:?? GMT");
    let year = digits(text.get(12..16)?)?;
    fits.then_some(())?;
    seconds(
        year,
        month(&text[8..11])?,
        digits(&text[5..7])?,
        clock_time(&text[17..25])?,
    )
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(text: &[u8], comma: usize, now: Option<u64>) -> Option<u64> {
    let (day_name, rest) = text.split_at(comma);
    if !is_day_name(day_name, usize::MAX) || !pattern(rest, b", ??-???-?? ??:??:?? GMT") {
        return None;
    }
    let year = century(digits(&rest[9..11])?, now);
    seconds(
        year,
        month(&rest[5..8])?,
        digits(&rest[2..4])?,
        clock_time(&rest[12..20])?,
    )
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(text: &[u8]) -> Option<u64> {
    if !pattern(text, b"??? ??? ?? ??:??:?? ????") || !is_day_name(&text[..3], 3) {
        return None;
    }
    let day = digits(text[8..10].trim_ascii_start())?;
    seconds(
        digits(&text[20..24])?,
        month(&text[4..7])?,
        day,
        clock_time(&text[11..19])?,
    )
}

/// Whether `text` has the shape of `pattern`, in which `?` is any byte.
fn pattern(text: &[u8], pattern: &[u8]) -> bool {
    text.len() == pattern.len()
        && text
            .iter()
            .zip(pattern)
            .all(|(byte, shape)| *shape == b'?' || byte == shape)
}

/// Whether `text` names a weekday by its first `len` letters.
fn is_day_name(text: &[u8], len: usize) -> bool {
    DAYS.iter()
        .any(|day| &day.as_bytes()[..len.min(day.len())] == text)
}

fn month(name: &[u8]) -> Option<u64> {
    let found = MONTHS.chunks(3).position(|month| month == name)?;
    u64::try_from(found + 1).ok()
}

fn digits(text: &[u8]) -> Option<u64> {
    crate::field::decimal(text)
}

/// `hh:mm:ss`, whose colons were checked; 60 is a leap second.
fn clock_time(text: &[u8]) -> Option<u64> {
    let (hour, minute, second) = (
        digits(&text[..2])?,
        digits(&text[3..5])?,
        digits(&text[6..8])?,
    );
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// A two-digit year more than 50 years ahead is one of the past century (RFC 9110, 5.6.7).
fn century(year: u64, now: Option<u64>) -> u64 {
    let this_year = civil_from_days(now.unwrap_or(0).min(LAST) / 86_400).0;
    let candidate = this_year - this_year % 100 + year;
    if candidate > this_year + 50 {
        candidate - 100
    } else {
        candidate
    }
}

fn seconds(year: u64, month: u64, day: u64, second: u64) -> Option<u64> {
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    if year < 1970 {
        return Some(0);
    }
    Some(days_from_civil(year, month, day) * 86_400 + second)
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_EXAMPLE: u64 = 784_111_777;
    const NOW: Option<u64> = Some(1_750_000_000);

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(parse(text.as_bytes(), NOW), expected, "{text:?}");
    }

    #[test]
    fn the_three_forms_name_the_same_second() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(RFC_EXAMPLE));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(RFC_EXAMPLE));
        check("Sun Nov  6 08:49:37 1994", Some(RFC_EXAMPLE));
        check(" Sun, 06 Nov 1994 08:49:37 GMT ", Some(RFC_EXAMPLE));
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for bad in [
            "",
            "now",
            "0",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 00:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 199x 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov  6 08:49:37 94",
            ",",
            ", ",
            "Sun,",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn edges_of_the_calendar() {
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Wed, 31 Dec 1969 23:59:59 GMT", Some(0));
        check("Sat, 01 Jan 0000 00:00:00 GMT", Some(0));
        check("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(LAST));
        check("Fri, 31 Dec 2027 23:59:60 GMT", Some(1_830_297_600));
        check("Thursday, 01-Jan-70 00:00:01 GMT", Some(3_155_760_001));
        check("Saturday, 01-Jan-77 00:00:00 GMT", Some(220_924_800));
    }

    #[test]
    fn every_formatted_day_reads_back() {
        for day in (0..LAST / 86_400).step_by(37) {
            let time = day * 86_400 + day % 86_400;
            assert_eq!(parse(&format(time), NOW), Some(time));
        }
        assert_eq!(&format(RFC_EXAMPLE), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_clock_has_no_text_without_a_time() {
        let mut clock = Clock::new();
        assert_eq!(clock.text(), b"\r\nServer: toro");
        clock.set(Some(RFC_EXAMPLE));
        let text = b"\r\nServer: toro\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(clock.text(), text);
        clock.set(None);
        assert_eq!(clock.text(), b"\r\nServer: toro");
    }
}
