//! A line of the firewalls' log as ModSecurity 3 writes its audit log in JSON: one for each request.
//!
//! Parts A, B, F, H and Z; bodies are not written. Which requests have a line is what the rules say
//! (`SecAuditEngine`, `auditlog`). Secrets are shown as `***`, as in [`line`](super::line), and what
//! clients and backends sent is cut. Not known here, and so empty: `reference`, which is of places
//! in the request.

use super::secrets::Secrets;
use super::{Waf, line};
use crate::data::exchange::Exchange;
use crate::data::log_line::HIDDEN;
use crate::data::log_line::{asctime, escape_json};
use std::io::Write;
use vanne_filters::Version;
use vanne_filters::waf::seclang::settings::{AuditMode, EngineMode};
use vanne_filters::waf::transaction::{Found, Match, Shown, Transaction};

/// The longest text of a head in a line.
const HEAD_BYTES_MAX: usize = 4096;
/// The longest text of a rule's in a line.
const TEXT_BYTES_MAX: usize = 1024;
/// Characters of a value that matched.
const VALUE_CHARACTERS_MAX: usize = 100;
/// Who writes.
const PRODUCER: &str = concat!("Vanne v", env!("CARGO_PKG_VERSION"));

/// Whether `transaction` is to have a line.
pub(in crate::data) fn is_wanted(transaction: &Transaction) -> bool {
    match transaction.audit() {
        AuditMode::On => true,
        AuditMode::RelevantOnly => audited(transaction).next().is_some(),
        AuditMode::Off => false,
    }
}

fn audited(transaction: &Transaction) -> impl Iterator<Item = Match<'_>> {
    transaction.matches().filter(|found| found.about.is_audited)
}

/// What a line shows of matches.
pub(super) fn shown(is_secret: &dyn Fn(&Found<'_>) -> bool) -> Shown<'_> {
    Shown {
        rules: super::LINES_MAX,
        is_last: true,
        said_bytes: TEXT_BYTES_MAX,
        name_bytes: TEXT_BYTES_MAX,
        value_bytes: VALUE_CHARACTERS_MAX,
        is_secret,
    }
}

/// Appends the line for `exchange`, of the server called `server`.
pub(super) fn write(
    exchange: &Exchange,
    waf: &Waf,
    server: &str,
    transaction: &Transaction,
    out: &mut Vec<u8>,
) {
    let (client, host) = (exchange.sender_socket(), exchange.listener.address);
    out.extend_from_slice(b"{\"transaction\":{");
    // Addresses and ids are plain, and writing into memory does not fail.
    drop(write!(out, "\"client_ip\":\"{}\",\"time_stamp\":\"", client.ip()));
    asctime(exchange.started_wall, out);
    drop(write!(
        out,
        "\",\"server_id\":\"{server}\",\"client_port\":{},\"host_ip\":\"{}\",\"host_port\":{},\
         \"unique_id\":\"{}\"",
        client.port(),
        host.ip(),
        host.port(),
        exchange.id,
    ));
    let secrets = Secrets::of(waf, transaction);
    out.extend_from_slice(b",\"request\":{");
    request(exchange, &secrets, out);
    fields(&secrets, transaction.request_fields(), out);
    drop(write!(out, "}},\"response\":{{\"http_code\":{}", exchange.status().unwrap_or(0)));
    fields(&secrets, transaction.answer_fields(), out);
    out.extend_from_slice(b"},\"producer\":{");
    producer(transaction, out);
    out.extend_from_slice(b"},\"messages\":[");
    for (at, found) in audited(transaction).take(super::LINES_MAX).enumerate() {
        out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
        message(&secrets, &found, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}}");
}

fn request(exchange: &Exchange, secrets: &Secrets<'_>, out: &mut Vec<u8>) {
    let facts = exchange.facts();
    out.extend_from_slice(b"\"method\":\"");
    escape_json(facts.map_or("", |facts| facts.method.as_str()).as_bytes(), out);
    let version = match facts.map_or(Version::Http11, |facts| facts.version) {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2.0",
    };
    drop(write!(out, "\",\"http_version\":{version},\"uri\":\""));
    let target = line::cut(exchange.texts().target(), HEAD_BYTES_MAX);
    escape_json(&secrets.without(target), out);
    out.push(b'"');
}

fn fields<'a>(
    secrets: &Secrets<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b",\"headers\":{");
    for (at, (name, value)) in fields.enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        escape_json(name, out);
        out.extend_from_slice(b"\":\"");
        match secrets.hides_field(name) {
            true => out.extend_from_slice(HIDDEN),
            false => escape_json(&secrets.without(line::cut(value, HEAD_BYTES_MAX)), out),
        }
        out.push(b'"');
    }
    out.push(b'}');
}

fn producer(transaction: &Transaction, out: &mut Vec<u8>) {
    let engine = match transaction.engine() {
        EngineMode::On => "Enabled",
        EngineMode::DetectionOnly => "DetectionOnly",
        EngineMode::Off => "Disabled",
    };
    drop(write!(
        out,
        "\"modsecurity\":\"{PRODUCER}\",\"connector\":\"{PRODUCER}\",\
         \"secrules_engine\":\"{engine}\",\"components\":["
    ));
    let components = &transaction.program().settings().components;
    list(components.iter().map(String::as_str), out);
    out.push(b']');
}

fn list<'a>(texts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for (at, text) in texts.enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        escape_json(line::cut(text.as_bytes(), TEXT_BYTES_MAX), out);
        out.push(b'"');
    }
}

fn message(secrets: &Secrets<'_>, found: &Match<'_>, out: &mut Vec<u8>) {
    let about = found.about;
    let is_secret = secrets.hides(found);
    let mut text = |name: &str, text: &[u8]| {
        drop(write!(out, "\"{name}\":\""));
        escape_json(line::cut(text, TEXT_BYTES_MAX), out);
        out.push(b'"');
    };
    text("message", secrets.shown(found.message));
    out.extend_from_slice(b",\"details\":{");
    let mut text = |name: &str, text: &[u8]| {
        drop(write!(out, "\"{name}\":\""));
        escape_json(line::cut(text, TEXT_BYTES_MAX), out);
        out.extend_from_slice(b"\",");
    };
    text("match", &matched(found, is_secret));
    text("reference", b"");
    text("ruleId", about.id.to_string().as_bytes());
    text("file", about.file.as_bytes());
    text("lineNumber", about.line.to_string().as_bytes());
    text("data", if is_secret { HIDDEN } else { found.data });
    text("severity", about.severity.unwrap_or_default().to_string().as_bytes());
    text("ver", about.version.as_bytes());
    text("rev", about.revision.as_bytes());
    out.extend_from_slice(b"\"tags\":[");
    list(about.tags.iter().take(line::TAGS_MAX).map(|tag| &**tag), out);
    let (maturity, accuracy) = (about.maturity, about.accuracy);
    drop(write!(out, "],\"maturity\":\"{maturity}\",\"accuracy\":\"{accuracy}\"}}"));
}

/// What ModSecurity says of a match: the last value of its last link.
fn matched(found: &Match<'_>, is_secret: bool) -> Vec<u8> {
    let about = found.about;
    let Some(last) = found.found().last().filter(|_| !about.operator.is_empty()) else {
        return Vec::new();
    };
    match &*about.operator {
        "DetectSQLi" => return b"detected SQLi using libinjection.".to_vec(),
        "DetectXSS" => return b"detected XSS using libinjection.".to_vec(),
        _ => {}
    }
    let mut out = Vec::new();
    let (operator, parameter) = (&about.operator, &about.parameter);
    drop(write!(
        out,
        "Matched \"Operator `{operator}' with parameter `{parameter}' against variable `"
    ));
    name(&last, &mut out);
    out.extend_from_slice(b"' (Value: `");
    match is_secret {
        true => out.extend_from_slice(HIDDEN),
        false => value(last.value, last.characters(), &mut out),
    }
    out.extend_from_slice(b"' )");
    out
}

/// `ARGS:q`, or `REQUEST_URI`.
fn name(found: &Found<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(found.variable.as_bytes());
    if !found.name.is_empty() {
        out.push(b':');
        out.extend_from_slice(line::cut(found.name, TEXT_BYTES_MAX));
    }
}

/// The beginning of a value of so many characters in `all`; what is no visible ASCII as `\xhh`.
fn value(value: &[u8], all: usize, out: &mut Vec<u8>) {
    let end = out.len() + VALUE_CHARACTERS_MAX;
    for byte in value.iter().take(VALUE_CHARACTERS_MAX) {
        match byte {
            b' '..=b'~' => out.push(*byte),
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.truncate(end);
    if let Some(omitted) = all.checked_sub(VALUE_CHARACTERS_MAX).filter(|omitted| *omitted > 0) {
        drop(write!(out, " ({omitted} characters omitted)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_modsecurity_shows_them() {
        let shown = |bytes: &[u8]| {
            let mut out = b"x".to_vec();
            let width = |byte: &u8| if matches!(byte, b' '..=b'~') { 1 } else { 4 };
            value(bytes, bytes.iter().map(width).sum(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(b"an attack\0\xc3\xa9"), "xan attack\\x00\\xc3\\xa9");
        let cut = format!("x{} (200 characters omitted)", "a".repeat(100));
        assert_eq!(shown(&[b'a'; 300]), cut);
        assert_eq!(shown(&[b'a'; 100]), format!("x{}", "a".repeat(100)));
        assert!(shown(&[b'\n'; 26]).ends_with("\\x0a (4 characters omitted)"));
    }
}
