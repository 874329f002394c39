//! Behind: which pools always have something behind them, so that their guard is off.
//!
//! That is settled by the config and not for each request: a circuit is one for all who call its
//! backend, so it must not depend on whose call came last whether it may open.

use crate::config::{Config, FallbackStep, Route};
use crate::types::ids::PoolId;
use std::collections::BTreeMap;

/// The pools that requests of some route come to, each with whether all of those have somewhere
/// to go when nobody there takes them: further steps of the chain that holds for them.
pub(super) fn behind(config: &Config) -> BTreeMap<&PoolId, bool> {
    let mut pools = BTreeMap::new();
    let mut note = |pool, has_more: bool| *pools.entry(pool).or_insert(true) &= has_more;
    for route in &config.route {
        for first in first_pools(route) {
            // As `compile::fallback` has it: the pool that could not serve is not asked again.
            let others = chain(config, route, first).iter().map(pool_of);
            let steps: Vec<_> = others.filter(|pool| *pool != Some(first)).collect();
            note(first, !steps.is_empty());
            for (at, pool) in steps.iter().enumerate() {
                pool.iter().for_each(|pool| note(pool, at + 1 < steps.len()));
            }
        }
    }
    pools
}

/// Where requests of `route` go first.
fn first_pools(route: &Route) -> impl Iterator<Item = &PoolId> {
    let split = route.split.iter().flat_map(|split| split.pools.keys());
    route.pool.iter().chain(split)
}

/// The steps that hold for requests of `route` that went to `first`.
fn chain<'a>(config: &'a Config, route: &'a Route, first: &PoolId) -> &'a [FallbackStep] {
    let of_pool = || config.pool.get(first).map(|pool| pool.fallback.as_slice());
    route.fallback.as_deref().or_else(of_pool).unwrap_or_default()
}

/// The pool that a step leads to, if it does.
fn pool_of(step: &FallbackStep) -> Option<&PoolId> {
    match step {
        FallbackStep::Pool(pool) => Some(pool),
        FallbackStep::Cached | FallbackStep::Static(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Format, ProcessEnvironment, Source};

    /// Whether the pool `a` always has something behind it; `None`: nobody comes to it.
    fn of_a(routes: &str) -> Option<bool> {
        let text = format!(
            "[listener.http]\naddress = \"127.0.0.1:8080\"\n\
             [pool.a]\nbackends = [\"127.0.0.1:1\"]\nfallback = [\"cached\"]\n\
             [pool.b]\nbackends = [\"127.0.0.1:2\"]\n{routes}"
        );
        let source =
            Source { name: "a.toml", text: &text, format: Format::Toml, folder: ".".as_ref() };
        let config = config::parse(&source, &ProcessEnvironment).unwrap().config;
        let all = behind(&config);
        all.get(&"a".parse::<PoolId>().unwrap()).copied()
    }

    #[test]
    fn a_pool_has_something_behind_it_if_it_has_for_all_who_come() {
        let own = "[[route]]\nname = \"own\"\npool = \"a\"\n";
        let route = |name: &str, rest: &str| {
            format!("[[route]]\nname = \"{name}\"\nmatch = {{ path = \"/{name}\" }}\n{rest}\n")
        };
        for (rest, want) in [
            ("pool = \"b\"", None),
            ("pool = \"a\"", Some(true)),
            ("pool = \"a\"\nfallback = [\"pool:b\"]", Some(true)),
            ("pool = \"a\"\nfallback = []", Some(false)),
            ("pool = \"b\"\nfallback = [\"pool:a\"]", Some(false)),
            ("pool = \"b\"\nfallback = [\"pool:a\", \"cached\"]", Some(true)),
            ("split = { pools = { a = 1, b = 1 } }", Some(true)),
            ("split = { pools = { a = 1, b = 1 } }\nfallback = [\"pool:a\"]", Some(false)),
        ] {
            assert_eq!(of_a(&route("x", rest)), want, "{rest}");
            let both = format!("{own}{}", route("x", rest));
            assert_eq!(of_a(&both), Some(want.unwrap_or(true)), "beside its own: {rest}");
        }
    }
}
