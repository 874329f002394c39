//! 9 · Inspecting answers: when the route's firewall looks at what a backend answers.
//!
//! The head is looked at once it is clear that the client is to get this answer: no other attempt
//! is made instead. Where rules read bodies of its type, the carrier holds the answer back, head
//! and all, while the engine passes it on as ever; when its body, or the first part, was looked at
//! it leaves, or is dropped for an answer of ours. What rules cannot read is never held back. What
//! Vanne answers itself is not looked at.

use super::events::is_event_stream;
use super::inspecting::{is_refused, length};
use super::{Action, Exchange, Phase};
use crate::data::effects::Effect;
use crate::data::listener::kept_bytes::KeptBytes;
use crate::data::refusal::Refusal;
use crate::data::waf::aside::{Aside, FROM_BYTES, Of};
use crate::data::waf::{Answers, Verdict, Waf};
use crate::types::clock;
use crate::wire::chunked::ChunkScan;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::ResponseHead;
use vanne_filters::waf::transaction::{Still, Transaction};

/// What framing and the heads of two messages may add to what is held back.
const FRAMING_BYTES_MAX: usize = 64 * 1024;
/// What may come in one wake-up after enough was there.
const MORE_BYTES_MAX: usize = 256 * 1024;
/// The most that is added to frame a part of so many bytes.
const PART_BYTES: usize = 16;

/// How far an answer is that is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Its body is collected.
    #[default]
    Collecting,
    /// The body is looked at beside the traffic.
    Inspecting,
    /// It leaves.
    LetGo,
}

/// An answer that is held back.
#[derive(Default)]
pub(super) struct HeldBack {
    at: At,
    /// What came of its body.
    body: Vec<u8>,
    chunks: ChunkScan,
    /// How much of it is held, framing and all, or a little less.
    bytes: usize,
    kept: KeptBytes,
    /// More than may be held of all messages together has come.
    is_out_of_room: bool,
    /// All of it has come.
    is_whole: bool,
    aside: Option<Arc<Aside>>,
    /// Somebody has to run that beside the engine.
    is_due: bool,
}

impl HeldBack {
    fn collect(&mut self, part: &[u8], is_chunked: bool) {
        if self.at != At::Collecting {
            return;
        }
        let Self { body, chunks, .. } = self;
        let length = if is_chunked {
            let read = chunks.each_data(part, |data| body.extend_from_slice(data));
            // Whoever passes them on finds out what is wrong with them.
            read.unwrap_or(part.len())
        } else {
            body.extend_from_slice(part);
            part.len()
        };
        self.bytes += length + length / 64 + PART_BYTES;
        self.is_out_of_room |= !self.kept.grow(length);
    }

    fn is_too_long(&self, answers: Answers) -> bool {
        self.body.len() > answers.body_bytes_max || self.bytes > framed_max(answers)
    }
}

/// How many bytes a body that is looked at may have with its framing.
fn framed_max(answers: Answers) -> usize {
    answers.body_bytes_max.saturating_mul(2).saturating_add(FRAMING_BYTES_MAX)
}

impl Exchange {
    /// How the firewall looks at the answer, if one does.
    fn looks_at_answers(&self) -> Option<Answers> {
        self.route.as_ref()?.waf.as_ref()?.answers
    }

    /// Holds the head of the final answer against the rules. `Some`: it is refused.
    pub(super) fn inspect_answer(
        &mut self,
        head: &ResponseHead<'_>,
        now: Instant,
    ) -> Option<Action> {
        // A request that was not inspected has no transaction.
        self.inspecting.transaction.as_ref()?;
        let (answers, waf) = self.looks_at_answers().zip(self.waf())?;
        let mut transaction = self.inspecting.transaction.take()?;
        let began = clock::now();
        let age = began.duration_since(self.started);
        waf.answer_head(&mut transaction, head, age);
        let is_refused = is_refused(&transaction);
        let is_held = !is_refused && answers.reads_bodies && self.reads(head, &transaction);
        if !is_refused && !is_held {
            waf.answer_body(&mut transaction, b"", age);
        }
        waf.rest(&mut transaction, if is_held { Still::Answer } else { Still::End });
        self.inspecting.spent += clock::now().duration_since(began);
        self.inspecting.transaction = Some(transaction);
        if !is_held {
            return self.conclude_answer(now);
        }
        let length = length(head.fields);
        if !answers.takes_first_part && length.is_some_and(|it| it > answers.body_bytes_max as u64)
        {
            return Some(self.refuse_answer(Verdict::TooLarge, Refusal::WafAnswerTooLarge, now));
        }
        self.inspecting.held = Some(Box::default());
        None
    }

    /// Whether the body that follows `head` is one that rules read.
    fn reads(&self, head: &ResponseHead<'_>, transaction: &Transaction) -> bool {
        let Some(facts) = &self.facts else { return false };
        let has_body = facts.method != "HEAD"
            && !matches!(head.status, 101 | 204 | 304)
            && length(head.fields) != Some(0);
        let coding = head.fields.first("content-encoding").unwrap_or_default().trim_ascii();
        let is_plain = coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
        let is_readable = has_body && is_plain && !is_event_stream(head) && facts.call.is_none();
        is_readable && transaction.wants_answer_body()
    }

    /// Takes in a part of the body of an answer that is held back.
    pub(super) fn collect(&mut self, part: &[u8], is_chunked: bool) {
        if let Some(held) = &mut self.inspecting.held {
            held.collect(part, is_chunked);
        }
    }

    /// Whether the body of the answer is wanted for the firewall.
    pub(super) fn is_collecting(&self) -> bool {
        self.inspecting.held.as_ref().is_some_and(|held| held.at == At::Collecting)
    }

    /// How many bytes of the answer the carrier may have to hold back; `None`: it may leave.
    #[must_use]
    pub fn held_back(&self) -> Option<usize> {
        let answers = self.looks_at_answers().filter(|_| self.is_held_back())?;
        Some(framed_max(answers).saturating_add(MORE_BYTES_MAX))
    }

    /// Whether the answer must not leave yet.
    pub(super) fn is_held_back(&self) -> bool {
        self.inspecting.held.as_ref().is_some_and(|held| held.at != At::LetGo)
    }

    /// Whether an answer that was held back leaves now.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.inspecting.held.as_ref().is_some_and(|held| held.at == At::LetGo)
    }

    /// What is to be run beside the engine, if there is something: then
    /// [`Event::Resumed`](super::Event::Resumed) is due.
    pub fn take_beside(&mut self) -> Option<Effect> {
        let held = self.inspecting.held.as_mut().filter(|held| held.is_due)?;
        held.is_due = false;
        held.aside.clone().map(Effect::Inspect)
    }

    /// More has come of an answer that is held back, or `is_whole`: all of it.
    pub(super) fn on_held_back(&mut self, is_whole: bool, now: Instant) -> Action {
        let looks = self.looks_at_answers().zip(self.waf());
        let (Some(held), Some((answers, waf))) = (&mut self.inspecting.held, looks) else {
            return self.refuse(Refusal::Internal, now);
        };
        held.is_whole |= is_whole;
        let is_too_long = held.is_too_long(answers);
        match held.at {
            At::Inspecting => return self.wait_for_inspection(),
            _ if held.is_out_of_room => return self.answer_is_over(&waf, now),
            _ if is_too_long && !answers.takes_first_part => {
                let (verdict, refusal) = (Verdict::TooLarge, Refusal::WafAnswerTooLarge);
                return self.refuse_answer(verdict, refusal, now);
            }
            _ if !is_too_long && !held.is_whole => return Action::Continue,
            _ => {}
        }
        let (body, is_whole) = (std::mem::take(&mut held.body), held.is_whole);
        let Some(mut transaction) = self.inspecting.transaction.take() else {
            return self.refuse(Refusal::Internal, now);
        };
        if is_whole && body.len() < FROM_BYTES {
            let began = clock::now();
            waf.answer_body(&mut transaction, &body, began.duration_since(self.started));
            waf.rest(&mut transaction, Still::End);
            self.inspecting.spent += clock::now().duration_since(began);
            self.inspecting.transaction = Some(transaction);
            return self.conclude_answer(now).unwrap_or_else(|| self.let_go(now));
        }
        let aside = Arc::new(Aside::new(&waf, transaction, body, Of::Answer, self.started));
        if let Some(held) = &mut self.inspecting.held {
            (held.at, held.aside, held.is_due) = (At::Inspecting, Some(aside), true);
        }
        self.phase = Phase::Suspended;
        self.wait_for_inspection()
    }

    /// While the engine is at work, the inspection runs beside it; then there is nothing else.
    fn wait_for_inspection(&mut self) -> Action {
        let is_whole = self.inspecting.held.as_ref().is_some_and(|held| held.is_whole);
        match is_whole.then(|| self.take_beside()).flatten() {
            Some(effect) => Action::Wait(effect),
            None => Action::Continue,
        }
    }

    /// What it waited for has come, if that was the inspection of its answer.
    pub(super) fn on_answer_inspected(&mut self, now: Instant) -> Option<Action> {
        let aside = self.inspecting.held.as_mut()?.aside.take()?;
        let waf = self.waf()?;
        let Some(done) = aside.take() else {
            self.inspecting.spent += waf.time_budget;
            return Some(self.answer_is_over(&waf, now));
        };
        self.inspecting.spent += done.spent;
        self.inspecting.transaction = Some(done.transaction);
        Some(self.conclude_answer(now).unwrap_or_else(|| self.let_go(now)))
    }

    /// The rules have said their word of the answer. `Some`: it is refused.
    fn conclude_answer(&mut self, now: Instant) -> Option<Action> {
        let transaction = self.inspecting.transaction.as_ref()?;
        if is_refused(transaction) {
            let (verdict, refusal) = (Verdict::AnswerRefused, Refusal::WafAnswerRefused);
            return Some(self.refuse_answer(verdict, refusal, now));
        }
        let is_detected = transaction.would_interrupt().is_some();
        if is_detected && self.inspecting.verdict == Some(Verdict::Passed) {
            self.inspecting.verdict = Some(Verdict::AnswerDetected);
        }
        None
    }

    /// The answer could not be inspected.
    fn answer_is_over(&mut self, waf: &Waf, now: Instant) -> Action {
        if !waf.passes_when_over {
            return self.refuse_answer(Verdict::OverRefused, Refusal::WafOverBudget, now);
        }
        self.inspecting.verdict = Some(Verdict::OverPassed);
        self.let_go(now)
    }

    /// The answer goes nowhere. To its backend's circuit it counts by its status all the same.
    fn refuse_answer(&mut self, verdict: Verdict, refusal: Refusal, now: Instant) -> Action {
        self.inspecting.verdict = Some(verdict);
        self.end_answered(now);
        self.refuse(refusal, now)
    }

    /// The answer leaves.
    fn let_go(&mut self, now: Instant) -> Action {
        let Some(held) = &mut self.inspecting.held else {
            return self.refuse(Refusal::Internal, now);
        };
        held.at = At::LetGo;
        self.is_head_sent = true;
        self.progress = now;
        if held.is_whole {
            return self.end_well();
        }
        self.phase = Phase::Streaming;
        Action::Continue
    }

    /// An answer that is held back goes nowhere, and is nobody's.
    pub(super) fn drop_held_back(&mut self) {
        if self.inspecting.held.take().is_some() {
            self.forget_recording();
        }
    }

    /// It is over: where answers are looked at, rules have their last say.
    pub fn end_inspection(&mut self) {
        if self.looks_at_answers().is_none() {
            return;
        }
        let Some((waf, mut transaction)) = self.waf().zip(self.inspecting.transaction.take())
        else {
            return;
        };
        let began = clock::now();
        waf.end(&mut transaction);
        self.inspecting.spent += clock::now().duration_since(began);
        self.note_matches(&transaction);
        self.inspecting.transaction = Some(transaction);
    }
}
