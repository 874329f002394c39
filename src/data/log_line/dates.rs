//! Dates: the wall clock's time as text, made anew only when the second changes.

use jiff::civil::DateTime;
use std::cell::Cell;
use std::io::Write;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// A second, and its texts.
#[derive(Clone, Copy)]
struct Dated {
    second: u64,
    /// `2025-11-21T13:04:05`
    iso: [u8; 19],
    /// `21/Nov/2025:13:04:05`
    clf: [u8; 20],
}

thread_local! {
    /// What this thread wrote last.
    static LAST: Cell<Option<Dated>> = const { Cell::new(None) };
}

/// RFC 3339, UTC, microseconds.
pub(in crate::data) fn rfc3339(wall: SystemTime, out: &mut Vec<u8>) {
    let (dated, micros) = of(wall);
    out.extend_from_slice(&dated.iso);
    out.push(b'.');
    digits(micros, 100_000, out);
    out.push(b'Z');
}

/// As in the Common Log Format, UTC.
pub(super) fn clf(wall: SystemTime, out: &mut Vec<u8>) {
    out.extend_from_slice(&of(wall).0.clf);
    out.extend_from_slice(b" +0000");
}

/// As HAProxy writes it, with milliseconds; UTC.
pub(super) fn haproxy(wall: SystemTime, out: &mut Vec<u8>) {
    let (dated, micros) = of(wall);
    out.extend_from_slice(&dated.clf);
    out.push(b'.');
    digits(micros / 1000, 100, out);
}

/// As C's `asctime`, UTC, without its line break: `Sun Nov 22 06:22:10 2026`.
pub(in crate::data) fn asctime(wall: SystemTime, out: &mut Vec<u8>) {
    let date = date_of(wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    // Writing into memory does not fail.
    drop(write!(out, "{}", date.strftime("%a %b %e %H:%M:%S %Y")));
}

/// `number` in as many digits as `place` has.
pub(super) fn digits(number: u32, mut place: u32, out: &mut Vec<u8>) {
    while place > 0 {
        out.push(b'0' + u8::try_from(number / place % 10).unwrap_or(0));
        place /= 10;
    }
}

/// The texts of the second of `wall`, and its microseconds. What is before 1970 is 1970.
fn of(wall: SystemTime) -> (Dated, u32) {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let last = LAST.get().filter(|dated| dated.second == since.as_secs());
    let dated = last.unwrap_or_else(|| {
        let dated = dated(since.as_secs());
        LAST.set(Some(dated));
        dated
    });
    (dated, since.subsec_micros())
}

fn date_of(second: u64) -> DateTime {
    let time = jiff::Timestamp::from_second(second.cast_signed()).unwrap_or(jiff::Timestamp::MAX);
    jiff::tz::Offset::UTC.to_datetime(time)
}

fn dated(second: u64) -> Dated {
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let date = date_of(second);
    let year = u32::from(date.year().unsigned_abs());
    let [month, day, hour, minute, second_of] =
        [date.month(), date.day(), date.hour(), date.minute(), date.second()]
            .map(|part| u32::from(part.unsigned_abs()));
    let mut iso = *b"0000-00-00T00:00:00";
    let mut clf = *b"00/Jan/0000:00:00:00";
    for (at, digits, number) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, hour),
        (14, 2, minute),
        (17, 2, second_of),
    ] {
        put(&mut iso, at..at + digits, number);
    }
    for (at, digits, number) in
        [(0, 2, day), (7, 4, year), (12, 2, hour), (15, 2, minute), (18, 2, second_of)]
    {
        put(&mut clf, at..at + digits, number);
    }
    let name = MONTHS.get((month as usize).wrapping_sub(1)).copied().unwrap_or(b"Jan");
    if let Some(place) = clf.get_mut(3..6) {
        place.copy_from_slice(name);
    }
    Dated { second, iso, clf }
}

/// Writes the last digits of `number` at this place.
fn put(text: &mut [u8], at: Range<usize>, mut number: u32) {
    for digit in text.get_mut(at).unwrap_or_default().iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text(write: fn(SystemTime, &mut Vec<u8>), micros: u64) -> String {
        let mut out = Vec::new();
        write(UNIX_EPOCH + Duration::from_micros(micros), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn forms_of_a_date() {
        // In a year with a 29th of February, the day after it.
        let micros = 1_709_251_200_000_000 + 3_723_004_005;
        assert_eq!(text(rfc3339, micros), "2024-03-01T01:02:03.004005Z");
        assert_eq!(text(clf, micros), "01/Mar/2024:01:02:03 +0000");
        assert_eq!(text(haproxy, micros), "01/Mar/2024:01:02:03.004");
        assert_eq!(text(asctime, micros), "Fri Mar  1 01:02:03 2024");
        assert_eq!(text(rfc3339, 0), "1970-01-01T00:00:00.000000Z");
        // The same second again, and another one.
        assert_eq!(text(rfc3339, 999_999), "1970-01-01T00:00:00.999999Z");
        assert_eq!(text(rfc3339, 1_000_000), "1970-01-01T00:00:01.000000Z");
    }
}
