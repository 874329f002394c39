//! A request with its answer as a line of JSON, and what the WAF says of it.
//!
//! Text is Latin-1: one code point, one byte. Bodies are base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
pub(crate) use vanne_filters::waf::regression::{Case, Field};
use vanne_filters::waf::transaction::Transaction;

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

/// Reads a line.
pub(crate) fn parse(line: &str) -> Result<Case, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let of = |key: &str| value.get(key).cloned().unwrap_or_default();
    let answer = of("response");
    let of_answer = |key: &str| answer.get(key).cloned().unwrap_or_default();
    let version = latin(&of("version"));
    Ok(Case {
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
