//! Why *we* ended a request: one table from reason to status, label and blame.
//!
//! A refusal found before the final answer's head went to the client becomes an
//! answer with the row's status; after that the answer is cut. Every reason is
//! listed once, here; logs, metrics, answers and the breaker read this table.

use super::identity::{Denied, Told};
pub use super::party::Party;
use super::pool::Idle;
pub use crate::types::status::phrase;
use crate::wire::chunked::InvalidChunks;
use crate::wire::invalid_head::InvalidHead;
use tracing::Level;

/// Why Vanne answered a request itself, or cut its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The backend closed the connection before it answered.
    BackendClosed,
    /// The backend's answer ended before it was whole.
    BackendCut,
    /// What the backend sent is no HTTP answer.
    BackendMalformed,
    /// The backend says that it did not process the request.
    BackendRefused,
    /// The backend sent or took nothing for `between_bytes`.
    BackendStalled,
    /// Its sender's address is blocked.
    Blocked,
    /// Longer than the client of a gRPC call gives it (`grpc-timeout`).
    CallDeadline,
    /// All backends have as many requests as they may, and nobody may wait.
    BackendsFull,
    /// The request's chunked body is framed wrongly.
    Chunks(InvalidChunks),
    /// The circuit of the client's own backend is open, and it is not to go elsewhere.
    CircuitOpen,
    /// The client closed its connection.
    ClientGone,
    /// The client sent or took nothing for `between_bytes`.
    ClientStalled,
    /// No connection to the backend, for another reason than refused or time.
    ConnectFailed,
    /// The backend refused the connection.
    ConnectRefused,
    /// No connection within `connect`.
    ConnectTimeout,
    /// Its path has a segment `.` or `..`, and the listener refuses such.
    DotSegment,
    /// The process exits: the drain deadline has come.
    DrainDeadline,
    /// Its path has an encoded slash or a backslash, and the listener refuses such.
    EncodedSlash,
    /// A filter refused the request.
    Filter(vanne_filters::Rejection),
    /// No answer's head within `first_byte`.
    FirstByteTimeout,
    /// The request's head is not HTTP, or can be read in two ways.
    Head(InvalidHead),
    /// No whole request head within `head`.
    HeadTimeout,
    /// A request head longer than is taken.
    HeadTooLarge,
    /// It is to be asked for by HTTPS.
    HttpsRedirect,
    /// Who sends it is not let in, or does not say who they are.
    Identity(Denied),
    /// A fault of our own that is no panic.
    Internal,
    /// The request's body is framed wrongly otherwise: HTTP/2, and not as long as it said.
    MalformedBody,
    /// The method is not proxied.
    MethodRefused,
    /// The pool is empty.
    NoBackend,
    /// No backend of the pool is healthy.
    NoHealthyBackend,
    /// No route matches.
    NoRoute,
    /// The pool's backends have weight 0.
    NoWeight,
    /// As many requests are under way as may be, in the pool or in all.
    Overloaded,
    /// A panic while serving it.
    Panic,
    /// The listener does not speak the client's version of HTTP.
    ProtocolRefused,
    /// As many requests wait for a backend as may.
    QueueFull,
    /// No backend had a place for it in time.
    QueueTimeout,
    /// It would wait for a backend longer than it may.
    QueueTooLong,
    /// More requests than a rate limit of its route lets pass.
    RateLimited,
    /// Its path has slashes with nothing between them, and the listener refuses such.
    RepeatedSlash,
    /// TLS with the backend failed: it is not who it should be, or cannot agree.
    TlsFailed,
    /// Its client has as many requests under way as it may.
    TooManyAtOnce,
    /// The listener has `max_connections` open.
    TooManyConnections,
    /// Longer than the route's `total`.
    TotalTimeout,
    /// Nothing went through the tunnel for `tunnel_idle`.
    TunnelIdleTimeout,
    /// Rules of its firewall refuse what the backend answers.
    WafAnswerRefused,
    /// The body of the answer is longer than its firewall looks at.
    WafAnswerTooLarge,
    /// The body is longer than its firewall looks at.
    WafBodyTooLarge,
    /// It could not be inspected in time, or in the room there is.
    WafOverBudget,
    /// Rules of its firewall refuse it.
    WafRefused,
    /// It asks for a WebSocket, and the pool's backends are spoken to by HTTP/2.
    WebsocketUnsupported,
    /// Operators took all backends of the pool out.
    Withdrawn,
}

/// What a reason means, everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Label in log and metric.
    pub reason: &'static str,
    /// Status of the answer, and in the log if nothing could be sent.
    pub status: u16,
    /// Who is to blame.
    pub by: Party,
    /// How loud the log line of the fault is.
    pub level: Level,
    /// Whether another backend may be tried: this one never saw the request.
    pub is_retryable: bool,
    /// Whether a fallback may stand in: no backend could be tried, or none had an answer.
    pub falls_back: bool,
}

const fn row(reason: &'static str, status: u16, by: Party, level: Level) -> Row {
    Row { reason, status, by, level, is_retryable: false, falls_back: false }
}

const fn retryable(row: Row) -> Row {
    Row { is_retryable: true, falls_back: true, ..row }
}

const fn replaceable(row: Row) -> Row {
    Row { falls_back: true, ..row }
}

impl Refusal {
    /// The row of this reason.
    #[must_use]
    pub const fn row(self) -> Row {
        use Party::{Backend, Client, Vanne};
        const WARN: Level = Level::WARN;
        match self {
            Self::BackendClosed => replaceable(row("backend_closed", 502, Backend, WARN)),
            Self::BackendCut => row("backend_cut", 502, Backend, WARN),
            Self::BackendMalformed => replaceable(row("backend_malformed", 502, Backend, WARN)),
            Self::BackendRefused => retryable(row("backend_refused", 502, Backend, WARN)),
            Self::BackendStalled => replaceable(row("backend_stalled", 504, Backend, WARN)),
            Self::BackendsFull => replaceable(row("backends_full", 503, Vanne, WARN)),
            Self::Blocked => row("blocked", 403, Client, Level::DEBUG),
            Self::CallDeadline => row("call_deadline", 504, Client, Level::DEBUG),
            Self::Chunks(fault) => Self::row_of_chunks(fault),
            Self::CircuitOpen => replaceable(row("circuit_open", 503, Vanne, WARN)),
            Self::ClientGone => row("client_gone", 499, Client, Level::DEBUG),
            Self::ClientStalled => row("client_stalled", 408, Client, Level::DEBUG),
            Self::ConnectFailed => retryable(row("connect_failed", 502, Backend, WARN)),
            Self::ConnectRefused => retryable(row("connect_refused", 502, Backend, WARN)),
            Self::ConnectTimeout => retryable(row("connect_timeout", 504, Backend, WARN)),
            Self::DotSegment => row("dot_segment", 400, Client, Level::DEBUG),
            Self::DrainDeadline => row("drain_deadline", 503, Vanne, WARN),
            Self::EncodedSlash => row("encoded_slash", 400, Client, Level::DEBUG),
            Self::Filter(no) => row(no.reason, no.status, Client, Level::INFO),
            Self::FirstByteTimeout => replaceable(row("first_byte_timeout", 504, Backend, WARN)),
            Self::Head(fault) => Self::row_of_head(fault),
            Self::HeadTimeout => row("head_timeout", 408, Client, Level::DEBUG),
            Self::HeadTooLarge => row("head_too_large", 431, Client, Level::DEBUG),
            Self::HttpsRedirect => row("https_redirect", 308, Vanne, Level::DEBUG),
            Self::Identity(denied) => Self::row_of_identity(denied),
            Self::Internal => row("internal", 500, Vanne, Level::ERROR),
            Self::MalformedBody => row("malformed_body", 400, Client, Level::DEBUG),
            Self::MethodRefused => row("method_refused", 405, Client, Level::DEBUG),
            Self::NoBackend => replaceable(row("no_backend", 503, Vanne, WARN)),
            Self::NoHealthyBackend => replaceable(row("no_healthy_backend", 503, Vanne, WARN)),
            Self::NoRoute => row("no_route", 404, Vanne, Level::DEBUG),
            Self::NoWeight => replaceable(row("no_weight", 503, Vanne, WARN)),
            Self::Overloaded => replaceable(row("overloaded", 503, Vanne, Level::DEBUG)),
            Self::Panic => row("panic", 500, Vanne, Level::ERROR),
            Self::ProtocolRefused => row("protocol_refused", 505, Client, Level::DEBUG),
            Self::QueueFull => replaceable(row("queue_full", 503, Vanne, WARN)),
            Self::QueueTimeout => replaceable(row("queue_timeout", 503, Vanne, WARN)),
            Self::QueueTooLong => replaceable(row("queue_too_long", 503, Vanne, Level::DEBUG)),
            Self::RateLimited => row("rate_limited", 429, Client, Level::DEBUG),
            Self::RepeatedSlash => row("repeated_slash", 400, Client, Level::DEBUG),
            Self::TlsFailed => retryable(row("tls_failed", 502, Backend, WARN)),
            Self::TooManyAtOnce => row("too_many_at_once", 429, Client, Level::DEBUG),
            Self::TooManyConnections => row("too_many_connections", 503, Vanne, WARN),
            Self::TotalTimeout => row("total_timeout", 504, Vanne, WARN),
            Self::TunnelIdleTimeout => row("tunnel_idle_timeout", 504, Vanne, Level::DEBUG),
            Self::WafAnswerRefused => row("waf_answer_refused", 403, Vanne, Level::INFO),
            Self::WafAnswerTooLarge => row("waf_answer_too_large", 502, Vanne, WARN),
            Self::WafBodyTooLarge => row("waf_body_too_large", 413, Client, Level::DEBUG),
            Self::WafOverBudget => row("waf_over_budget", 503, Vanne, WARN),
            Self::WafRefused => row("waf_refused", 403, Client, Level::DEBUG),
            Self::WebsocketUnsupported => row("websocket_unsupported", 501, Vanne, Level::DEBUG),
            Self::Withdrawn => replaceable(row("withdrawn", 503, Vanne, WARN)),
        }
    }

    const fn row_of_identity(denied: Denied) -> Row {
        let (reason, status) = denied.row();
        // What the client did is no fault of ours, and what we do not know is none of its.
        match status {
            503 => row(reason, status, Party::Vanne, Level::WARN),
            _ => row(reason, status, Party::Client, Level::DEBUG),
        }
    }

    const fn row_of_chunks(fault: InvalidChunks) -> Row {
        use Party::Client;
        match fault {
            InvalidChunks::End => row("malformed_chunk_end", 400, Client, Level::DEBUG),
            InvalidChunks::Extension => row("malformed_chunk_extension", 400, Client, Level::DEBUG),
            InvalidChunks::FramingTrailer => row("framing_trailer", 400, Client, Level::DEBUG),
            InvalidChunks::Size => row("malformed_chunk_size", 400, Client, Level::DEBUG),
            InvalidChunks::Trailer => row("malformed_trailer", 400, Client, Level::DEBUG),
        }
    }

    const fn row_of_head(fault: InvalidHead) -> Row {
        use Party::Client;
        match fault {
            InvalidHead::BareLineEnd => row("bare_line_end", 400, Client, Level::DEBUG),
            InvalidHead::BlankBeforeColon => row("blank_before_colon", 400, Client, Level::DEBUG),
            InvalidHead::CodingInHttp10 => row("coding_in_http10", 400, Client, Level::DEBUG),
            InvalidHead::ControlInField => row("control_in_field", 400, Client, Level::DEBUG),
            InvalidHead::FoldedLine => row("folded_line", 400, Client, Level::DEBUG),
            InvalidHead::HostMismatch => row("host_mismatch", 400, Client, Level::DEBUG),
            InvalidHead::LengthAndCoding => row("length_and_coding", 400, Client, Level::DEBUG),
            InvalidHead::Malformed => row("malformed_head", 400, Client, Level::DEBUG),
            InvalidHead::MalformedField => row("malformed_field", 400, Client, Level::DEBUG),
            InvalidHead::MalformedHost => row("malformed_host", 400, Client, Level::DEBUG),
            InvalidHead::MalformedLength => row("malformed_length", 400, Client, Level::DEBUG),
            InvalidHead::MalformedMethod => row("malformed_method", 400, Client, Level::DEBUG),
            InvalidHead::MalformedTarget => row("malformed_target", 400, Client, Level::DEBUG),
            InvalidHead::MissingHost => row("missing_host", 400, Client, Level::DEBUG),
            InvalidHead::SeveralCodings => row("several_codings", 400, Client, Level::DEBUG),
            InvalidHead::SeveralHosts => row("several_hosts", 400, Client, Level::DEBUG),
            InvalidHead::SeveralLengths => row("several_lengths", 400, Client, Level::DEBUG),
            InvalidHead::TooManyFields => row("too_many_fields", 431, Client, Level::DEBUG),
            InvalidHead::UnknownCoding => row("unknown_coding", 501, Client, Level::DEBUG),
            InvalidHead::UnknownVersion => row("unknown_version", 505, Client, Level::DEBUG),
        }
    }

    /// Every reason but those of filters and identities.
    pub const ALL: [Self; 73] = [
        Self::BackendClosed,
        Self::BackendCut,
        Self::BackendMalformed,
        Self::BackendRefused,
        Self::BackendStalled,
        Self::BackendsFull,
        Self::Blocked,
        Self::CallDeadline,
        Self::Chunks(InvalidChunks::End),
        Self::Chunks(InvalidChunks::Extension),
        Self::Chunks(InvalidChunks::FramingTrailer),
        Self::Chunks(InvalidChunks::Size),
        Self::Chunks(InvalidChunks::Trailer),
        Self::CircuitOpen,
        Self::ClientGone,
        Self::ClientStalled,
        Self::ConnectFailed,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::DotSegment,
        Self::DrainDeadline,
        Self::EncodedSlash,
        Self::FirstByteTimeout,
        Self::Head(InvalidHead::BareLineEnd),
        Self::Head(InvalidHead::BlankBeforeColon),
        Self::Head(InvalidHead::CodingInHttp10),
        Self::Head(InvalidHead::ControlInField),
        Self::Head(InvalidHead::FoldedLine),
        Self::Head(InvalidHead::HostMismatch),
        Self::Head(InvalidHead::LengthAndCoding),
        Self::Head(InvalidHead::Malformed),
        Self::Head(InvalidHead::MalformedField),
        Self::Head(InvalidHead::MalformedHost),
        Self::Head(InvalidHead::MalformedLength),
        Self::Head(InvalidHead::MalformedMethod),
        Self::Head(InvalidHead::MalformedTarget),
        Self::Head(InvalidHead::MissingHost),
        Self::Head(InvalidHead::SeveralCodings),
        Self::Head(InvalidHead::SeveralHosts),
        Self::Head(InvalidHead::SeveralLengths),
        Self::Head(InvalidHead::TooManyFields),
        Self::Head(InvalidHead::UnknownCoding),
        Self::Head(InvalidHead::UnknownVersion),
        Self::HeadTimeout,
        Self::HeadTooLarge,
        Self::HttpsRedirect,
        Self::Internal,
        Self::MalformedBody,
        Self::MethodRefused,
        Self::NoBackend,
        Self::NoHealthyBackend,
        Self::NoRoute,
        Self::NoWeight,
        Self::Overloaded,
        Self::Panic,
        Self::ProtocolRefused,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::QueueTooLong,
        Self::RateLimited,
        Self::RepeatedSlash,
        Self::TlsFailed,
        Self::TooManyAtOnce,
        Self::TooManyConnections,
        Self::TotalTimeout,
        Self::TunnelIdleTimeout,
        Self::WafAnswerRefused,
        Self::WafAnswerTooLarge,
        Self::WafBodyTooLarge,
        Self::WafOverBudget,
        Self::WafRefused,
        Self::WebsocketUnsupported,
        Self::Withdrawn,
    ];

    /// Every reason but those of filters.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain(Denied::ALL.map(Self::Identity))
    }

    /// The reason when nobody of a pool takes requests.
    #[must_use]
    pub const fn of_idle(idle: Idle) -> Self {
        match idle {
            Idle::Empty => Self::NoBackend,
            Idle::NoWeight => Self::NoWeight,
            Idle::Unhealthy => Self::NoHealthyBackend,
            Idle::Withdrawn => Self::Withdrawn,
        }
    }

    /// The reason as clients are told: no more than lets them do better.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::Identity(denied) => match denied.told() {
                Told::How => "unauthorized",
                Told::Error(error) => error,
                Told::Forwarded | Told::Nothing => self.reason(),
            },
            _ => self.reason(),
        }
    }

    /// The label in log and metric.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().reason
    }
}

impl From<InvalidHead> for Refusal {
    fn from(fault: InvalidHead) -> Self {
        Self::Head(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_before_the_request_was_sent_are_retryable() {
        for refusal in [Refusal::BackendClosed, Refusal::FirstByteTimeout, Refusal::NoRoute] {
            assert!(!refusal.row().is_retryable, "{refusal:?}");
        }
        assert!(Refusal::ConnectRefused.row().is_retryable);
    }

    #[test]
    fn whatever_a_backend_did_before_it_answered_may_be_replaced() {
        for refusal in Refusal::all().filter(|refusal| refusal.row().by == Party::Backend) {
            let is_cut = refusal == Refusal::BackendCut;
            assert_eq!(refusal.row().falls_back, !is_cut, "{refusal:?}");
        }
    }

    #[test]
    fn the_config_knows_every_reason_that_is_answered_in_words() {
        // Cut, told to calls only, sent elsewhere, or told in a service's words.
        let silent = [
            Refusal::BackendCut,
            Refusal::CallDeadline,
            Refusal::ClientGone,
            Refusal::HttpsRedirect,
            Refusal::Identity(Denied::ForwardForbidden),
            Refusal::Identity(Denied::ForwardRedirected),
            Refusal::Identity(Denied::ForwardUnauthorized),
            Refusal::TunnelIdleTimeout,
        ];
        let spoken = Refusal::all().filter(|refusal| !silent.contains(refusal));
        let mut reasons: Vec<_> = spoken.map(Refusal::reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, crate::config::error_pages::REASONS);
    }

    #[test]
    fn all_reasons_are_listed_once() {
        let reasons: std::collections::BTreeSet<_> = Refusal::all().map(Refusal::reason).collect();
        assert_eq!(reasons.len(), Refusal::all().count());
        // As many as there are rows above; those of filters and identities have theirs elsewhere.
        let rows = include_str!("refusal.rs").matches("=> row(\"").count()
            + include_str!("refusal.rs").matches("retryable(row(\"").count()
            + include_str!("refusal.rs").matches("replaceable(row(\"").count();
        assert_eq!(rows, Refusal::ALL.len());
    }

    #[test]
    fn what_the_client_did_is_never_blamed_on_the_backend() {
        for refusal in [Refusal::ClientGone, Refusal::ClientStalled, Refusal::MalformedBody] {
            assert_eq!(refusal.row().by, Party::Client);
            assert!((400..500).contains(&refusal.row().status));
        }
    }
}
