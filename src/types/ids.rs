//! Names of things, as operators write them: one type per kind of thing.
//!
//! A name is `[a-z0-9][a-z0-9_-]{0,62}`: safe as a metric label, in a path and on a
//! command line. Cheap to clone.

use super::text::{TextValue, text_value};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name: expected {}", RouteId::ACCEPTED)]
pub struct InvalidName;

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(inner)
        && text.bytes().all(|b| inner(b) || b == b'_' || b == b'-')
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidName) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TextValue for $name {
            const FORMAT: &'static str = "name";
            const ACCEPTED: &'static str =
                "1 to 63 of a-z 0-9 _ -, the first a letter or digit";
        }

        text_value!($name);
    )*};
}

names! {
    /// Name of a set of filter settings.
    FilterId,
    /// Name of a way to know who sends a request.
    IdentityId,
    /// Name of a rate limit.
    LimitId,
    /// Name of a listener.
    ListenerId,
    /// Name of a page.
    PageId,
    /// Name of a pool.
    PoolId,
    /// Name of a route.
    RouteId,
    /// Name of a web application firewall.
    WafId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "0", "api-v2_x", &"a".repeat(63)] {
            assert!(good.parse::<PoolId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "ä", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<PoolId>().is_err(), "{bad}");
        }
    }
}
