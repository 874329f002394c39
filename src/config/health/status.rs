//! Sets of HTTP status codes.

use crate::types::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// Codes and ranges of codes, in order, none beside or inside another; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatusSet(Box<[(u16, u16)]>);

/// Why a text is no set of status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not status codes: expected {}", StatusSet::ACCEPTED)]
pub struct InvalidStatusSet;

/// Smallest and largest code: those below are not the end of an answer.
const CODES: std::ops::RangeInclusive<u16> = 200..=599;

impl StatusSet {
    /// All codes from `first` to `last`, which must be in order and codes.
    #[must_use]
    pub fn range(first: u16, last: u16) -> Self {
        debug_assert!(first <= last && CODES.contains(&first) && CODES.contains(&last));
        Self([(first, last)].into())
    }

    /// First and last code of each range, in order.
    #[must_use]
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether `code` is in it.
    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

impl FromStr for StatusSet {
    type Err = InvalidStatusSet;

    fn from_str(text: &str) -> Result<Self, InvalidStatusSet> {
        let code = |text: &str| {
            let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code| is_code && CODES.contains(code))
        };
        let range = |text: &str| {
            let text = text.trim();
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = (code(first)?, code(last)?);
            (range.0 <= range.1).then_some(range)
        };
        let mut ranges: Vec<(u16, u16)> =
            text.split(',').map(range).collect::<Option<_>>().ok_or(InvalidStatusSet)?;
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let is_beside = next.0 <= kept.1 + 1;
            kept.1 = if is_beside { kept.1.max(next.1) } else { kept.1 };
            is_beside
        });
        Ok(Self(ranges.into()))
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl TextValue for StatusSet {
    const FORMAT: &'static str = "status-set";
    const ACCEPTED: &'static str =
        "status codes from 200 to 599 and ranges of them, like \"200-299,404\"";
}

text_value!(StatusSet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_codes_and_ranges() {
        for (text, shown) in [
            ("200", "200"),
            ("200-399", "200-399"),
            ("404, 200-299", "200-299,404"),
            ("200-210,205-220,221,300", "200-221,300"),
            ("200-399,204", "200-399"),
        ] {
            assert_eq!(text.parse::<StatusSet>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "20", "199", "600", "300-200", "200-", "2xx", "200,", "+200", "200 300"] {
            assert_eq!(text.parse::<StatusSet>(), Err(InvalidStatusSet), "{text}");
        }
    }

    #[test]
    fn a_set_contains_its_ends() {
        let set: StatusSet = "200-204,301".parse().unwrap();
        for (code, is_in) in [(199, false), (200, true), (204, true), (205, false), (301, true)] {
            assert_eq!(set.contains(code), is_in, "{code}");
        }
    }
}
