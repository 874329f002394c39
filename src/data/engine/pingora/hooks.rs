//! Pingora's hooks: each turns what happened into an event, and an action into what
//! Pingora wants to hear. No decisions.
//!
//! Where the machine ends a request itself, the action is left with the connection
//! (`settle`) and Pingora is stopped with an error of no further meaning: the answer is
//! then written by whoever serves the connection.

use super::context::{Context, Next, stopped};
use super::heads::{
    Fields, check_for_http2, edit_request, edit_response, request_head, response_head,
};
use super::peer::peer_of;
use super::rest::Rest;
use crate::data::effects;
use crate::data::engine::lean::{self, Copying};
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::lifecycle::Lifecycle;
use crate::data::listener::carrier::{Carrier, is_ending};
use crate::data::upstream::Fault;
use crate::wire::response::check_framing;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use vanne_filters::HeadEdits;

tokio::task_local! {
    /// Whose request the present task serves: Pingora gives its hooks no other way to know.
    pub(super) static CARRIER: Arc<dyn Carrier>;
}

/// The hooks of one worker.
pub struct Hooks {
    lifecycle: Arc<Lifecycle>,
}

impl Hooks {
    /// Hooks that look at `lifecycle` for whether connections are kept.
    #[must_use]
    pub fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self { lifecycle }
    }
}

#[async_trait]
impl ProxyHttp for Hooks {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    fn init_downstream_modules(&self, _: &mut pingora_core::modules::http::HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        ctx.carrier = CARRIER.try_get().ok();
        ctx.has_body = ctx.carrier()?.open_body();
        session.set_read_timeout(None);
        // Whether the connection is kept is said with the final head, not with a 100.
        session.set_close_on_response_before_downstream_finish(false);
        // RFC 9110 §15.2: informational answers are not for HTTP/1.0.
        let is_old = session.req_header().version < Version::HTTP_11;
        session.set_ignore_info_resp(is_old);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let action = match ctx.carrier()?.cell().take_pending() {
            Some(pending) => pending,
            None => {
                let header = session.req_header();
                let fields = Fields(&header.headers);
                let head = request_head(header, &fields);
                ctx.step(Event::Request { head, has_body: ctx.has_body })
            }
        };
        ctx.begin(action)?;
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        loop {
            match ctx.next.take() {
                Some(Next::Attempt(attempt)) => {
                    let is_head = |exchange: &Exchange| {
                        exchange.facts().is_some_and(|facts| facts.method == "HEAD")
                    };
                    let is_to_head = ctx.carrier()?.cell().with_exchange(is_head);
                    let is_to_head = is_to_head.ok_or_else(stopped)?;
                    ctx.pingoras_own = (!lean::takes(&attempt)).then(|| attempt.clone());
                    return Ok(peer_of(attempt, is_to_head, &ctx.report));
                }
                Some(Next::Wait(effect)) => {
                    effects::run(effect).await;
                    let action = ctx.step(Event::Resumed);
                    ctx.begin(action)?;
                }
                None => return Err(stopped()),
            }
        }
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        is_reused: bool,
        _: &HttpPeer,
        _: RawFd,
        _: Option<&pingora_core::protocols::Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.is_reused = is_reused || ctx.report.is_reused();
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.connected(request.version)?;
        let edited = |exchange: &Exchange| {
            edit_request(exchange.request_edits(), request)?;
            let (method, target) = (request.method.as_str(), request.raw_path());
            let no_edits = HeadEdits::new();
            Ok(Copying::begin(exchange, method, target, &request.headers, &no_edits))
        };
        let copying = ctx.carrier()?.cell().with_exchange(edited);
        ctx.copying = copying.unwrap_or_else(|| Err(stopped()))?;
        let is_http2 = request.version == Version::HTTP_2;
        if let (true, Err(fault)) = (is_http2, check_for_http2(request)) {
            ctx.go_on(Event::Aborted(fault.into()))?;
        }
        if !ctx.has_body {
            ctx.send_copy();
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        part: &mut Option<Bytes>,
        is_last: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.copying.push(part.as_deref().unwrap_or_default());
        if is_last {
            ctx.send_copy();
        }
        let is_kept = ctx.carrier()?.is_kept();
        ctx.go_on(Event::RequestBody { is_last, is_kept }).map(drop)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let fields = Fields(&response.headers);
        let (status, is_http_11) = (response.status.as_u16(), response.version >= Version::HTTP_11);
        if check_framing(status, is_http_11, &fields).is_err() {
            ctx.go_on(Event::Failed(Fault::BackendMalformed))?;
        }
        if ctx.go_on(Event::Response(response_head(response, &fields)))?.is_some() {
            ctx.carrier()?.open_tunnel();
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.records = ctx
            .carrier()?
            .cell()
            .with_exchange(|exchange| {
                edit_response(exchange.response_edits(), response)?;
                Ok(exchange.is_recording())
            })
            .unwrap_or_else(|| Err(stopped()))?;
        // The version is ours to say, whatever the backend speaks (RFC 9110 §6.2).
        response.set_version(Version::HTTP_11);
        let ends_with_connection = session.req_header().version < Version::HTTP_11
            && !response.headers.contains_key(header::CONTENT_LENGTH);
        let is_final = !response.status.is_informational();
        if is_final {
            ctx.carrier()?.begin_answer();
        }
        let is_cut_short = is_final && !session.is_body_done();
        let wants_more =
            |exchange: &Exchange| exchange.facts().is_some_and(|facts| facts.wants_keep_alive);
        let is_last = ctx.carrier()?.cell().with_exchange(wants_more) != Some(true);
        if is_last
            || ends_with_connection
            || is_cut_short
            || is_ending(&**ctx.carrier()?, &self.lifecycle)
        {
            session.set_keepalive(None);
        }
        if is_final && session.as_http1().is_some() {
            ctx.rest = Rest::of(response, session.req_header().method == Method::HEAD);
            ctx.note_passed(0, false);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        part: &mut Option<Bytes>,
        is_last: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        let bytes = part.as_ref().map_or(0, Bytes::len);
        if let (true, Some(part)) = (ctx.records, part) {
            ctx.carrier()?.cell().record(part, false);
        }
        ctx.go_on(Event::ResponseBody)?;
        ctx.note_passed(bytes, is_last);
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Context,
    ) -> Result<Option<Bytes>> {
        ctx.go_on(Event::ResponseTrailers(&Fields(trailers))).map(|_| None)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.failed(&error);
        error.set_retry(false);
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        _: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        _: bool,
    ) -> Box<Error> {
        ctx.failed(&error);
        error.set_retry(false);
        error
    }

    async fn fail_to_proxy(
        &self,
        _: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        ctx.failed(error);
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    async fn logging(&self, _: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        let Some(cell) = ctx.carrier.as_ref().map(|carrier| carrier.cell()) else { return };
        if cell.is_settled() || cell.with_exchange(Exchange::is_ended) == Some(true) {
            return;
        }
        let end = match error {
            Some(_) if !ctx.is_answered() => Event::Failed(Fault::Internal),
            _ => Event::Ended,
        };
        match cell.step(end) {
            Action::Done => {}
            action => cell.settle(action),
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Context,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
