//! Countries, by two letters.

use super::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;

/// Letters of the alphabet.
const LETTERS: u16 = 26;
/// Countries that two letters can name.
const COUNTRIES: usize = LETTERS as usize * LETTERS as usize;

/// A country: two letters of ISO 3166-1, in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country(u16);

/// Why a text is no country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a country: expected {}", Country::ACCEPTED)]
pub struct InvalidCountry;

/// All of them, one after the other.
static CODES: [u8; COUNTRIES * 2] = codes();

const fn codes() -> [u8; COUNTRIES * 2] {
    let mut codes = [b'A'; COUNTRIES * 2];
    let mut rest: &mut [u8] = &mut codes;
    let (mut one, mut other) = (b'A', b'A');
    while let [first, second, more @ ..] = rest {
        (*first, *second) = (one, other);
        (one, other) = if other == b'Z' { (one + 1, b'A') } else { (one, other + 1) };
        rest = more;
    }
    codes
}

impl Country {
    /// The two letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let at = usize::from(self.0) * 2;
        let code = CODES.get(at..at + 2).unwrap_or_default();
        str::from_utf8(code).unwrap_or_default()
    }

    /// The country of these letters, small or capital.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let number = |letter: u8| {
            let letter = letter.to_ascii_uppercase();
            letter.is_ascii_uppercase().then(|| u16::from(letter - b'A'))
        };
        let [first, second] = *text else { return None };
        Some(Self(number(first)? * LETTERS + number(second)?))
    }
}

impl FromStr for Country {
    type Err = InvalidCountry;

    fn from_str(text: &str) -> Result<Self, InvalidCountry> {
        Self::of(text.as_bytes()).ok_or(InvalidCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TextValue for Country {
    const FORMAT: &'static str = "country";
    const ACCEPTED: &'static str = "the two letters of a country (ISO 3166-1), like \"FR\"";
}

text_value!(Country);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_letters() {
        for first in b'A'..=b'Z' {
            for second in b'A'..=b'Z' {
                let letters = [first, second];
                let country = Country::of(&letters.map(|letter| letter.to_ascii_lowercase()));
                assert_eq!(country.unwrap().as_str().as_bytes(), letters);
            }
        }
        for text in ["", "F", "FRA", "F1", "é", "f "] {
            assert_eq!(text.parse::<Country>(), Err(InvalidCountry), "{text}");
        }
    }
}
