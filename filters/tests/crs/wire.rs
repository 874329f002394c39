//! A request with its answer as a line of JSON, and what the WAF says of it.
//!
//! Text is Latin-1: one code point, one byte. Bodies are base64.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vanne_filters::waf::transaction::{AnswerHead, Caches, Endpoint, Request, Transaction};

/// A name and its value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// A request, and what the backend answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub id: String,
    pub method: Vec<u8>,
    pub uri: Vec<u8>,
    pub version: Vec<u8>,
    pub fields: Vec<Field>,
    pub body: Vec<u8>,
    pub status: u16,
    pub answer_fields: Vec<Field>,
    pub answer_body: Vec<u8>,
}

fn latin(value: &Value) -> Vec<u8> {
    value.as_str().unwrap_or_default().chars().map(|c| c as u32 as u8).collect()
}

fn fields(value: &Value) -> Vec<Field> {
    let rows = value.as_array().map_or(&[][..], Vec::as_slice);
    let pair = |row: &Value| Some((latin(row.get(0)?), latin(row.get(1)?)));
    rows.iter().filter_map(pair).collect()
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    STANDARD.decode(value.as_str().unwrap_or_default()).map_err(|error| error.to_string())
}

impl Case {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let of = |key: &str| value.get(key).cloned().unwrap_or_default();
        let answer = of("response");
        let of_answer = |key: &str| answer.get(key).cloned().unwrap_or_default();
        let version = latin(&of("version"));
        Ok(Self {
            id: of("id").as_str().unwrap_or_default().to_owned(),
            method: latin(&of("method")),
            uri: latin(&of("uri")),
            version: if of("version").is_null() { b"HTTP/1.1".to_vec() } else { version },
            fields: fields(&of("headers")),
            body: bytes(&of("body"))?,
            status: of_answer("status").as_u64().unwrap_or(200) as u16,
            answer_fields: fields(&of_answer("headers")),
            answer_body: bytes(&of_answer("body"))?,
        })
    }

    /// Runs all phases, up to an interruption, and the last one.
    pub(crate) fn run(&self, transaction: &mut Transaction, caches: &mut Caches) {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let fields: Vec<(&[u8], &[u8])> =
            self.fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let host = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        let request = Request {
            method: &self.method,
            uri: &self.uri,
            protocol: &self.version,
            fields: &fields,
            client: Endpoint { address: local, port: 12345 },
            server: Endpoint { address: local, port: 80 },
            server_name: host.map_or(b"", |(_, value)| value),
            unique_id: b"0123456789",
            epoch_seconds: 1_700_000_000,
        };
        if transaction.request_head(&request, caches).is_none()
            && transaction.request_body(&self.body, caches).is_none()
        {
            let fields: Vec<(&[u8], &[u8])> =
                self.answer_fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let head = AnswerHead { status: self.status, protocol: b"HTTP/1.1", fields: &fields };
            if transaction.answer_head(&head, caches).is_none() {
                transaction.answer_body(&self.answer_body, caches);
            }
        }
        transaction.finish(caches);
    }
}

/// The answer to a line.
pub(crate) fn answer(case: &Case, transaction: &Transaction) -> Value {
    let matched: Vec<u64> = transaction.matches().map(|one| one.about.id).collect();
    let logged: Vec<u64> =
        transaction.matches().filter(|one| one.about.is_logged).map(|one| one.about.id).collect();
    let score = |name: &str| {
        let text = transaction.variable(name.as_bytes()).unwrap_or_default();
        String::from_utf8_lossy(&text).parse::<i64>().unwrap_or_default()
    };
    let interruption =
        transaction.interruption().map(|found| json!({ "id": found.rule, "status": found.status }));
    json!({
        "id": case.id,
        "matched": matched,
        "logged": logged,
        "scores": {
            "inbound": score("blocking_inbound_anomaly_score"),
            "outbound": score("blocking_outbound_anomaly_score"),
        },
        "interruption": interruption,
        "error": "",
    })
}
