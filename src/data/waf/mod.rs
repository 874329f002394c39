//! 3 · The web application firewall: what rules say of a request.
//!
//! The rules and how they run are `vanne_filters::waf`; here is whose they are, where their memory
//! is ([`memory`]), who inspects a large body ([`aside`]), and what is told of matches
//! ([`mod@line`], `audit`, [`tally`]). When a request is inspected is `exchange::inspecting`.
//!
//! The request is inspected: its head (phase 1) and its body (phase 2). Where a firewall looks at
//! answers too, so are their heads (phase 3) and bodies (phase 4): when is
//! `exchange::inspecting_answer`; and rules of phase 5 have their say at the end. Else these rules
//! are compiled and never run.

pub mod aside;
pub(in crate::data) mod audit;
pub mod line;
pub mod memory;
mod secrets;
pub mod tally;

use super::exchange::Exchange;
use super::log_line::Redact;
use crate::observe::access_log::LogRing;
use crate::observe::metrics::{Counter, Histogram};
use crate::types::ids::WafId;
use secrets::{Secrets, is_secret};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use vanne_filters::waf::program::Program;
use vanne_filters::waf::transaction::{
    AnswerHead, Endpoint, Found, Match, Request, Still, Transaction,
};
use vanne_filters::{RequestHead, ResponseHead, Version};

/// Lines that a request has in the log at most.
const LINES_MAX: usize = 64;

/// What came of an inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rules let it pass.
    Passed,
    /// It passed, and would have been refused.
    Detected,
    /// Rules refused it.
    Refused,
    /// Its body is longer than is looked at, and it was refused.
    TooLarge,
    /// It could not be inspected, and was refused.
    OverRefused,
    /// It could not be inspected, and passed.
    OverPassed,
    /// Rules refused its answer.
    AnswerRefused,
    /// Its answer passed, and would have been refused.
    AnswerDetected,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Passed,
        Self::Detected,
        Self::Refused,
        Self::TooLarge,
        Self::OverRefused,
        Self::OverPassed,
        Self::AnswerRefused,
        Self::AnswerDetected,
    ];

    /// The label in metrics and log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Detected => "detected",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::OverRefused => "over_refused",
            Self::OverPassed => "over_passed",
            Self::AnswerRefused => "answer_refused",
            Self::AnswerDetected => "answer_detected",
        }
    }

    /// Whether rules refused it or its answer, or would have.
    #[must_use]
    pub const fn is_by_rules(self) -> bool {
        matches!(self, Self::Refused | Self::Detected | Self::AnswerRefused | Self::AnswerDetected)
    }
}

/// A firewall of the config, as it is for some of its routes.
pub struct Waf {
    /// Its name.
    pub id: WafId,
    /// Its rules. Shared with other configs while nothing in the files has changed.
    pub program: Arc<Program>,
    /// How much of a body is looked at.
    pub body_bytes_max: usize,
    /// Of a longer body the first part is looked at; else the request is refused.
    pub takes_first_part: bool,
    /// How answers are looked at, if they are.
    pub answers: Option<Answers>,
    /// The longest an inspection beside the traffic may take.
    pub time_budget: Duration,
    /// A request that could not be inspected passes.
    pub passes_when_over: bool,
    /// Matches of all requests are logged; else of those that are refused, or would be.
    pub tells_of_all: bool,
    /// The share of the requests that are inspected, in hundredths of a percent.
    pub share: u16,
    /// The log has lines as ModSecurity's audit log has them, by a server called so; else one for
    /// each match.
    pub audit: Option<Box<str>>,
    /// What is shown as `***` of what matched.
    pub redact: Redact,
    /// `vanne_waf_matches_total`, by family.
    pub families: Families,
    /// `vanne_waf_requests_total`, in the order of [`Verdict::ALL`].
    pub counts: [Counter; Verdict::ALL.len()],
    /// `vanne_waf_seconds`.
    pub duration: Histogram,
    /// Which rules have matched how often. Outlives reloads.
    pub tally: Arc<Tally>,
}

/// How a firewall looks at answers.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// How much of a body is looked at.
    pub body_bytes_max: usize,
    /// Of a longer body the first part is looked at; else the answer is refused.
    pub takes_first_part: bool,
    /// Some rule looks at bodies.
    pub reads_bodies: bool,
}

/// What counts the matches of rules, a handful of counters for all of them.
#[derive(Default)]
pub struct Families {
    /// A rule's id → its place in `counts`.
    pub of_rule: HashMap<u64, usize>,
    /// The counters.
    pub counts: Vec<Counter>,
}

impl Families {
    /// Counts a match of `rule`.
    pub fn count(&self, rule: u64) {
        let place = self.of_rule.get(&rule).and_then(|place| self.counts.get(*place));
        if let Some(count) = place {
            count.inc();
        }
    }
}

/// Matches that are told of: those of rules that log.
pub fn told(transaction: &Transaction) -> impl Iterator<Item = Match<'_>> {
    transaction.matches().filter(|found| found.about.is_logged)
}

/// Tells what came of the inspection of `exchange`, if there was one: metrics, and in `log` a line
/// for each match, or one for all.
pub fn finish(exchange: &Exchange, log: Option<&LogRing>) {
    let waf = exchange.route().and_then(|route| route.waf.as_ref());
    let (Some(inspected), Some(waf)) = (exchange.inspected(), waf) else { return };
    waf.count(inspected.verdict, inspected.spent);
    let is_refused = inspected.verdict.is_by_rules();
    let log = log.filter(|_| is_refused || waf.tells_of_all);
    if let (Some(server), Some(transaction)) = (&waf.audit, inspected.transaction)
        && let Some(ring) = log.filter(|_| audit::is_wanted(transaction))
    {
        ring.write(|out| audit::write(exchange, waf, server, transaction, out));
    }
    let log = log.filter(|_| waf.audit.is_none());
    let Some(transaction) = inspected.transaction else { return };
    let log = log.map(|ring| (ring, Secrets::of(waf, transaction)));
    for (at, found) in told(transaction).enumerate() {
        waf.families.count(found.about.id);
        waf.tally.count(&found, is_refused);
        if let Some((ring, secrets)) = log.as_ref().filter(|_| at < LINES_MAX) {
            ring.write(|out| line::write(exchange, waf, inspected.verdict, &found, secrets, out));
        }
    }
}

/// Who asks, and where.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The client, as far as it is known; port 0: not known.
    pub client: SocketAddr,
    /// Where the request came in.
    pub server: SocketAddr,
    /// The target as the client sent it.
    pub target: &'a [u8],
    /// The request's id.
    pub id: &'a [u8],
    /// Seconds since 1970.
    pub epoch_seconds: u64,
}

impl Waf {
    /// Phase 1: begins a transaction with `head`.
    /// Cost: no allocation for an ordinary request on a thread that is warm.
    #[must_use]
    pub fn begin(&self, head: &RequestHead<'_>, asker: Asker<'_>) -> Box<Transaction> {
        let mut transaction = memory::take(&self.program);
        // HTTP/2 has no Host: what it has instead stands for it.
        let host = head.authority.filter(|_| head.fields.count("host") == 0);
        memory::with_fields(head.fields, host, |fields| {
            let request = Request {
                method: head.method.as_bytes(),
                uri: asker.target,
                protocol: protocol(head.version),
                fields,
                client: endpoint(asker.client),
                server: endpoint(asker.server),
                server_name: head.host().unwrap_or_default(),
                unique_id: asker.id,
                epoch_seconds: asker.epoch_seconds,
            };
            memory::with_caches(&self.program, |caches| {
                // Whoever asks for the interruption finds it in the transaction.
                transaction.request_head(&request, caches);
            });
        });
        transaction
    }

    /// Phase 2: the body, whole or its first part, of a request that began `age` ago.
    pub fn body(&self, transaction: &mut Transaction, body: &[u8], age: Duration) {
        transaction.has_taken(age);
        memory::with_caches(&self.program, |caches| {
            transaction.request_body(body, caches);
        });
    }

    /// Whether `transaction`, which has looked at a request, is asked for later: by rules that look
    /// at answers, or by logs.
    #[must_use]
    pub fn keeps(&self, transaction: &Transaction) -> bool {
        self.answers.is_some()
            || told(transaction).next().is_some()
            || (self.audit.is_some() && audit::is_wanted(transaction))
    }

    /// Phases 1 and 2 are over, and the request waits for its backend. Cost: nothing for an ordinary
    /// GET; for what holds more, microseconds, a few hundredths of what rules took.
    pub fn rest_of_request(&self, transaction: &mut Transaction) {
        let still = if self.answers.is_some() { Still::Answer } else { Still::Logs };
        if self.keeps(transaction) {
            self.rest(transaction, still);
        }
    }

    /// The same, of an answer: for its body, or for the end.
    pub fn rest(&self, transaction: &mut Transaction, still: Still) {
        let is_secret = |found: &Found<'_>| is_secret(&self.redact, found);
        let shown = if self.audit.is_some() { audit::shown } else { line::shown };
        memory::rest(transaction, still, shown(&is_secret));
    }

    /// Phase 3: the head of the answer to a request that began `age` ago.
    pub fn answer_head(
        &self,
        transaction: &mut Transaction,
        head: &ResponseHead<'_>,
        age: Duration,
    ) {
        transaction.has_taken(age);
        memory::with_fields(head.fields, None, |fields| {
            // Vanne's own version: what it speaks with a backend is no matter of rules.
            let head = AnswerHead { status: head.status, protocol: b"HTTP/1.1", fields };
            memory::with_caches(&self.program, |caches| {
                transaction.answer_head(&head, caches);
            });
        });
    }

    /// Phase 4: the body of the answer, whole or its first part, to a request that began `age` ago.
    pub fn answer_body(&self, transaction: &mut Transaction, body: &[u8], age: Duration) {
        transaction.has_taken(age);
        memory::with_caches(&self.program, |caches| {
            transaction.answer_body(body, caches);
        });
    }

    /// Phase 5: the request is over.
    pub fn end(&self, transaction: &mut Transaction) {
        memory::with_caches(&self.program, |caches| transaction.finish(caches));
    }

    /// Counts what came of an inspection that took `spent`.
    pub fn count(&self, verdict: Verdict, spent: Duration) {
        if let Some(count) = self.counts.get(verdict as usize) {
            count.inc();
        }
        self.duration.observe(spent);
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { address: address.ip().to_canonical(), port: address.port() }
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2.0",
    }
}
