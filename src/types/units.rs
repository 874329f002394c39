//! Units: values that carry their unit in the text.

use super::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: `"250ms"`, `"5s"`, `"1m"`, `"2h"`, `"1d"`. More than zero, at most
/// 366 days, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeriod {
    /// Not one whole number and one unit.
    #[error("not a length of time: expected {}", Period::ACCEPTED)]
    Form,
    /// Zero, or more than 366 days.
    #[error("out of range: a length of time is more than 0 and at most 366d")]
    Range,
}

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const PERIOD_MS_MAX: u64 = 366 * 86_400_000;

impl Period {
    /// So many seconds, which must be within the limits.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        debug_assert!(seconds > 0 && seconds * 1000 <= PERIOD_MS_MAX);
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds, which must be within the limits.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        debug_assert!(ms > 0 && ms <= PERIOD_MS_MAX);
        Self(Duration::from_millis(ms))
    }

    /// The same as the standard library's type.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(InvalidPeriod::Form)?;
        let unit_ms = UNITS
            .iter()
            .find_map(|(name, ms)| (*name == unit).then_some(*ms))
            .filter(|_| digits > 0)
            .ok_or(InvalidPeriod::Form)?;
        let number: u64 = number.parse().map_err(|_overflow| InvalidPeriod::Range)?;
        match number.checked_mul(unit_ms) {
            Some(ms @ 1..=PERIOD_MS_MAX) => Ok(Self(Duration::from_millis(ms))),
            _ => Err(InvalidPeriod::Range),
        }
    }
}

impl fmt::Display for Period {
    /// The largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(PERIOD_MS_MAX);
        let (unit, unit_ms) =
            UNITS.into_iter().rev().find(|(_, unit_ms)| ms % unit_ms == 0).unwrap_or(("ms", 1));
        write!(f, "{}{unit}", ms / unit_ms)
    }
}

impl TextValue for Period {
    // Not "duration": to JSON Schema that is ISO 8601's, and editors would refuse "5s".
    const FORMAT: &'static str = "period";
    const ACCEPTED: &'static str =
        "a whole number and a unit of ms, s, m, h or d, like \"250ms\" or \"5s\"";
}

text_value!(Period);

/// A share of a whole: `"0%"` to `"100%"`, with at most two digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

/// Why a text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share: expected {}", Percent::ACCEPTED)]
pub struct InvalidPercent;

impl Percent {
    /// So many hundredths of the whole; at most 100.
    #[must_use]
    pub const fn from_whole(percent: u16) -> Self {
        debug_assert!(percent <= 100);
        Self(percent * 100)
    }

    /// In ten-thousandths of the whole.
    #[must_use]
    pub const fn as_basis_points(self) -> u16 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(text: &str) -> Result<Self, InvalidPercent> {
        let number = text.strip_suffix('%').ok_or(InvalidPercent)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str, most| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        };
        if !is_number(whole, 3) || !is_number(part, 2) {
            return Err(InvalidPercent);
        }
        let parsed = |digits: &str| digits.parse::<u16>().map_err(|_never| InvalidPercent);
        let points = parsed(whole)? * 100 + parsed(&format!("{part:0<2}"))?;
        if points <= 10_000 { Ok(Self(points)) } else { Err(InvalidPercent) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl TextValue for Percent {
    const FORMAT: &'static str = "percent";
    const ACCEPTED: &'static str =
        "a share from 0% to 100%, at most two digits after the point, like \"20%\" or \"0.5%\"";
}

text_value!(Percent);

/// So many in a time: `"100/s"`, `"6000/m"`, `"50/h"`, `"1000/d"`. At least one, at most ten
/// million a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: char,
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no rate that is known here: expected {}", Rate::ACCEPTED)]
pub struct InvalidRate;

const SPANS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
const PER_SECOND_MAX: u64 = 10_000_000;

impl Rate {
    /// How many in every [`per`](Self::per).
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The time in which there are so many.
    #[must_use]
    pub fn per(self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    /// How many in a second, rounded up.
    #[must_use]
    pub fn per_second(self) -> u32 {
        let each = u64::from(self.count).div_ceil(self.seconds());
        u32::try_from(each).unwrap_or(u32::MAX)
    }

    fn seconds(self) -> u64 {
        SPANS.into_iter().find_map(|(name, time)| (name == self.per).then_some(time)).unwrap_or(1)
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (count, unit) = text.split_once('/').ok_or(InvalidRate)?;
        let is_span = |(name, _): &(char, u64)| unit.chars().eq([*name]);
        let (per, seconds) = SPANS.into_iter().find(is_span).ok_or(InvalidRate)?;
        let is_number = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let count: u32 = count.parse().ok().filter(|_| is_number).ok_or(InvalidRate)?;
        let is_within = count > 0 && u64::from(count) <= PER_SECOND_MAX * seconds;
        if is_within { Ok(Self { count, per }) } else { Err(InvalidRate) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per)
    }
}

impl TextValue for Rate {
    const FORMAT: &'static str = "rate";
    const ACCEPTED: &'static str = "a whole number from 1 to ten million a second, / and one of s, m, h or d, like \"100/s\" or \"6000/m\"";
}

text_value!(Rate);

/// A number of bytes: `"512B"`, `"64KiB"`, `"10MiB"`, `"1GiB"`. At most 1 TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Why a text is no number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number of bytes: expected {}", ByteSize::ACCEPTED)]
pub struct InvalidByteSize;

const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const BYTES_MAX: u64 = 1 << 40;

impl ByteSize {
    /// So many kibibytes.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// In bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(InvalidByteSize)?;
        let size = SIZES.iter().find_map(|(name, size)| (*name == unit).then_some(*size));
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(size?));
        bytes.filter(|bytes| *bytes <= BYTES_MAX).map(Self).ok_or(InvalidByteSize)
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, size): &(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*size);
        let (unit, size) = SIZES.into_iter().rev().find(fits).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl TextValue for ByteSize {
    const FORMAT: &'static str = "byte-size";
    const ACCEPTED: &'static str =
        "a whole number and a unit of B, KiB, MiB or GiB, like \"64KiB\"";
}

text_value!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_period_is_one_number_and_one_unit() {
        for (text, ms) in [("250ms", 250), ("5s", 5000), ("1m", 60_000), ("366d", PERIOD_MS_MAX)] {
            assert_eq!(text.parse::<Period>().unwrap().0.as_millis(), u128::from(ms), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-5s", "1.5s", "1h30m", "5S", "5sec"] {
            assert_eq!(text.parse::<Period>(), Err(InvalidPeriod::Form), "{text}");
        }
        for text in ["0s", "367d", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(text.parse::<Period>(), Err(InvalidPeriod::Range), "{text}");
        }
    }

    #[test]
    fn a_share_has_two_digits_after_the_point_at_most() {
        for (text, points) in [("0%", 0), ("0.5%", 50), ("12.25%", 1225), ("100%", 10_000)] {
            let share = text.parse::<Percent>().unwrap();
            assert_eq!((share.as_basis_points(), share.to_string().as_str()), (points, text));
        }
        for text in ["", "%", "5", "101%", "100.01%", "1.255%", ".5%", "5.%", "-1%", "+1%"] {
            assert_eq!(text.parse::<Percent>(), Err(InvalidPercent), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (text, count, seconds, each) in
            [("100/s", 100, 1, 100), ("6000/m", 6000, 60, 100), ("1/d", 1, 86_400, 1)]
        {
            let rate = text.parse::<Rate>().unwrap();
            assert_eq!((rate.count(), rate.per().as_secs()), (count, seconds), "{text}");
            assert_eq!((rate.per_second(), rate.to_string().as_str()), (each, text));
        }
        for text in ["", "100", "100/", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1/w", "10000001/s"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text}");
        }
    }

    #[test]
    fn a_size_is_one_number_and_one_unit() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("3GiB", 3 << 30)] {
            let size = text.parse::<ByteSize>().unwrap();
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, text));
        }
        for text in ["", "5", "KiB", "1KB", "1.5KiB", "-1B", "99999999999GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 1..=PERIOD_MS_MAX) {
            let period = Period(Duration::from_millis(ms));
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }
    }
}
