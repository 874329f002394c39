//! From the fields of a test to the bytes that the reference runner sends, and what the reference
//! backend answers: what `/reflect` asks for, otherwise 200 without a body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::suite::Input;
use super::wire::{Case, Field};

const FORM: &str = "application/x-www-form-urlencoded";

/// The request of a stage, with its answer.
pub(crate) fn case(id: String, input: Input) -> Case {
    let encoded = input.encoded_request.as_ref().filter(|encoded| !encoded.is_empty());
    let mut case = match encoded {
        Some(encoded) => {
            let packed: String = encoded.split_whitespace().collect();
            from_bytes(&STANDARD.decode(packed).unwrap())
        }
        None => from_fields(input),
    };
    case.id = id;
    case.status = 200;
    reflect(&mut case);
    case
}

fn from_fields(input: Input) -> Case {
    let mut fields = input.headers.map(|fields| fields.0).unwrap_or_default();
    let value_of = |fields: &[(String, String)], name: &str| {
        let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let method = input.method.unwrap_or_else(|| "GET".into());
    let mut data = repeated(&input.data.unwrap_or_default()).into_bytes();
    let completes = input.autocomplete_headers.unwrap_or(true);
    if !data.is_empty() && completes {
        if value_of(&fields, "content-type").is_none() {
            fields.push(("Content-Type".into(), FORM.into()));
        }
        if value_of(&fields, "content-type").as_deref() == Some(FORM) {
            data = form_escaped(&data);
        }
    }
    if value_of(&fields, "content-type")
        .is_some_and(|kind| kind.starts_with("multipart/form-data;"))
    {
        data = String::from_utf8_lossy(&data).replace('\n', "\r\n").into_bytes();
    }
    if completes {
        if value_of(&fields, "connection").is_none_or(|value| value.is_empty()) {
            fields.push(("Connection".into(), "close".into()));
        }
        // The reference runner's expression: its anchors bind to the outer alternatives only.
        let has_body = method.starts_with("POST")
            || method.contains("PUT")
            || method.contains("PATCH")
            || method.ends_with("DELETE");
        if (!data.is_empty() || has_body) && value_of(&fields, "content-length").is_none() {
            fields.push(("Content-Length".into(), data.len().to_string()));
        }
    }
    Case {
        method: method.into_bytes(),
        uri: input.uri.unwrap_or_else(|| "/".into()).into_bytes(),
        version: input.version.unwrap_or_else(|| "HTTP/1.1".into()).into_bytes(),
        fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        body: data,
        ..Case::default()
    }
}

/// `{{ "1" | repeat 64200 }}` resolved.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{ \"") else { return text.to_owned() };
    let Some((inner, after)) = rest.split_once("}}") else { return text.to_owned() };
    match inner.split_once("\" | repeat ") {
        Some((word, count)) => {
            let count = count.trim().parse().unwrap();
            format!("{before}{}{}", word.repeat(count), repeated(after))
        }
        None => text.to_owned(),
    }
}

/// Data of a form as it is sent: escaped, when unescaping would change nothing.
fn form_escaped(data: &[u8]) -> Vec<u8> {
    if data.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return data.to_vec();
    }
    let mut pairs: Vec<&[u8]> = data.split(|byte| *byte == b'&').collect();
    if pairs.last().is_some_and(|last| last.is_empty()) {
        pairs.pop();
    }
    let escaped: Vec<String> = pairs
        .iter()
        .map(|pair| {
            let parts = pair.splitn(2, |byte| *byte == b'=').map(escape);
            parts.collect::<Vec<_>>().join("=")
        })
        .collect();
    escaped.join("&").into_bytes()
}

fn escape(text: &[u8]) -> String {
    text.iter()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn from_bytes(raw: &[u8]) -> Case {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(raw.len());
    let (head, body) = (&raw[..end], raw.get(end + 4..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words =
        lines.next().unwrap_or_default().split(|byte| *byte == b' ').map(<[u8]>::to_vec);
    let mut word = || words.next().unwrap_or_default();
    let (method, uri, version) = (word(), word(), word());
    let fields: Vec<Field> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((line[..colon].trim_ascii().to_vec(), line[colon + 1..].trim_ascii().to_vec()))
        })
        .collect();
    let is_chunked = fields.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case(b"transfer-encoding") && value.ends_with(b"chunked")
    });
    let body = if is_chunked { dechunked(body) } else { body.to_vec() };
    Case { method, uri, version, fields, body, ..Case::default() }
}

fn dechunked(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let size = String::from_utf8_lossy(data[..end].trim_ascii()).into_owned();
        let size = size.split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(size, 16).unwrap_or_default();
        data = &data[end + 1..];
        if length == 0 {
            break;
        }
        out.extend_from_slice(&data[..length.min(data.len())]);
        data = data.get(length..).unwrap_or_default();
        data = data.strip_prefix(b"\r\n").unwrap_or(data);
    }
    out
}

fn reflect(case: &mut Case) {
    let after = case.uri.strip_prefix(b"/reflect");
    let is_reflected = after.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')));
    if case.method != b"POST" || !is_reflected {
        return;
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&case.body) else {
        (case.status, case.answer_body) = (400, b"Invalid JSON in request body".to_vec());
        return;
    };
    let text = |name: &str| asked.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let body = match text("body") {
        Some(body) => body.as_bytes().to_vec(),
        None => STANDARD.decode(text("encodedBody").unwrap_or_default()).unwrap(),
    };
    let mut fields: Vec<Field> = Vec::new();
    for (name, value) in asked.get("headers").and_then(Value::as_object).into_iter().flatten() {
        fields.push((name.clone().into(), value.as_str().unwrap_or_default().into()));
    }
    let has_type = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    if !body.is_empty() && !has_type {
        // The backend's library tells the type of a body by its first bytes.
        let kind =
            if body.trim_ascii_start().starts_with(b"<") { "text/html" } else { "text/plain" };
        fields.push((b"Content-Type".to_vec(), format!("{kind}; charset=utf-8").into()));
    }
    fields.push((b"Content-Length".to_vec(), body.len().to_string().into()));
    case.status = asked.get("status").and_then(Value::as_u64).unwrap_or(200) as u16;
    case.answer_fields = fields;
    case.answer_body = body;
}
