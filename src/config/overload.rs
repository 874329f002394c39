//! `overload = { … }`: how much is taken on at once, and what goes first when it is too much.

use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many requests are under way at once. More are refused at once with 503 `overloaded` and
/// `Retry-After`, rather than served late: routes of low `priority` first.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overload {
    /// Requests that may be under way at once, those that wait for a backend included. Routes of
    /// `priority` high may use all of it, normal ones 90 % and low ones 60 %, rounded up. Requests
    /// that a route answers itself do not count; a tunnel does while it is open. A request counts from its route on until its
    /// answer is through; one that was under way when the limit was set does not.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_in_flight: u32,
    /// After which time clients may try again: `Retry-After`, in whole seconds, rounded up.
    #[serde(default = "soon")]
    pub retry_after: Period,
}

fn soon() -> Period {
    Period::from_secs(1)
}

/// How important the requests of a route are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// They are refused last: at the limit.
    High,
    /// They are refused first: at 60 % of the limit.
    Low,
    /// They are refused at 90 % of the limit.
    Normal,
}
