//! What each field is for a request: the one place that looks, for every format.

use super::{LogPlan, dates, escape, sample, termination};
use crate::data::exchange::{Exchange, Facts, Inspected};
use crate::data::finish::Traffic;
use crate::data::listener::places::Places;
use crate::data::refusal::{Party, Refusal};
use crate::data::upstream::AttemptRecord;
use crate::types::country::Country;
use crate::types::log_field::LogField as F;
use crate::types::request_id::RequestId;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};
use vanne_filters::Version;
use vanne_filters::head::without_port;

/// A request that is over, as its line sees it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) plan: &'a LogPlan,
    pub(super) traffic: Traffic,
    /// When it ended.
    pub(super) now: Instant,
    /// The share of such requests that has a line, in hundredths of a percent.
    pub(super) share: u16,
}

/// What a field is.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// Not known.
    None,
    /// What a client or a backend sent: anything may be in it.
    Raw(&'a [u8]),
    /// The same, with parameters in it that may be secrets.
    Target(&'a [u8]),
    /// A word of ours or of the config: nothing in it needs care.
    Word(&'a str),
    /// The request's id.
    Id(RequestId),
    /// A time, to be written in full.
    Time(SystemTime),
    /// A time as in the Common Log Format.
    ClfTime(SystemTime),
    /// An address with a port.
    Socket(SocketAddr),
    /// An address.
    Ip(IpAddr),
    /// A number.
    Number(u64),
    /// A length of time.
    Period(Duration),
    /// A share, in hundredths of a percent.
    Share(u16),
    /// The attempts.
    Attempts,
    /// The captured fields.
    Headers,
    /// HAProxy's two characters, and two for cookies that there are not.
    Termination(char, char),
}

impl<'a> View<'a> {
    /// What `field` is.
    pub(super) fn value(&self, field: F) -> Value<'a> {
        let (exchange, facts) = (self.exchange, self.exchange.facts());
        let last = exchange.attempts.last();
        let row = exchange.refusal().map(Refusal::row);
        match field {
            F::Time => Value::Time(exchange.started_wall),
            F::ClfTime => Value::ClfTime(exchange.started_wall),
            F::RequestId => Value::Id(exchange.id),
            F::Listener => Value::Word(exchange.listener.id.as_str()),
            F::Client => match self.claimed() {
                Some(ip) => Value::Ip(ip),
                None => Value::Socket(exchange.client.address),
            },
            F::Peer if self.claimed().is_some() => Value::Socket(exchange.client.address),
            F::Peer => Value::None,
            F::Country => word(
                self.places().and_then(|it| it.country(exchange.sender())).map(Country::as_str),
            ),
            F::Asn => number(self.places().and_then(|it| it.asn(exchange.sender()))),
            F::ClientIp => Value::Ip(exchange.sender()),
            F::ClientPort => self.client_port().map_or(Value::None, Value::Number),
            F::Method => word(facts.map(|facts| facts.method.as_str())),
            F::Host => raw(exchange.texts().authority()),
            F::HostName => raw(exchange.texts().authority().map(without_port)),
            F::Target => facts.map_or(Value::None, |_| Value::Target(exchange.texts().target())),
            F::Version => word(facts.map(|facts| facts.version.as_str())),
            F::HttpVersion => word(facts.map(number_of)),
            F::Status => number(exchange.status()),
            F::GrpcStatus => number(exchange.call_status()),
            F::Route => word(exchange.route().map(|route| route.id.as_str())),
            F::Pool => word(exchange.pool().map(|pool| pool.id.as_str())),
            F::Backend => word(last.map(|attempt| &*attempt.backend().name)),
            F::Pod => word(last.and_then(|it| it.backend().pod.as_ref()?.name.as_deref())),
            F::Attempts => Value::Attempts,
            F::LeftOut => word(exchange.left_out().map(|names| &**names)),
            F::Fallback => word(exchange.fallback()),
            F::RateLimit => word(exchange.limited().map(|limited| limited.limit.id.as_str())),
            F::User => raw(exchange.user().map(str::as_bytes)),
            F::WafScore => number(self.matched().map(|it| it.score)),
            F::WafOutboundScore => {
                number(self.matched().map(|it| it.outbound_score).filter(|score| *score > 0))
            }
            F::WafRules => word(self.matched().map(|it| it.rules)),
            F::Filters => word(exchange.route().and_then(|route| route.chain.names())),
            F::Headers if self.plan.capture.is_empty() => Value::None,
            F::Headers => Value::Headers,
            F::End => Value::Word(row.map_or("ok", |row| row.reason)),
            F::By => word(row.map(|row| Party::as_str(row.by))),
            F::Result => Value::Word(self.result()),
            F::BytesIn => Value::Number(self.traffic.bytes_in),
            F::BytesOut => Value::Number(self.traffic.bytes_out),
            F::Sampled if self.share == sample::ALL => Value::None,
            F::Sampled => Value::Share(self.share),
            F::Total => Value::Period(self.now.duration_since(exchange.started)),
            F::Connect => period(last.and_then(|it| Some(it.connected?.duration_since(it.began)))),
            F::FirstByte => {
                period(last.and_then(|it| Some(it.first_byte?.duration_since(it.began))))
            }
            F::TerminationState => {
                let (how, when) = termination(exchange);
                Value::Termination(how, when)
            }
        }
    }

    /// Where addresses are, if anything says so.
    fn places(&self) -> Option<&'a Places> {
        self.plan.places.as_deref()
    }

    /// What its firewall came to, if rules matched.
    fn matched(&self) -> Option<Inspected<'a>> {
        self.exchange.inspected().filter(|inspected| !inspected.rules.is_empty())
    }

    /// Who sent it, if that is not the other end of the connection.
    fn claimed(&self) -> Option<IpAddr> {
        let sender = self.exchange.sender();
        Some(sender).filter(|ip| *ip != self.exchange.client.address.ip())
    }

    /// The port of who sent it, if that is the other end of the connection.
    pub(super) fn client_port(&self) -> Option<u64> {
        let port = || self.exchange.client.address.port().into();
        self.claimed().is_none().then(port)
    }

    /// ECS: `event.outcome`.
    fn result(&self) -> &'static str {
        let exchange = self.exchange;
        let is_bad =
            exchange.refusal().is_some() || exchange.status().is_none_or(|code| code >= 500);
        if is_bad { "failure" } else { "success" }
    }

    /// How long `attempt` took, or has taken so far.
    pub(super) fn time_of(&self, attempt: &AttemptRecord) -> Duration {
        attempt.ended.unwrap_or(self.now).duration_since(attempt.began)
    }
}

/// The number of the client's version of HTTP.
fn number_of(facts: &Facts) -> &'static str {
    match facts.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}

fn word(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::None, Value::Word)
}

fn raw(text: Option<&[u8]>) -> Value<'_> {
    text.map_or(Value::None, Value::Raw)
}

fn number<'a>(number: Option<impl Into<u64>>) -> Value<'a> {
    number.map_or(Value::None, |number| Value::Number(number.into()))
}

fn period<'a>(time: Option<Duration>) -> Value<'a> {
    time.map_or(Value::None, Value::Period)
}

impl Value<'_> {
    /// Appends what looks the same in every format, without quotes; nothing of the others.
    /// Cost: no allocation.
    pub(super) fn write_plain(self, out: &mut Vec<u8>) {
        match self {
            Self::Word(text) => out.extend_from_slice(text.as_bytes()),
            Self::Id(id) => out.extend_from_slice(&id.to_hex()),
            Self::Time(wall) => dates::rfc3339(wall, out),
            Self::ClfTime(wall) => dates::clf(wall, out),
            Self::Socket(address) => socket(address, out),
            Self::Ip(address) => ip(address, out),
            Self::Number(number) => integer(number, out),
            Self::Period(time) => millis(time, out),
            Self::Share(points) => {
                integer(u64::from(points / sample::ALL), out);
                out.push(b'.');
                dates::digits(u32::from(points % sample::ALL), 1000, out);
            }
            Self::Termination(how, when) => {
                let ascii = |c: char| u8::try_from(c).unwrap_or(b'-');
                out.extend_from_slice(&[ascii(how), ascii(when), b'-', b'-']);
            }
            Self::None | Self::Raw(_) | Self::Target(_) | Self::Attempts | Self::Headers => {}
        }
    }
}

/// Appends a number.
pub(super) fn integer(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends milliseconds with microsecond precision.
pub(super) fn millis(time: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    integer(micros / 1000, out);
    out.push(b'.');
    dates::digits(u32::try_from(micros % 1000).unwrap_or(0), 100, out);
}

pub(super) fn ip(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (index, part) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                integer(part.into(), out);
            }
        }
        // Writing into memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn socket(address: SocketAddr, out: &mut Vec<u8>) {
    let is_v6 = address.is_ipv6();
    if is_v6 {
        out.push(b'[');
    }
    ip(address.ip(), out);
    if is_v6 {
        out.push(b']');
    }
    out.push(b':');
    integer(address.port().into(), out);
}

/// Appends a target with its secrets hidden, each run by `escape`.
pub(super) fn target(plan: &LogPlan, text: &[u8], out: &mut Vec<u8>, escape: Escape) {
    plan.redact.each(text, |run| escape(run, out));
}

/// Appends a text so that it stays in its place.
pub(super) type Escape = fn(&[u8], &mut Vec<u8>);

/// The escape of JSON strings.
pub(super) const JSON: Escape = escape::json;
/// The escape of plain lines.
pub(super) const TEXT: Escape = escape::text;
