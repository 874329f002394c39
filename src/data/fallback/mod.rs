//! Fallback: what is done for a request that no backend may be tried for.
//!
//! A chain of steps, taken in turn: each either has something for the request or is passed
//! over. Which chain holds was settled when the config was compiled: the route's own, or else
//! that of the pool that the request went to first; so there is one chain for a request, and no
//! ring of pools.
//!
//! To add a kind: a file, its row in [`FALLBACKS`], and its word in `config::fallback`.

mod cached;
mod degraded;
mod fixed;
pub mod freshness;
pub mod recording;
pub mod store;

use super::page::{ErrorPages, Form, Page};
use super::pool::Pool;
use super::refusal::Refusal;
use super::target::FixedAnswer;
use crate::observe::metrics::Counter;
use crate::types::ids::PoolId;
use std::sync::Arc;
use std::time::Instant;
use store::{Asked, RouteCache};

/// A kind of fallback.
pub struct Kind {
    /// Its name in config, log, metric and answer.
    pub name: &'static str,
    /// What a step of this kind has for a request; `None`: nothing.
    pub take: fn(&What, &Need<'_>) -> Option<Taken>,
}

/// All kinds, in alphabetical order.
pub const FALLBACKS: &[Kind] = &[
    Kind { name: "cached", take: cached::take },
    Kind { name: "pool", take: degraded::take },
    Kind { name: "static", take: fixed::take },
];

/// What a step has to give.
pub enum What {
    /// Good answers of before.
    Cached,
    /// Another pool.
    Pool(Arc<Pool>),
    /// A page.
    Page(Arc<Page>),
}

/// A request that needs a fallback.
#[derive(Clone, Copy)]
pub struct Need<'a> {
    /// Why it needs one.
    pub refusal: Refusal,
    /// The form of a page that its client takes rather.
    pub form: Form,
    /// Another pool may be tried: it does no harm to send the request there.
    pub may_try: bool,
    /// It may be answered with words of ours: it asks for no tunnel.
    pub may_answer: bool,
    /// Where its answer may be, and what it asks for.
    pub cached: Option<(&'a RouteCache, &'a Asked)>,
    /// When it is.
    pub now: Instant,
}

/// What is to be done.
pub enum Taken {
    /// Try this pool.
    Pool(Arc<Pool>),
    /// Give this answer.
    Answer(FixedAnswer),
}

/// The kind called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Kind> {
    FALLBACKS.iter().find(|kind| kind.name == name)
}

/// One step of a chain.
pub struct Step {
    /// Its kind.
    pub kind: &'static Kind,
    /// What it has to give.
    pub what: What,
    /// How it is called in log, metric and answer.
    pub name: Box<str>,
    /// `vanne_fallbacks_total`.
    pub taken: Counter,
}

/// Steps that are taken in turn.
pub type Chain = Vec<Step>;

/// What stands behind the pools of a route.
#[derive(Default)]
pub struct Fallbacks {
    /// The chain for requests that went to this pool first.
    pub chains: Vec<(PoolId, Arc<Chain>)>,
    /// Where good answers are kept, if some chain gives them.
    pub cache: Option<RouteCache>,
    /// Pages for what is refused all the same.
    pub pages: ErrorPages,
}

impl Fallbacks {
    /// The chain for requests that went to `pool` first.
    #[must_use]
    pub fn chain(&self, pool: &PoolId) -> Option<&Arc<Chain>> {
        self.chains.iter().find(|(of, _)| of == pool).map(|(_, chain)| chain)
    }

    /// Other pools that requests may come to.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        let steps = self.chains.iter().flat_map(|(_, chain)| chain.iter());
        steps.filter_map(|step| match &step.what {
            What::Pool(pool) => Some(pool),
            What::Cached | What::Page(_) => None,
        })
    }
}

/// The first step of `chain`, from `next` on, that has something: where it is, and what it has.
pub fn find<'a>(
    chain: &'a Chain,
    next: usize,
    need: &Need<'_>,
) -> Option<(usize, &'a Step, Taken)> {
    let mut steps = chain.iter().enumerate().skip(next);
    steps.find_map(|(at, step)| Some((at, step, (step.kind.take)(&step.what, need)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FallbackStep;
    use crate::data::snapshot::tests::pool_of;

    fn need(may_try: bool, may_answer: bool) -> Need<'static> {
        let (refusal, form) = (Refusal::NoHealthyBackend, Form::Json);
        let now = crate::types::clock::now();
        Need { refusal, form, may_try, may_answer, cached: None, now }
    }

    fn step(name: &str, what: What) -> Step {
        let kind = by_name(name).unwrap();
        Step { kind, what, name: name.into(), taken: Counter::default() }
    }

    #[test]
    fn every_kind_has_its_word_in_the_config() {
        for kind in FALLBACKS {
            let texts = [kind.name.to_owned(), format!("{}:a", kind.name)];
            assert!(texts.iter().any(|text| text.parse::<FallbackStep>().is_ok()), "{}", kind.name);
        }
    }

    #[test]
    fn steps_are_taken_in_turn_and_what_has_nothing_is_passed_over() {
        let page = Arc::new(Page { html: Some("sorry".into()), ..Page::default() });
        let chain = vec![
            step("cached", What::Cached),
            step("pool", What::Pool(Arc::new(pool_of(1)))),
            step("static", What::Page(page)),
        ];
        let at = |next, need: &Need<'_>| find(&chain, next, need).map(|(at, ..)| at);
        assert_eq!(at(0, &need(true, true)), Some(1), "nothing is cached");
        assert_eq!(at(2, &need(true, true)), Some(2));
        assert_eq!(at(3, &need(true, true)), None);
        assert_eq!(at(0, &need(false, true)), Some(2), "not to be sent once more");
        assert_eq!(at(0, &need(false, false)), None, "a tunnel gets no page");
    }
}
