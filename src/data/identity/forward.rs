//! Forward-auth: a service says whether a request may pass, and whose it is.
//!
//! It is asked by a GET with what the config names of the request and with what Vanne knows of its
//! way here; nothing of that is the client's word unless the config says so. What it says no with is
//! the client's to see; what it says yes with are claims. Whoever gets no answer does not pass.

use super::denied::Denied;
use super::proof::Proof;
use super::question::Question;
use super::service::{Reply, Service};
use super::{Asked, Came, Found, Shown};
use crate::data::target::FixedAnswer;
use crate::data::upstream::forward::{REQUEST_ID, way_edits};
use crate::observe::metrics::{Counter, Histogram};
use crate::types::clock;
use crate::types::ids::IdentityId;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE,
    USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use vanne_filters::{Edit, HeadEdits, RequestHead};

/// Requests that are remembered as good.
const REMEMBERED_MAX: usize = 10_000;
/// What the service sees of who asks.
const AGENT: &str = concat!("vanne/", env!("CARGO_PKG_VERSION"));

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const TARGET: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Fields of a no that the client gets.
static PASSED_ON: [HeaderName; 6] =
    [CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE];

/// A service that is asked about requests.
pub struct Forward {
    /// Whose it is.
    pub of: IdentityId,
    /// Who is asked.
    pub service: Service,
    /// Fields of the request that it gets.
    pub request_fields: Box<[HeaderName]>,
    /// The field of its answer with the user's name.
    pub user_field: HeaderName,
    /// Claims, and the fields of its answer that have them.
    pub claims: Box<[(Box<str>, HeaderName)]>,
    /// The longest it may take.
    pub timeout: Duration,
    /// Places for requests that it is asked about at once.
    pub places: Semaphore,
    /// What it said yes to a while ago, if that is remembered.
    pub remembered: Option<Remembered>,
    /// `vanne_identity_forward_seconds`.
    pub time: Histogram,
    /// `vanne_identity_forward_total`, in the order of [`Outcome::ALL`].
    pub outcomes: [Counter; Outcome::ALL.len()],
    /// It did not answer last time.
    pub is_away: AtomicBool,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Yes.
    Allowed,
    /// It was not asked: as many as may be are under way.
    Busy,
    /// There is no connection, or it ended before the answer did.
    Failed,
    /// No, or elsewhere.
    Refused,
    /// Nothing in time.
    Timeout,
    /// An answer that is neither yes nor no.
    Wrong,
}

impl Outcome {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Allowed, Self::Busy, Self::Failed, Self::Refused, Self::Timeout, Self::Wrong];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Wrong => "wrong",
        }
    }
}

type Print = [u8; 32];

/// What the service said yes to a while ago, by the SHA-256 of all that it was asked with.
pub struct Remembered {
    good: Cache<Print, Arc<(Arc<Proof>, Instant)>>,
    time: Duration,
}

impl Remembered {
    /// Nothing yet; each yes counts for `time`.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Self { good: Cache::new(REMEMBERED_MAX), time }
    }

    fn find(&self, print: &Print, now: Instant) -> Option<Arc<Proof>> {
        let good = self.good.get(print)?;
        (now < good.1).then(|| Arc::clone(&good.0))
    }
}

/// A request that the service is asked about.
pub struct Case {
    forward: Arc<Forward>,
    fields: HeaderMap,
    print: Option<Print>,
}

/// What the service says of a request: whose it is, or why it may not pass and what the client is
/// told.
pub(super) type Said = Result<Arc<Proof>, (Denied, Option<FixedAnswer>)>;

impl Forward {
    /// Whose a request is. `is_due`: it is asked whatever the request shows.
    ///
    /// # Errors
    /// What it has said; or that the request says twice who sends it.
    pub(super) fn ask(
        self: &Arc<Self>,
        shown: Shown<'_>,
        is_due: bool,
    ) -> Result<Option<Found>, Denied> {
        let has = |name: &HeaderName| shown.head.fields.first(name.as_str()).is_some();
        if !is_due && !self.request_fields.iter().any(has) {
            return Ok(None);
        }
        if let Some((answer, case)) = shown.answered.and_then(|it| it.answer().zip(it.asked_case()))
        {
            let proof = answer.clone()?;
            if let (Some(remembered), Some(print)) = (&self.remembered, case.print) {
                let until = shown.now + remembered.time;
                remembered.good.insert(print, Arc::new((Arc::clone(&proof), until)));
            }
            return Ok(Some((Asked::Known(proof), Some(Came::Verified))));
        }
        let mut fields = self.fields(shown)?;
        let print = self.remembered.as_ref().map(|_| print(&fields));
        if let (Some(remembered), Some(print)) = (&self.remembered, &print)
            && let Some(proof) = remembered.find(print, shown.now)
        {
            return Ok(Some((Asked::Known(proof), Some(Came::Cached))));
        }
        fields.extend(HeaderValue::from_bytes(&shown.id.to_hex()).ok().map(|id| (REQUEST_ID, id)));
        let case = Case { forward: Arc::clone(self), fields, print };
        Ok(Some((Asked::Wait(Arc::new(Question::case(case))), None)))
    }

    /// What it is asked with: fields of the request, and what is known of its way.
    fn fields(&self, shown: Shown<'_>) -> Result<HeaderMap, Denied> {
        if shown.head.fields.count(AUTHORIZATION.as_str()) > 1 {
            return Err(Denied::Repeated);
        }
        let mut out = HeaderMap::with_capacity(self.request_fields.len() + 8);
        for name in &self.request_fields {
            take(shown.head, name, &mut out);
        }
        if !self.request_fields.contains(&USER_AGENT) {
            out.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        }
        let mut edits = HeadEdits::new();
        way_edits(shown.head, shown.from, &mut edits);
        let way = edits.iter().filter_map(|edit| match edit {
            Edit::Set(name, value) => Some((name.clone(), value)),
            _ => None,
        });
        let method = (METHOD, shown.head.method.as_bytes());
        for (name, value) in way.chain([method, (TARGET, shown.head.origin_target())]) {
            // What cannot be said is no request that it could judge.
            let value = HeaderValue::from_bytes(value).map_err(|_form| Denied::Malformed)?;
            out.insert(name, value);
        }
        Ok(out)
    }

    /// Asks about a case.
    async fn find_out(&self, fields: &HeaderMap) -> Said {
        let Ok(_place) = self.places.try_acquire() else {
            self.count(Outcome::Busy);
            return Err((Denied::ForwardBusy, None));
        };
        let began = clock::now();
        let asked = tokio::time::timeout(self.timeout, self.service.get(fields)).await;
        self.time.observe(clock::now().saturating_duration_since(began));
        let read = match asked {
            Ok(Ok(reply)) => {
                self.read(reply).map_err(|status| (Outcome::Wrong, format!("status {status}")))
            }
            Ok(Err(why)) => Err((Outcome::Failed, why)),
            Err(_elapsed) => Err((Outcome::Timeout, format!("nothing within {:?}", self.timeout))),
        };
        match read {
            Ok(said) => {
                self.note_answer(said.is_ok());
                said
            }
            Err((outcome, why)) => {
                self.note_silence(outcome, &why);
                Err((Denied::ForwardUnavailable, None))
            }
        }
    }

    fn note_answer(&self, is_yes: bool) {
        self.count(if is_yes { Outcome::Allowed } else { Outcome::Refused });
        // Looked at first: as a rule nobody writes it.
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!(identity = %self.of, "the service that says who may pass answers again");
        }
    }

    fn note_silence(&self, outcome: Outcome, why: &str) {
        self.count(outcome);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::error!(identity = %self.of, why,
                "the service that says who may pass gives no answer: requests are refused");
        }
    }

    /// What an answer says; its status, if that says nothing.
    fn read(&self, reply: Reply) -> Result<Said, u16> {
        let denied = match reply.status {
            200..=299 => return Ok(Ok(self.proof(&reply.fields))),
            401 => Denied::ForwardUnauthorized,
            403 => Denied::ForwardForbidden,
            301 | 302 | 303 | 307 | 308 if reply.fields.contains_key(LOCATION) => {
                Denied::ForwardRedirected
            }
            status => return Err(status),
        };
        Ok(Err((denied, Some(passed_on(reply)))))
    }

    /// Whose the request is, as the fields of an answer say.
    fn proof(&self, fields: &HeaderMap) -> Arc<Proof> {
        let mut claims = Map::new();
        let named = self.claims.iter().map(|(claim, name)| (&**claim, name));
        for (claim, name) in named.chain([("sub", &self.user_field)]) {
            let texts: Option<Vec<&str>> = fields
                .get_all(name)
                .iter()
                .map(|value| std::str::from_utf8(value.as_bytes()).ok())
                .collect();
            // Several fields are one list (RFC 9110 §5.3).
            if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
                claims.insert(claim.to_owned(), Value::String(texts.join(",")));
            }
        }
        Arc::new(Proof::of(&self.of, claims, ("sub", "scope")))
    }

    fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.inc();
        }
    }
}

impl Case {
    /// Asks the service.
    pub(super) async fn find_out(&self) -> Said {
        self.forward.find_out(&self.fields).await
    }
}

/// Adds the fields of the request that are called `name`.
fn take(head: &RequestHead<'_>, name: &HeaderName, out: &mut HeaderMap) {
    let mut cookies: Vec<u8> = Vec::new();
    head.fields.each(&mut |field, value| {
        if !field.eq_ignore_ascii_case(name.as_str().as_bytes()) {
            return;
        }
        if *name != COOKIE {
            out.extend(HeaderValue::from_bytes(value).ok().map(|value| (name.clone(), value)));
            return;
        }
        // HTTP/2 may bring them one by one; in HTTP/1.1 they are one field (RFC 9113 §8.2.3).
        if !cookies.is_empty() {
            cookies.extend_from_slice(b"; ");
        }
        cookies.extend_from_slice(value);
    });
    if !cookies.is_empty() {
        out.extend(HeaderValue::from_bytes(&cookies).ok().map(|value| (COOKIE, value)));
    }
}

/// The SHA-256 of fields, each with its length before it: no two lists look alike.
fn print(fields: &HeaderMap) -> Print {
    let mut context = Context::new(&SHA256);
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// What the client gets of a no. Without a word about it, it is kept nowhere.
fn passed_on(reply: Reply) -> FixedAnswer {
    let Reply { status, fields, body } = reply;
    let is_whole = body.is_some();
    let of_body = [CONTENT_ENCODING, CONTENT_TYPE];
    let mut passed: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for name in PASSED_ON.iter().filter(|name| is_whole || !of_body.contains(name)) {
        passed.extend(fields.get_all(name).iter().map(|value| (name.clone(), value.clone())));
    }
    if !fields.contains_key(CACHE_CONTROL) {
        passed.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    }
    FixedAnswer { status, fields: passed, body: body.unwrap_or_else(Bytes::new) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Version};

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(field).collect()
    }

    #[test]
    fn no_two_lists_of_fields_look_alike() {
        let lists = [
            fields(&[]),
            fields(&[("a", "b")]),
            fields(&[("a", "bc")]),
            fields(&[("ab", "c")]),
            fields(&[("a", "b"), ("c", "")]),
            fields(&[("a", ""), ("b", "c")]),
        ];
        let prints: std::collections::BTreeSet<_> = lists.iter().map(print).collect();
        assert_eq!(prints.len(), lists.len());
        assert_eq!(print(&lists[1]), print(&fields(&[("a", "b")])));
    }

    #[test]
    fn cookies_are_one_field_and_others_as_they_came() {
        let came = FieldSlice(&[("Cookie", "a=1"), ("X-A", "1"), ("cookie", "b=2"), ("x-a", "2")]);
        let head = RequestHead::new("GET", b"/", Version::Http11, &came);
        let mut out = HeaderMap::new();
        for name in [COOKIE, HeaderName::from_static("x-a")] {
            take(&head, &name, &mut out);
        }
        let values = |name: &str| out.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            (values("cookie"), values("x-a")),
            (vec!["a=1; b=2".parse().unwrap()], vec!["1".parse().unwrap(), "2".parse().unwrap()])
        );
    }

    #[test]
    fn of_a_no_the_client_gets_what_is_meant_for_it() {
        let said =
            fields(&[("location", "/login"), ("server", "x"), ("content-type", "text/html")]);
        let reply = |body: Option<Bytes>| Reply { status: 302, fields: said.clone(), body };
        let names = |answer: &FixedAnswer| {
            answer.fields.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        let whole = passed_on(reply(Some("go".into())));
        assert_eq!((whole.status, &*whole.body), (302, &b"go"[..]));
        assert_eq!(names(&whole), ["content-type", "location", "cache-control"]);
        assert_eq!(names(&passed_on(reply(None))), ["location", "cache-control"]);
    }
}
