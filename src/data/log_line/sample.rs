//! Which requests have a line: the first rule that fits decides what share of them.
//!
//! The request's id decides which ones, so that a line is there or not whoever asks.

use crate::data::exchange::Exchange;
use crate::data::grpc;
use crate::types::hash::mix;
use crate::types::ids::RouteId;

/// All of them, in hundredths of a percent.
pub(super) const ALL: u16 = 10_000;

/// A rule for some requests.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Those of this route; `None`: of any.
    pub route: Option<RouteId>,
    /// Those whose status is in one of these, first and last included; `None`: any, but only
    /// of requests that went well.
    pub status: Option<Vec<(u16, u16)>>,
    /// The share that has a line, in hundredths of a percent.
    pub share: u16,
}

/// The rules, in order.
#[derive(Clone, Debug, Default)]
pub struct Sampling(pub Vec<Rule>);

/// What rules look at.
#[derive(Clone, Copy)]
struct Looked<'a> {
    route: Option<&'a RouteId>,
    status: Option<u16>,
    is_refused: bool,
}

impl Sampling {
    /// The share of requests like `exchange` that has a line; `None` if this one has none.
    /// Cost: a comparison for each rule, no allocation.
    #[must_use]
    pub(super) fn choose(&self, exchange: &Exchange) -> Option<u16> {
        if self.0.is_empty() {
            return Some(ALL);
        }
        let status = exchange.call_status().map(grpc::to_http).or(exchange.status());
        let looked = Looked {
            route: exchange.route().map(|route| &route.id),
            status,
            is_refused: exchange.refusal().is_some(),
        };
        let share = self.share(looked);
        // Mirrors and splits go by the same id: what they choose is not to matter here.
        let place = mix(exchange.id.as_random()) % u64::from(ALL);
        (place < u64::from(share)).then_some(share)
    }

    fn share(&self, looked: Looked<'_>) -> u16 {
        self.0.iter().find(|rule| rule.fits(looked)).map_or(ALL, |rule| rule.share)
    }
}

impl Rule {
    fn fits(&self, looked: Looked<'_>) -> bool {
        let is_route = self.route.as_ref().is_none_or(|route| looked.route == Some(route));
        let is_in = |code: u16| move |range: &(u16, u16)| (range.0..=range.1).contains(&code);
        let is_status = match (&self.status, looked.status) {
            // An answer of 200 that was cut is none that a rule for 200 means.
            (Some(ranges), Some(status)) => {
                let is_cut = looked.is_refused && (200..300).contains(&status);
                !is_cut && ranges.iter().any(is_in(status))
            }
            (None, Some(status)) => !looked.is_refused && status < 500,
            (_, None) => false,
        };
        is_route && is_status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(route: Option<&str>, status: Option<(u16, u16)>, share: u16) -> Rule {
        let route = route.map(|name| name.parse().unwrap());
        Rule { route, status: status.map(|range| vec![range]), share }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_trouble_has_to_be_named() {
        let sampling = Sampling(vec![
            rule(Some("health"), None, 0),
            rule(None, Some((200, 299)), 1),
            rule(Some("api"), Some((404, 404)), 2),
            rule(Some("api"), None, 3),
        ]);
        let (health, api, other) =
            ("health".parse().unwrap(), "api".parse().unwrap(), "other".parse().unwrap());
        for (route, status, is_refused, want) in [
            (Some(&health), Some(200), false, 0),
            (Some(&health), Some(404), false, 0),
            (Some(&health), Some(500), false, ALL),
            (Some(&health), Some(503), true, ALL),
            (Some(&api), Some(204), false, 1),
            (Some(&api), Some(200), true, ALL),
            (Some(&api), Some(404), true, 2),
            (Some(&api), Some(302), false, 3),
            (Some(&api), None, false, ALL),
            (Some(&other), Some(302), false, ALL),
            (None, Some(200), false, 1),
            (None, Some(404), true, ALL),
        ] {
            let looked = Looked { route, status, is_refused };
            assert_eq!(sampling.share(looked), want, "{route:?} {status:?} {is_refused}");
        }
    }
}
