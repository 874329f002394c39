//! Admin: what operators ask of the running process, by a unix socket or an address.
//!
//! [`OPERATIONS`] lists all that can be asked, with who may: to add something, a row there or in
//! the table of its area, and a function in the file of its area. The OpenAPI document, the
//! routes and the checks below all come from that table. What happens to a request, in order:
//! `Admin::serve`.

pub mod access;
mod auth;
mod blocklist;
mod call;
mod certificates;
mod circuits;
mod config;
pub mod door;
mod log;
mod logins;
pub mod openapi;
pub mod operations;
mod pools;
pub mod problem;
mod reload;
mod routes;
mod status;
pub mod tokens;
mod wafs;

use super::own_headers::careful;
use super::steer::Wish;
use crate::data::engine::worker::Workers;
use crate::observe::audit_log::AuditLine;
use crate::observe::metrics::{ADMIN_LOGIN_FAILURES, ADMIN_REQUESTS, Counters, Metrics};
use crate::types::clock;
use crate::types::moment::Moment;
use access::{Access, Rules};
use auth::Actor;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use call::{Call, Reply};
use door::{Door, Peer};
use logins::Failures;
use operations::{OPERATIONS, Operation};
use parking_lot::Mutex;
use problem::Problem;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Longest body of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the admin API works with.
pub struct Admin {
    /// Whom it asks: who has the config.
    pub wishes: mpsc::Sender<Wish>,
    /// Who may come in.
    pub access: Arc<Access>,
    /// The workers.
    pub workers: Arc<Workers>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// When the process began.
    pub started: Moment,
    failures: Mutex<Failures>,
    requests: Counters<2>,
    login_failures: Counters<1>,
}

impl Admin {
    /// The admin API of a process that begins now.
    #[must_use]
    pub fn new(
        wishes: mpsc::Sender<Wish>,
        access: Arc<Access>,
        workers: Arc<Workers>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            started: Moment::of(clock::now()),
            failures: Mutex::default(),
            requests: Counters::new(&metrics, &ADMIN_REQUESTS),
            login_failures: Counters::new(&metrics, &ADMIN_LOGIN_FAILURES),
            wishes,
            access,
            workers,
            metrics,
        })
    }

    /// Answers whoever comes in by `door`, for ever.
    pub async fn answer(self: Arc<Self>, door: Door) {
        let mut router = Router::new();
        let mut paths: Vec<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();
        paths.dedup();
        for path in paths {
            router = router.route(path, any(answer));
        }
        let router = careful(router.fallback(answer).with_state(self));
        let service = router.into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(door, service).await {
            tracing::error!(%error, "the admin API has ended");
        }
    }

    /// What comes of a request. Who asks is noted in `note` once that is known.
    async fn serve(self: Arc<Self>, asked: Asked, note: &mut Note) -> Result<Reply, Problem> {
        let Asked { head, body, peer, path, params, rules } = asked;
        auth::guard(&head.headers, peer, &rules)?;
        let now = Moment::of(clock::now());
        let actor = auth::who(&head.headers, peer, &rules, &self.failures, now)
            .map_err(|(failure, problem)| self.refuse(failure, problem))?;
        note.actor = Some(actor.clone());
        let operation = match find(path.as_deref(), &head)? {
            Found::Operation(operation) => operation,
            Found::Methods(allow) => return Ok(Reply::methods(&allow)),
        };
        auth::may(&actor, operation.needs)?;
        auth::guard_change(&head.headers, &head.method)?;
        let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
            let detail = format!("the body is over {BODY_BYTES_MAX} bytes, or broke off: {error}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body", detail)
        })?;
        (operation.run)(Call { admin: self, actor, peer, params, uri: head.uri, body }).await
    }

    fn refuse(&self, failure: auth::LoginFailure, problem: Problem) -> Problem {
        self.login_failures.inc([failure.as_str()]);
        problem
    }

    fn count(&self, method: &Method, status: StatusCode) {
        // Anybody can make up methods; the series must stay few.
        let known = OPERATIONS.iter().any(|operation| operation.method == *method);
        let is_known = known || matches!(*method, Method::HEAD | Method::OPTIONS);
        let method = if is_known { method.as_str() } else { "other" };
        self.requests.inc([method, status.as_str()]);
    }
}

/// A request, as it came.
struct Asked {
    head: Parts,
    body: Body,
    peer: Peer,
    /// The path of the table that it fits.
    path: Option<String>,
    params: Vec<(String, String)>,
    rules: Arc<Rules>,
}

/// What is noted of a request while it is served.
#[derive(Default)]
struct Note {
    actor: Option<Actor>,
}

async fn answer(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    path: Option<MatchedPath>,
    params: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let path = path.filter(|_| params.is_ok()).map(|path| path.as_str().to_owned());
    let params = params.map(|params| params.iter().map(owned).collect()).unwrap_or_default();
    let (method, uri, rules) = (head.method.clone(), head.uri.clone(), admin.access.rules());
    let asked = Asked { head, body, peer, path, params, rules: Arc::clone(&rules) };
    let mut note = Note::default();
    let result = Arc::clone(&admin).serve(asked, &mut note).await;
    if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        let action = format!("{method} {}", uri.path());
        audit(action, peer, note.actor.as_ref(), &result).write(rules.audit_file.as_deref());
    }
    let response = respond(result);
    admin.count(&method, response.status());
    response
}

fn audit(
    action: String,
    peer: Peer,
    actor: Option<&Actor>,
    result: &Result<Reply, Problem>,
) -> AuditLine {
    let change = result.as_ref().ok().and_then(|reply| reply.change.clone()).unwrap_or_default();
    let (result, status) = match result {
        Ok(reply) => ("done".to_owned(), reply.status.as_u16()),
        Err(problem) => (problem.reason.to_owned(), problem.status),
    };
    AuditLine {
        time: AuditLine::timestamp(clock::wall()),
        who: actor.map_or("-".to_owned(), |actor| actor.name.clone()),
        role: actor.map(|actor| actor.role.as_str()),
        from: match peer {
            Peer::Socket(_) => "socket".to_owned(),
            Peer::Address(ip) => ip.to_string(),
        },
        action,
        before: change.before,
        after: change.after,
        reason: change.reason,
        result,
        status,
    }
}

fn respond(result: Result<Reply, Problem>) -> Response {
    let mut response = match result {
        Ok(reply) => reply.into_response(),
        Err(problem) => refusal(&problem),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = (header::CONTENT_TYPE, "application/problem+json");
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = (status, [kind], body).into_response();
    let ask = (status == StatusCode::UNAUTHORIZED).then(|| "Bearer".to_owned());
    let fields = [
        (header::ALLOW, problem.allow.as_deref().map(str::to_owned)),
        (header::RETRY_AFTER, problem.retry_after.map(|seconds| seconds.to_string())),
        (header::WWW_AUTHENTICATE, ask),
    ];
    for (name, value) in fields {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What a request is for.
enum Found {
    Operation(&'static Operation),
    /// Which methods there are.
    Methods(String),
}

/// What the request with this `head` is for; `path` is that of the table which it fits.
fn find(path: Option<&str>, head: &Parts) -> Result<Found, Problem> {
    let here = || OPERATIONS.iter().filter(|operation| Some(operation.path) == path);
    if here().next().is_none() {
        let mut paths: Vec<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();
        paths.dedup();
        let detail =
            format!("no path is called {}: there are {}", head.uri.path(), paths.join(", "));
        return Err(Problem::not_found("no_such_path", detail));
    }
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    if let Some(operation) = here().copied().find(|operation| operation.method == *method) {
        return Ok(Found::Operation(operation));
    }
    let mut methods = vec!["OPTIONS"];
    for operation in here() {
        methods.push(operation.method.as_str());
        methods.extend((operation.method == Method::GET).then_some("HEAD"));
    }
    methods.sort_unstable();
    let allow = methods.join(", ");
    if head.method == Method::OPTIONS {
        return Ok(Found::Methods(allow));
    }
    let detail = format!("{} is not for {}: there are {allow}", head.method, head.uri.path());
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
    Err(Problem { allow: Some(allow.into()), ..problem })
}
