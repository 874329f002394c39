//! What the reference backend answers: what `POST /reflect` asks for, otherwise 200 without a body.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::case::{Case, Field};

/// The answer that a request to `/reflect` asks for, in JSON.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default, rename = "encodedBody")]
    encoded_body: String,
}

/// Fills the answer of `case`.
pub(crate) fn answer(case: &mut Case, asked: &dyn Fn(&[u8]) -> Option<Asked>) {
    case.status = 200;
    let after = case.uri.strip_prefix(b"/reflect");
    let is_reflected = after.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')));
    if case.method != b"POST" || !is_reflected {
        return;
    }
    let invalid = (400, b"Invalid JSON in request body".to_vec());
    let Some(asked) = asked(&case.body) else {
        (case.status, case.answer_body) = invalid;
        return;
    };
    let body = match asked.body.is_empty() {
        false => asked.body.into_bytes(),
        true => STANDARD.decode(asked.encoded_body).unwrap_or_default(),
    };
    let mut fields: Vec<Field> = Vec::new();
    fields.extend(asked.headers.into_iter().map(|(name, value)| (name.into(), value.into())));
    let has_type = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    if !body.is_empty() && !has_type {
        // The backend's library tells the type of a body by its first bytes.
        let is_markup = body.trim_ascii_start().starts_with(b"<");
        let kind = if is_markup { "text/html" } else { "text/plain" };
        fields.push((b"Content-Type".to_vec(), format!("{kind}; charset=utf-8").into()));
    }
    fields.push((b"Content-Length".to_vec(), body.len().to_string().into()));
    case.status = asked.status.unwrap_or(200);
    case.answer_fields = fields;
    case.answer_body = body;
}
