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

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 1..=PERIOD_MS_MAX) {
            let period = Period(Duration::from_millis(ms));
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }
    }
}
