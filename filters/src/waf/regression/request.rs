//! From the fields of a test to the bytes that the reference runner sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use super::case::{Case, Field};
use super::file::Input;
use super::reflect::{self, Asked};

const FORM: &str = "application/x-www-form-urlencoded";

/// The request of a stage, with its answer.
pub(crate) fn case(
    id: &str,
    input: Input,
    asked: &dyn Fn(&[u8]) -> Option<Asked>,
) -> Result<Case, String> {
    let encoded = input.encoded_request.as_ref().filter(|encoded| !encoded.is_empty());
    let mut case = match encoded {
        Some(encoded) => {
            let packed: String = encoded.split_whitespace().collect();
            let raw = STANDARD.decode(packed);
            parse(&raw.map_err(|error| format!("encoded_request: {error}"))?)
        }
        None => from_fields(input)?,
    };
    id.clone_into(&mut case.id);
    reflect::answer(&mut case, asked);
    Ok(case)
}

fn from_fields(input: Input) -> Result<Case, String> {
    let mut fields = input.headers.map(|fields| fields.0).unwrap_or_default();
    let method = input.method.unwrap_or_else(|| "GET".into());
    let mut data = repeated(&input.data.unwrap_or_default())?.into_bytes();
    let completes = input.autocomplete_headers.unwrap_or(true);
    if !data.is_empty() && completes {
        if value_of(&fields, "content-type").is_none() {
            fields.push(("Content-Type".into(), FORM.into()));
        }
        if value_of(&fields, "content-type") == Some(FORM) {
            data = form_escaped(&data);
        }
    }
    if value_of(&fields, "content-type")
        .is_some_and(|kind| kind.starts_with("multipart/form-data;"))
    {
        data = String::from_utf8_lossy(&data).replace('\n', "\r\n").into_bytes();
    }
    if completes {
        complete(&mut fields, &method, data.len());
    }
    Ok(Case {
        method: method.into_bytes(),
        uri: input.uri.unwrap_or_else(|| "/".into()).into_bytes(),
        version: input.version.unwrap_or_else(|| "HTTP/1.1".into()).into_bytes(),
        fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        body: data,
        ..Case::default()
    })
}

fn value_of<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Fields that the reference runner adds.
fn complete(fields: &mut Vec<(String, String)>, method: &str, length: usize) {
    if value_of(fields, "connection").is_none_or(str::is_empty) {
        fields.push(("Connection".into(), "close".into()));
    }
    // The reference runner's expression: its anchors bind to the outer alternatives only.
    let has_body = method.starts_with("POST")
        || method.contains("PUT")
        || method.contains("PATCH")
        || method.ends_with("DELETE");
    if (length > 0 || has_body) && value_of(fields, "content-length").is_none() {
        fields.push(("Content-Length".into(), length.to_string()));
    }
}

/// The longest text that `repeat` may make.
const REPEATED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `{{ "1" | repeat 64200 }}` resolved.
fn repeated(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{ \"") {
        let Some((inner, after)) = after.split_once("}}") else { break };
        let Some((word, count)) = inner.split_once("\" | repeat ") else { break };
        let count: usize = count.trim().parse().map_err(|error| format!("repeat: {error}"))?;
        if word.len().saturating_mul(count) > REPEATED_BYTES_MAX {
            return Err(format!("repeat: more than {REPEATED_BYTES_MAX} bytes"));
        }
        out.push_str(before);
        out.push_str(&word.repeat(count));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
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

/// A request as it is on the wire of HTTP/1: nothing is refused, a line that is no field is left
/// out, a chunked body is joined. Lines may end in LF alone. The answer is 200 without a body.
#[must_use]
pub fn parse(raw: &[u8]) -> Case {
    let blank = |mark: &[u8]| memmem::find(raw, mark).map(|at| (at, mark.len()));
    let (end, gap) = blank(b"\r\n\r\n").or_else(|| blank(b"\n\n")).unwrap_or((raw.len(), 0));
    let (head, body) = raw.split_at_checked(end).unwrap_or((raw, b""));
    let body = body.get(gap..).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default().to_vec();
    let (method, uri, version) = (word(), word(), word());
    let fields: Vec<Field> = lines.filter_map(field).collect();
    let is_chunked = fields.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case(b"transfer-encoding") && value.ends_with(b"chunked")
    });
    let body = if is_chunked { dechunked(body) } else { body.to_vec() };
    Case { method, uri, version, fields, body, status: 200, ..Case::default() }
}

fn field(line: &[u8]) -> Option<Field> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name.trim_ascii().to_vec(), value.get(1..)?.trim_ascii().to_vec()))
}

fn dechunked(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = memchr::memchr(b'\n', data) {
        let size = String::from_utf8_lossy(data.get(..end).unwrap_or_default()).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(size, 16).unwrap_or_default();
        data = data.get(end + 1..).unwrap_or_default();
        if length == 0 {
            break;
        }
        out.extend_from_slice(data.get(..length).unwrap_or(data));
        data = data.get(length..).unwrap_or_default();
        data = data.strip_prefix(b"\r\n").unwrap_or(data);
    }
    out
}
