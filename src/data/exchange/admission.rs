//! Stages 1 to 6 of an exchange: who asks, whether it may go on, and where to.
//!
//! What a route answers itself is in `own`.

use super::held::Until;
use super::limiting::Round;
use super::{Action, Exchange, own};
use crate::data::edits::Values;
use crate::data::effects::Effect;
use crate::data::listener::blocklist::Met;
use crate::data::listener::{admit, client, redirect};
use crate::data::pool::Pool;
use crate::data::pool::sticky::Seen;
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use crate::data::split::Split;
use crate::data::target::Target;
use crate::data::upstream::{Protocol, forward};
use crate::types::moment::Moment;
use crate::wire::invalid_head::InvalidHead;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::{RequestHead, Verdict};

impl Exchange {
    /// Stages 1 to 6: admit, route, filters, pick.
    pub(super) fn on_request(
        &mut self,
        head: &RequestHead<'_>,
        has_body: bool,
        now: Instant,
    ) -> Action {
        self.note_head(head, now);
        self.request_done = !has_body;
        self.progress = now;
        if let Err(refusal) = admit::admit(head) {
            return self.refuse(refusal, now);
        }
        let other = match self.listener.paths.apply(head) {
            Ok(other) => other,
            Err(refusal) => return self.refuse(refusal, now),
        };
        // From here on, the path is spelled as routes are, or another one that backends get.
        let target = other.as_ref().map_or(head.target, |other| other.target.as_slice());
        let head = &RequestHead { target, ..*head };
        let other_target = other.as_ref().filter(|other| other.is_passed_on).map(|_| target);
        let peer = self.client.address.ip();
        if client::is_trusted(peer, &self.listener.trusted_proxies) {
            self.claim = Some(client::claim(peer, head.fields, &self.listener.trusted_proxies));
        }
        if let Err(refusal) = self.ask_blocklist(now) {
            return self.refuse(refusal, now);
        }
        self.note_curiosity(head);
        if let Some(answer) = self.redirect(head, now) {
            return answer;
        }
        let sender = self.sender();
        let found = self.snapshot.as_ref().and_then(|all| own::route(&all.routes, head, sender));
        let Some(route) = found.cloned() else {
            return self.refuse(Refusal::NoRoute, now);
        };
        self.note_origin(head, &route);
        if let Some(answer) = self.answer_preflight(head, &route, now) {
            return answer;
        }
        self.on_round(Round::Anybody, (head, other_target), route, now)
    }

    /// Stages 3 to 6, from this round of limits on. What goes on is a head, and what the listener
    /// made of its target, if backends get that.
    pub(super) fn on_round(
        &mut self,
        round: Round,
        (head, other_target): (&RequestHead<'_>, Option<&[u8]>),
        route: Arc<Route>,
        now: Instant,
    ) -> Action {
        match self.ask_limits(round, head, &route, now) {
            Ok(None) => self.on_passed(round, (head, other_target), route, now),
            Ok(Some(effect)) => {
                self.hold((head, other_target), route, Until::Limits(round), effect)
            }
            Err(refusal) => self.refuse_on(route, refusal, now),
        }
    }

    /// The limits of this round let the request pass.
    pub(super) fn on_passed(
        &mut self,
        round: Round,
        (head, other_target): (&RequestHead<'_>, Option<&[u8]>),
        route: Arc<Route>,
        now: Instant,
    ) -> Action {
        if matches!(round, Round::Users) {
            return self.on_admitted((head, other_target), route, now);
        }
        match self.identify(head, &route, None, now) {
            Ok(None) => self.on_round(Round::Users, (head, other_target), route, now),
            Ok(Some(question)) => {
                let effect = Effect::Ask(Arc::clone(&question));
                self.hold((head, other_target), route, Until::Known(question), effect)
            }
            Err(refusal) => self.refuse_on(route, refusal, now),
        }
    }

    /// Stages 4 to 6: the request may go on.
    fn on_admitted(
        &mut self,
        (head, other_target): (&RequestHead<'_>, Option<&[u8]>),
        route: Arc<Route>,
        now: Instant,
    ) -> Action {
        let sender = self.sender();
        match &route.target {
            Target::Pool(pool) => self.prepare(head, pool),
            Target::Split(split) => self.prepare_split(head, split),
            Target::Redirect(_) | Target::Answer(_) => {}
        }
        self.tell_identity(head, &route);
        self.note_wishes(head, &route);
        let verdict = route.chain.on_request(head, &mut self.request_edits);
        let values = Values { client: sender, authority: head.authority, id: self.id };
        route.edits.on_request(head, values, &mut self.request_edits);
        if let (Some(target), None) = (other_target, self.request_edits.target()) {
            self.request_edits.set_target(target);
        }
        self.enter(Arc::clone(&route));
        if let Some(action) = self.inspect(head, &route, now) {
            return action;
        }
        match (verdict, &route.target) {
            (Verdict::Reject(rejection), _) => self.refuse(Refusal::Filter(rejection), now),
            (Verdict::Continue, Target::Split(_)) if self.pool.is_none() => {
                self.refuse(Refusal::NoWeight, now)
            }
            (Verdict::Continue, Target::Pool(_) | Target::Split(_)) => {
                self.begin_attempts(head, now)
            }
            (Verdict::Continue, Target::Redirect(redirect)) => {
                self.redirect_by(redirect, head, now)
            }
            (Verdict::Continue, Target::Answer(fixed)) => self.answer_by(fixed, now),
        }
    }

    /// Whether who sent it may come in.
    fn ask_blocklist(&self, now: Instant) -> Result<(), Refusal> {
        let Some(blocklist) = self.snapshot.as_ref().map(|all| &all.blocklist) else {
            return Ok(());
        };
        let (now, trusted) = (Moment::of(now), &self.listener.trusted_proxies);
        let is_blocked = match self.sender_behind_peer() {
            Some(sender) => blocklist.is_blocked(sender, now),
            None => blocklist.turns_away(&self.client, trusted, now),
        };
        match is_blocked {
            true => {
                blocklist.count(Met::Request);
                Err(Refusal::Blocked)
            }
            false => Ok(()),
        }
    }

    /// Goes by `route` from now on. Should a filter panic before, its answer and its line are the
    /// snapshot's.
    pub(super) fn enter(&mut self, route: Arc<Route>) {
        self.route = Some(route);
        self.snapshot = None;
    }

    /// Refuses the request on its `route`.
    fn refuse_on(&mut self, route: Arc<Route>, refusal: Refusal, now: Instant) -> Action {
        self.enter(route);
        self.refuse(refusal, now)
    }

    /// Chooses the pool of a split and gets ready for it.
    fn prepare_split(&mut self, head: &RequestHead<'_>, split: &Split) {
        if let Some(chosen) = split.choose(head, self.sender(), self.id.as_random()) {
            self.prepare(head, &chosen.pool);
            self.cookie = chosen.cookie;
        }
    }

    /// Gets ready for attempts at backends of `pool`: what changes in the head on its way there.
    fn prepare(&mut self, head: &RequestHead<'_>, pool: &Arc<Pool>) {
        self.is_websocket = admit::asks_for_websocket(head);
        forward::request_edits(
            head,
            forward::Sender { client: &self.client, claim: self.claim.as_ref() },
            self.id,
            forward::Passing {
                websocket: self.is_websocket,
                trailers: pool.wire.protocol != Protocol::Http1,
            },
            &mut self.request_edits,
        );
        self.key = pool.hash_on.key(head, self.sender());
        self.seen = pool.sticky.as_ref().map(|sticky| {
            let token = sticky.read(head, self.started_wall);
            let new = || self.id.as_random();
            Seen { session: token.map_or_else(new, |token| token.session), token }
        });
        self.pool = Some(Arc::clone(pool));
    }

    /// The answer that sends the client to HTTPS, where the listener wants that.
    fn redirect(&mut self, head: &RequestHead<'_>, now: Instant) -> Option<Action> {
        let port = self.listener.redirect_to?;
        if self.is_https() || !redirect::applies_to(head.path()) {
            return None;
        }
        let Some(host) = head.host().filter(|host| !host.is_empty()) else {
            return Some(self.refuse(InvalidHead::MissingHost.into(), now));
        };
        let Some(to) = redirect::location(host, port, head.origin_target()) else {
            return Some(self.refuse(InvalidHead::MalformedHost.into(), now));
        };
        let is_call = self.facts.as_ref().is_some_and(|facts| facts.call.is_some());
        match self.refuse(Refusal::HttpsRedirect, now) {
            // A call has no redirects: its answer says what it is in gRPC's own way.
            Action::Answer(answer) if !is_call => {
                let status = redirect::status(head.method);
                self.status = Some(status);
                Some(Action::Answer(answer.to_redirect(status, to, self.id)))
            }
            action => Some(action),
        }
    }

    /// Whether the request came by HTTPS: as a trusted peer says, or else over our own TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        let claimed = self.claim.as_ref().and_then(|claim| claim.is_https);
        claimed.unwrap_or(self.client.is_tls)
    }

    /// Who sent the request, if that is another than the peer.
    #[must_use]
    pub fn sender_behind_peer(&self) -> Option<IpAddr> {
        let sender = self.claim.as_ref().map(|claim| claim.client);
        sender.filter(|sender| *sender != self.client.address.ip())
    }

    /// Who sent the request: as far as it is known, and may be believed.
    #[must_use]
    pub fn sender(&self) -> IpAddr {
        self.claim.as_ref().map_or(self.client.address.ip(), |claim| claim.client)
    }
}
