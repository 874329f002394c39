//! 3 · Inspecting: when the route's firewall looks at a request, and what its word means.
//!
//! The head is looked at when it is whole. Where rules read bodies of its type, the body is read
//! ahead before any backend hears of the request; a large one is inspected beside the traffic.
//! What backends get is what came.

use super::expecting::expects;
use super::inspecting_answer::HeldBack;
use super::{Action, Exchange, Phase};
use crate::data::effects::Effect;
use crate::data::listener::body_ahead::Ahead;
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use crate::data::target::Target;
use crate::data::upstream::Fault;
use crate::data::waf::aside::{Aside, FROM_BYTES, Of};
use crate::data::waf::{self, Asker, Verdict, Waf, memory};
use crate::types::clock;
use crate::wire::bytes::parse_length;
use http::header;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use vanne_filters::waf::transaction::Transaction;
use vanne_filters::{FieldList, RequestHead};

/// Rules that the access log names, of one request.
const RULES_TOLD_MAX: usize = 16;

/// What the firewall has to do with a request.
#[derive(Default)]
pub(super) struct Inspecting {
    /// While it is inspected, and afterwards if there is something to tell.
    pub(super) transaction: Option<Box<Transaction>>,
    /// What inspects its body.
    aside: Option<Arc<Aside>>,
    /// Its answer, from when it is held back.
    pub(super) held: Option<Box<HeldBack>>,
    pub(super) spent: Duration,
    pub(super) verdict: Option<Verdict>,
    score: u64,
    outbound_score: u64,
    /// Rules that matched, for the access log.
    rules: String,
}

/// What the firewall came to.
#[derive(Clone, Copy)]
pub struct Inspected<'a> {
    /// Its word.
    pub verdict: Verdict,
    /// The time that it took.
    pub spent: Duration,
    /// The score of the request.
    pub score: u64,
    /// The score of its answer.
    pub outbound_score: u64,
    /// Ids of rules that matched, with blanks between them.
    pub rules: &'a str,
    /// With all that there is to tell of matches, if there were any.
    pub transaction: Option<&'a Transaction>,
}

impl Exchange {
    /// Holds the head against the rules of `route`. `Some`: it does not go on yet, or not at all.
    pub(super) fn inspect(
        &mut self,
        head: &RequestHead<'_>,
        route: &Route,
        now: Instant,
    ) -> Option<Action> {
        let waf = route.waf.as_ref()?;
        if self.id.as_random() % 10_000 >= u64::from(waf.share) {
            return None;
        }
        if waf.answers.is_some_and(|answers| answers.reads_bodies) {
            // Rules cannot read what is compressed.
            self.request_edits.set(header::ACCEPT_ENCODING, "identity");
        }
        let began = clock::now();
        let mut transaction = self.begin_inspection(waf, head);
        let passes_body = matches!(route.target, Target::Pool(_) | Target::Split(_));
        // To who speaks HTTP/1.1, what says that it is a call is a body like another.
        let is_call = self.facts.as_ref().is_some_and(|facts| facts.call.is_some())
            && route.target.takes_calls();
        // A handshake for a tunnel has no body; what says so and has one is no handshake.
        let has_body = !self.request_done && passes_body && !is_call;
        if has_body && !is_refused(&transaction) && transaction.reads_request_body() {
            self.inspecting.spent = clock::now().duration_since(began);
            self.inspecting.transaction = Some(transaction);
            return Some(self.read_body(waf, head, now));
        }
        if !is_refused(&transaction) {
            waf.body(&mut transaction, b"", began.duration_since(self.started));
        }
        self.inspecting.spent = clock::now().duration_since(began);
        self.conclude(transaction, now)
    }

    fn begin_inspection(&self, waf: &Waf, head: &RequestHead<'_>) -> Box<Transaction> {
        let since = self.started_wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let asker = Asker {
            client: self.sender_socket(),
            server: self.listener.address,
            target: self.texts.target(),
            id: &self.id.to_hex(),
            epoch_seconds: since.as_secs(),
        };
        waf.begin(head, asker)
    }

    /// Who sends it; port 0: not known.
    pub(in crate::data) fn sender_socket(&self) -> SocketAddr {
        let (address, known) = (self.sender(), self.client.address);
        let port = if known.ip() == address { known.port() } else { 0 };
        SocketAddr::new(address, port)
    }

    /// The body is to be read ahead, unless it is said to be too long.
    fn read_body(&mut self, waf: &Waf, head: &RequestHead<'_>, now: Instant) -> Action {
        let is_too_long = length(head.fields).is_some_and(|it| it > waf.body_bytes_max as u64);
        if is_too_long && !waf.takes_first_part {
            return self.not_inspected(Verdict::TooLarge, Refusal::WafBodyTooLarge, now);
        }
        self.read_ahead(waf.body_bytes_max, expects(head), now)
    }

    /// The body was read ahead.
    pub(super) fn on_body(&mut self, body: Vec<u8>, end: Ahead, now: Instant) -> Action {
        let (waf, transaction) = (self.waf(), self.inspecting.transaction.take());
        match end {
            Ahead::Fault(Fault::ClientGone) => return self.refuse(Refusal::ClientGone, now),
            Ahead::Fault(fault) => return self.on_fault(fault, now),
            Ahead::More | Ahead::NoRoom | Ahead::TooLong | Ahead::Whole => {}
        }
        let (Some(waf), Some(mut transaction)) = (waf, transaction) else {
            // Nobody wanted it but for its client's sake.
            return self.first_attempt(now);
        };
        match end {
            Ahead::TooLong if !waf.takes_first_part => {
                return self.not_inspected(Verdict::TooLarge, Refusal::WafBodyTooLarge, now);
            }
            Ahead::NoRoom => return self.over(&waf, now),
            Ahead::More | Ahead::TooLong | Ahead::Whole | Ahead::Fault(_) => {}
        }
        if body.len() >= FROM_BYTES {
            let aside = Aside::new(&waf, transaction, body, Of::Request, self.started);
            let aside = Arc::new(aside);
            self.inspecting.aside = Some(Arc::clone(&aside));
            self.phase = Phase::Suspended;
            return Action::Wait(Effect::Inspect(aside));
        }
        let began = clock::now();
        waf.body(&mut transaction, &body, began.duration_since(self.started));
        self.inspecting.spent += clock::now().duration_since(began);
        self.conclude(transaction, now).unwrap_or_else(|| self.first_attempt(now))
    }

    /// What it waited for has come, if that was an inspection.
    pub(super) fn on_inspection_over(&mut self, now: Instant) -> Option<Action> {
        self.on_inspected(now).or_else(|| self.on_answer_inspected(now))
    }

    fn on_inspected(&mut self, now: Instant) -> Option<Action> {
        let aside = self.inspecting.aside.take()?;
        let waf = self.waf()?;
        let Some(done) = aside.take() else {
            self.inspecting.spent += waf.time_budget;
            return Some(self.over(&waf, now));
        };
        self.inspecting.spent += done.spent;
        let refused = self.conclude(done.transaction, now);
        Some(refused.unwrap_or_else(|| self.first_attempt(now)))
    }

    pub(super) fn waf(&self) -> Option<Arc<Waf>> {
        self.route.as_ref()?.waf.clone()
    }

    /// It could not be inspected.
    fn over(&mut self, waf: &Waf, now: Instant) -> Action {
        if !waf.passes_when_over {
            return self.not_inspected(Verdict::OverRefused, Refusal::WafOverBudget, now);
        }
        self.inspecting.verdict = Some(Verdict::OverPassed);
        self.first_attempt(now)
    }

    fn not_inspected(&mut self, verdict: Verdict, refusal: Refusal, now: Instant) -> Action {
        self.inspecting.transaction.take().into_iter().for_each(memory::give);
        self.inspecting.verdict = Some(verdict);
        self.refuse(refusal, now)
    }

    /// The rules have said their word. `Some`: it is refused.
    fn conclude(&mut self, mut transaction: Box<Transaction>, now: Instant) -> Option<Action> {
        let verdict = match (is_refused(&transaction), transaction.would_interrupt()) {
            (true, _) => Verdict::Refused,
            (false, Some(_)) => Verdict::Detected,
            (false, None) => Verdict::Passed,
        };
        self.inspecting.verdict = Some(verdict);
        self.note_matches(&transaction);
        let waf = self.route.as_ref().and_then(|route| route.waf.as_ref());
        match waf.filter(|waf| waf.keeps(&transaction)) {
            Some(waf) => {
                waf.rest_of_request(&mut transaction);
                self.inspecting.transaction = Some(transaction);
            }
            None => memory::give(transaction),
        }
        (verdict == Verdict::Refused).then(|| self.refuse(Refusal::WafRefused, now))
    }

    /// Notes which rules have matched so far.
    pub(super) fn note_matches(&mut self, transaction: &Transaction) {
        let Inspecting { rules, score, outbound_score, .. } = &mut self.inspecting;
        rules.clear();
        for (at, found) in waf::told(transaction).enumerate() {
            *score = (*score).max(u64::try_from(found.inbound_score).unwrap_or(0));
            let outbound = u64::try_from(found.outbound_score).unwrap_or(0);
            *outbound_score = (*outbound_score).max(outbound);
            if at >= RULES_TOLD_MAX {
                continue;
            }
            rules.push_str(if at > 0 { " " } else { "" });
            rules.push_str(itoa::Buffer::new().format(found.about.id));
        }
    }

    /// What its route's firewall came to, if it was asked.
    #[must_use]
    pub fn inspected(&self) -> Option<Inspected<'_>> {
        let of_it = &self.inspecting;
        Some(Inspected {
            verdict: of_it.verdict?,
            spent: of_it.spent,
            score: of_it.score,
            outbound_score: of_it.outbound_score,
            rules: &of_it.rules,
            transaction: of_it.transaction.as_deref(),
        })
    }

    /// It is over: what is left of its inspection is the next one's.
    pub(super) fn leave_inspection(&mut self) {
        self.inspecting.transaction.take().into_iter().for_each(memory::give);
    }
}

/// The length that a head says, if it says one.
pub(super) fn length(fields: &dyn FieldList) -> Option<u64> {
    parse_length(fields.first("content-length")?.trim_ascii())
}

pub(super) fn is_refused(transaction: &Transaction) -> bool {
    transaction.interruption().is_some()
}
