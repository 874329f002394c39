//! What can stand in a line of the access log: the table that every format reads from.
//!
//! To add a field: a variant, its row in [`FIELDS`], and its value in `data::log_line::value`.
//! The JSON line, the ECS line, format strings and the manual follow from the row.

use LogField as F;
use Place::{Line, LineIfKnown, OnlyFormats};

/// A thing that is known of a request when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogField {
    /// When it began.
    Time,
    /// Its id.
    RequestId,
    /// Where it came in.
    Listener,
    /// Who sent it.
    Client,
    /// The other end of the connection, if that is not who sent it.
    Peer,
    /// The country of who sent it.
    Country,
    /// The operator's network of who sent it.
    Asn,
    /// The method.
    Method,
    /// The host asked for.
    Host,
    /// The raw target.
    Target,
    /// The client's version of HTTP.
    Version,
    /// Status of the answer.
    Status,
    /// Status of a gRPC call.
    GrpcStatus,
    /// The route.
    Route,
    /// The pool.
    Pool,
    /// The backend of the last attempt.
    Backend,
    /// The pod that this backend is.
    Pod,
    /// Every attempt.
    Attempts,
    /// Backends that could not take the last attempt.
    LeftOut,
    /// Steps that were taken since no backend could be tried.
    Fallback,
    /// The rate limit that did more than let it pass.
    RateLimit,
    /// Who sent it, by name.
    User,
    /// The score that firewall rules gave it.
    WafScore,
    /// The score that firewall rules gave its answer.
    WafOutboundScore,
    /// The firewall rules that matched.
    WafRules,
    /// The filters of the route.
    Filters,
    /// Captured header fields.
    Headers,
    /// How it ended.
    End,
    /// Who ended it.
    By,
    /// Bytes from the client.
    BytesIn,
    /// Bytes to the client.
    BytesOut,
    /// What share of such lines is written.
    Sampled,
    /// Time in all.
    Total,
    /// Time until there was a connection.
    Connect,
    /// Time until the answer's head came.
    FirstByte,
    /// The date as in the Common Log Format.
    ClfTime,
    /// The client's address without port.
    ClientIp,
    /// The client's port.
    ClientPort,
    /// The host asked for, without port.
    HostName,
    /// Number of the client's version of HTTP.
    HttpVersion,
    /// Success or failure, in the words of ECS.
    Result,
    /// HAProxy's code for how it ended.
    TerminationState,
}

/// Where a field is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In every JSON line: `null` if it is not known.
    Line,
    /// In JSON lines where it is known.
    LineIfKnown,
    /// In format strings and in ECS only.
    OnlyFormats,
}

/// What is said of a field.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field.
    pub field: LogField,
    /// Its name in the JSON line and in format strings. `a.b` is `b` in the object `a`.
    pub name: &'static str,
    /// Its name in ECS; `None` if it says nothing there that another does not.
    pub ecs: Option<&'static str>,
    /// Where it is found.
    pub place: Place,
    /// The type of its value in JSON.
    pub kind: &'static str,
    /// What it says.
    pub doc: &'static str,
}

const fn row(
    field: LogField,
    (name, ecs): (&'static str, &'static str),
    place: Place,
    kind: &'static str,
    doc: &'static str,
) -> Row {
    let ecs = if ecs.is_empty() { None } else { Some(ecs) };
    Row { field, name, ecs, place, kind, doc }
}

/// Every field, in the order of the JSON line.
#[rustfmt::skip]
pub const FIELDS: &[Row] = &[
    row(F::Time, ("time", "@timestamp"), Line, "text", "when its first byte came; RFC 3339, UTC, microseconds"),
    row(F::RequestId, ("request_id", "http.request.id"), Line, "text", "32 hex digits; also in `x-request-id` to backend and client"),
    row(F::Listener, ("listener", "vanne.listener"), Line, "text", "where it came in"),
    row(F::Client, ("client", "client.address"), Line, "text", "who sent it: the address that a trusted proxy says, else address and port of the other end of the connection"),
    row(F::Peer, ("peer", "source.address"), LineIfKnown, "text", "the other end of the connection, if that is a trusted proxy which says that the client is another"),
    row(F::Country, ("country", "client.geo.country_iso_code"), LineIfKnown, "text", "the country of who sent it, if `geoip.country` names a file that knows it"),
    row(F::Asn, ("asn", "client.as.number"), LineIfKnown, "number", "the number of the operator's network (autonomous system) that it came from, if `geoip.asn` names a file that knows it"),
    row(F::Method, ("method", "http.request.method"), Line, "text", "as received"),
    row(F::Host, ("host", ""), Line, "text", "the host that was asked for, as received"),
    row(F::Target, ("target", "url.original"), Line, "text", "as received; values of parameters in `redact.parameters` are `***`"),
    row(F::Version, ("version", ""), Line, "text", "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2`"),
    row(F::Status, ("status", "http.response.status_code"), Line, "number", "of the answer that was sent, or would have been"),
    row(F::GrpcStatus, ("grpc_status", "vanne.grpc_status"), LineIfKnown, "number", "of a gRPC call, once it is known"),
    row(F::Route, ("route", "vanne.route"), Line, "text", "the route taken"),
    row(F::Pool, ("pool", "vanne.pool"), Line, "text", "the pool; none if the route is a redirect or a fixed answer"),
    row(F::Backend, ("backend", "vanne.backend"), Line, "text", "the backend of the last attempt"),
    row(F::Pod, ("pod", "orchestrator.resource.name"), LineIfKnown, "text", "the pod that this backend is, if it is one of Kubernetes"),
    row(F::Attempts, ("attempts", "vanne.attempts"), Line, "list", "each try: `backend`, `by` (what chose it: an algorithm, `sticky`, `queue` or `probe`), `outcome` (`success`, `slow`, `failure_…`; `client_error`: says nothing of the backend; `unseen`: neither, it did not process the request), `reason`, `reused` (a kept connection), `ms`; in a format string their number"),
    row(F::LeftOut, ("left_out", "vanne.left_out"), LineIfKnown, "text", "backends of the pool that could not take the last attempt, each with the reason; eight are named"),
    row(F::Fallback, ("fallback", "vanne.fallback"), LineIfKnown, "text", "the steps of a `fallback` that were taken, in order: `pool:lite, static:sorry`"),
    row(F::RateLimit, ("rate_limit", "vanne.rate_limit"), LineIfKnown, "text", "the rate limit that refused it or made it wait, or would have refused it (`action = \"shadow\"`)"),
    row(F::User, ("user", "user.name"), LineIfKnown, "text", "the name of who sent it, as the route's `identity` knows it"),
    row(F::WafScore, ("waf_score", "vanne.waf.score"), LineIfKnown, "number", "the score that rules of the route's `waf` gave it, if any of them matched"),
    row(F::WafOutboundScore, ("waf_outbound_score", "vanne.waf.outbound_score"), LineIfKnown, "number", "the score that these rules gave its answer, if they gave it one"),
    row(F::WafRules, ("waf_rules", "vanne.waf.rules"), LineIfKnown, "text", "ids of the rules that matched; sixteen are named"),
    row(F::Filters, ("filters", "vanne.filters"), LineIfKnown, "text", "the filters of the route, in order"),
    row(F::Headers, ("headers", "vanne.headers"), LineIfKnown, "object", "captured fields: `request` and `response`, each by name"),
    row(F::End, ("end", "event.reason"), Line, "text", "`ok`, or why Vanne ended it: see below"),
    row(F::By, ("by", "vanne.by"), Line, "text", "who is to blame: `client`, `backend`, `vanne`; none for `ok`"),
    row(F::BytesIn, ("bytes_in", "http.request.bytes"), Line, "number", "from the client, heads included; for HTTP/2 bodies and names and values of fields, not compressed"),
    row(F::BytesOut, ("bytes_out", "http.response.bytes"), Line, "number", "to the client, counted alike"),
    row(F::Sampled, ("sampled", "vanne.sampled"), LineIfKnown, "number", "the share of such requests that have a line, if not all: one line stands for 1 / `sampled` requests"),
    row(F::Total, ("ms.total", "event.duration"), Line, "number", "from its first byte to the end; milliseconds, in ECS nanoseconds"),
    row(F::Connect, ("ms.connect", "vanne.connect.duration"), Line, "number", "of the last attempt, until there was a connection"),
    row(F::FirstByte, ("ms.first_byte", "vanne.first_byte.duration"), Line, "number", "of the last attempt, until the answer's head came"),
    row(F::ClfTime, ("clf_time", ""), OnlyFormats, "text", "`time` as in the Common Log Format: `21/Nov/2025:13:04:05 +0000`"),
    row(F::ClientIp, ("client_ip", "client.ip"), OnlyFormats, "text", "`client` without port"),
    row(F::ClientPort, ("client_port", "client.port"), OnlyFormats, "number", "the port of `client`, if it is known"),
    row(F::HostName, ("host_name", "url.domain"), OnlyFormats, "text", "`host` without port"),
    row(F::HttpVersion, ("http_version", "http.version"), OnlyFormats, "text", "`1.0`, `1.1` or `2`"),
    row(F::Result, ("result", "event.outcome"), OnlyFormats, "text", "`failure` if Vanne ended it or the status is 500 or above, else `success`"),
    row(F::TerminationState, ("termination_state", ""), OnlyFormats, "text", "HAProxy's code for how it ended, like `SH--`"),
];

impl LogField {
    /// The row of this field.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FIELDS.iter().find(|row| row.name == name).map(|row| row.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_of_one_field_each_and_every_field_has_a_row() {
        let names: BTreeSet<_> = FIELDS.iter().map(|row| row.name).collect();
        let ecs: BTreeSet<_> = FIELDS.iter().filter_map(|row| row.ecs).collect();
        assert_eq!(names.len(), FIELDS.len());
        assert_eq!(ecs.len(), FIELDS.iter().filter(|row| row.ecs.is_some()).count());
        for (index, row) in FIELDS.iter().enumerate() {
            assert_eq!(LogField::named(row.name), Some(row.field));
            assert!(!FIELDS[..index].iter().any(|other| other.field == row.field), "{}", row.name);
        }
        // In the order of the variants, and the last is the last of them.
        assert!(FIELDS.is_sorted_by_key(|row| row.field as usize));
        assert_eq!(LogField::TerminationState as usize + 1, FIELDS.len());
    }
}
