//! Stickiness of an exchange: the backend that its client had, and what the client is told.

use super::Exchange;
use crate::data::pool::{Members, Out, Place, Pool, Stuck};
use http::header;

/// What the client's own backend has for it.
pub(super) enum Own {
    /// A place.
    Place(Place),
    /// No place, and the client is not to go elsewhere.
    Full,
    /// Its circuit is open, and the client is not to go elsewhere.
    Open,
    /// There is no such backend, or it is not to be used.
    None,
}

impl Exchange {
    /// A place in the backend that the client had, if the request was not there yet.
    /// `members` are its pool's.
    pub(super) fn own_place(&self, pool: &Pool, members: &Members) -> Own {
        let token = self.seen.and_then(|seen| seen.token);
        let (Some(sticky), Some(token), true) = (&pool.sticky, token, self.tried.is_empty()) else {
            return Own::None;
        };
        let Some(member) = members.by_tag(token.tag) else { return Own::None };
        if !members.keeps_clients(member) {
            let is_open = sticky.refuses_open && members.keeps_clients_but_for_circuit(member);
            return if is_open { Own::Open } else { Own::None };
        }
        let is_draining = member.backend.state.out() & Out::BY_DRAINING != 0;
        if is_draining && !sticky.keeps_draining {
            return Own::None;
        }
        if members.is_half_open(member) {
            return match pool.live.enter_as_probe(members, member) {
                Some(place) => Own::Place(place),
                None if sticky.refuses_open => Own::Open,
                None => Own::None,
            };
        }
        match pool.live.enter(member) {
            Some(place) => Own::Place(place),
            None if sticky.refuses_full => Own::Full,
            None => Own::None,
        }
    }

    /// Tells the client which backend it has from now on, and which side of a split, where that
    /// is new.
    pub(super) fn stick(&mut self) {
        let is_secure = self.is_https() || self.secures_cookies();
        if let Some(cookie) = self.cookie.take() {
            let secure = if is_secure { &b"; Secure"[..] } else { b"" };
            self.response_edits.add_written(header::SET_COOKIE, |out| {
                [cookie.as_bytes(), secure].iter().for_each(|part| out.push(part));
            });
        }
        let (Some(pool), Some(seen)) = (&self.pool, self.seen) else { return };
        let (Some(sticky), Some(attempt)) = (&pool.sticky, self.attempts.last()) else { return };
        pool.metrics.count_sticky(match seen.token {
            None => Stuck::New,
            Some(token) if token.tag == attempt.backend().tag => Stuck::Hit,
            Some(_) => Stuck::Moved,
        });
        let (tag, now) = (attempt.backend().tag, self.started_wall);
        sticky.write(seen, tag, now, &mut self.response_edits, is_secure);
    }

    /// Whether the route wants cookies to be `Secure`, however the request came.
    fn secures_cookies(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.chain.secures_cookies())
    }

    /// Names its session: the client's token, or else its connection.
    #[must_use]
    pub fn session(&self) -> u64 {
        let token = self.seen.and_then(|seen| seen.token);
        token.map_or(self.client.session, |token| token.session)
    }
}
