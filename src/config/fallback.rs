//! `fallback = […]`: what is done for a request that no backend may be tried for.

use super::page::PageSource;
use crate::types::ids::PoolId;
use crate::types::text::{TextValue, text_value};
use crate::types::units::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One step of a chain of fallbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FallbackStep {
    /// The last good answer to the same request.
    Cached,
    /// Another pool.
    Pool(PoolId),
    /// A page.
    Static(PageSource),
}

/// Why a text is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fallback: expected {}", FallbackStep::ACCEPTED)]
pub struct InvalidFallback;

impl FromStr for FallbackStep {
    type Err = InvalidFallback;

    fn from_str(text: &str) -> Result<Self, InvalidFallback> {
        match text.split_once(':') {
            None if text == "cached" => Ok(Self::Cached),
            Some(("pool", name)) => {
                name.parse().map(Self::Pool).map_err(|_no_name| InvalidFallback)
            }
            Some(("static", page)) => {
                page.parse().map(Self::Static).map_err(|_no_page| InvalidFallback)
            }
            _ => Err(InvalidFallback),
        }
    }
}

impl fmt::Display for FallbackStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cached => f.write_str("cached"),
            Self::Pool(pool) => write!(f, "pool:{pool}"),
            Self::Static(page) => write!(f, "static:{page}"),
        }
    }
}

impl TextValue for FallbackStep {
    const FORMAT: &'static str = "fallback";
    const ACCEPTED: &'static str = "\"cached\", \"pool:NAME\", \"static:NAME\" of a [page.NAME], \
         or \"static:FILE\" that ends with .html or .json";
}

text_value!(FallbackStep);

/// The store of good answers that `cached` in a `fallback` gives, one for all routes whose chain
/// has it.
///
/// What is kept: answers 200 to GET whose length is known and that say nothing against it. Never
/// kept: what was asked for with `Authorization`; with a `Cookie`, unless the answer is `public`;
/// with `Cache-Control: no-store`; and answers with `Set-Cookie`, with `private`, `no-store` or
/// `no-cache`, or with a `Vary` of other fields than `Accept`, `Accept-Encoding`,
/// `Accept-Language` and `Origin`. An answer is kept anew once a second at most.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FallbackCache {
    /// Memory for all answers together. What was not used for the longest goes first.
    pub size: ByteSize,
    /// The longest answer that is kept, head and body.
    pub entry_size: ByteSize,
    /// How much older than its `max-age` an answer may be given; one without `max-age` is too
    /// old at once. `stale-if-error` of the answer shortens it, and with `must-revalidate`,
    /// `proxy-revalidate` or `s-maxage` it counts as nothing.
    pub stale_for: Period,
}

impl Default for FallbackCache {
    fn default() -> Self {
        Self {
            size: ByteSize::from_kib(32 * 1024),
            entry_size: ByteSize::from_kib(1024),
            stale_for: Period::from_secs(3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_written_as_they_are_read() {
        for text in ["cached", "pool:lite", "static:sorry", "static:conf/sorry.json"] {
            assert_eq!(text.parse::<FallbackStep>().unwrap().to_string(), text);
        }
        for wrong in ["", "cache", "pool:", "pool:A", "static:", "static:a.txt", "cached:a"] {
            assert!(wrong.parse::<FallbackStep>().is_err(), "{wrong}");
        }
    }
}
