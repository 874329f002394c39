//! Reads the cases of `tests/waf/{attacks,benign}` as requests; `tests/waf/README.md` says what a
//! case may hold, and `tests/waf/corpus.py` reads them in the same way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// A request as it would be sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request, the class of its file and why it is there.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) class: String,
    pub(crate) why: String,
    pub(crate) request: Request,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    class: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    why: String,
    from: Option<String>,
    method: Option<String>,
    target: Option<String>,
    query: Option<Vec<(String, String)>>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    form: Option<Vec<(String, String)>>,
    json: Option<String>,
    xml: Option<String>,
    parts: Option<Vec<Part>>,
    body: Option<String>,
    base64: Option<String>,
    values: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    file: Option<String>,
    r#type: Option<String>,
    body: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    headers: Vec<(String, String)>,
}

type Clients = BTreeMap<String, Client>;

/// All requests of `attacks` or `benign`, in the order of files and cases.
pub(crate) fn read(kind: &str) -> Vec<Named> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/waf");
    let clients: Clients = parsed(&folder.join("clients.toml"));
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder.join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| of_file(parsed(path), &clients)).collect()
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn of_file(file: Cases, clients: &Clients) -> Vec<Named> {
    let mut found = Vec::new();
    for case in &file.case {
        // Without values, `{}` is nothing special.
        let named: Vec<(String, &str)> = match &case.values {
            None => vec![(case.id.clone(), "{}")],
            Some(values) => {
                let ids = (1..).map(|number: usize| format!("{}-{number}", case.id));
                ids.zip(values.iter().map(String::as_str)).collect()
            }
        };
        found.extend(named.into_iter().map(|(id, value)| Named {
            class: file.class.clone(),
            why: case.why.clone(),
            request: case.request(clients, id, value),
        }));
    }
    found
}

impl Case {
    fn request(&self, clients: &Clients, id: String, value: &str) -> Request {
        let (body, body_type) = self.body(value);
        let mut target = self.target.as_deref().unwrap_or("/").replace("{}", value);
        if let Some(query) = &self.query {
            target = format!("{target}?{}", pairs(query, value));
        }
        let method = match &self.method {
            Some(method) => method.replace("{}", value),
            None if body.is_some() => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        let headers = self.headers(clients, value, body.as_deref(), body_type);
        Request { id, method, target, headers, body: body.unwrap_or_default() }
    }

    /// Body and its content type.
    fn body(&self, value: &str) -> (Option<Vec<u8>>, Option<String>) {
        let mut bodies = Vec::new();
        let with_type = |kind: &str| Some(kind.to_owned());
        if let Some(form) = &self.form {
            let body = pairs(form, value).into_bytes();
            bodies.push((body, with_type("application/x-www-form-urlencoded")));
        }
        if let Some(json) = &self.json {
            let quoted = serde_json::to_string(value).unwrap();
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            bodies.push((json.replace("{}", inside).into_bytes(), with_type("application/json")));
        }
        if let Some(xml) = &self.xml {
            bodies.push((xml.replace("{}", value).into_bytes(), with_type("application/xml")));
        }
        if let Some(parts) = &self.parts {
            let kind = format!("multipart/form-data; boundary={BOUNDARY}");
            bodies.push((multipart(parts, value), Some(kind)));
        }
        if let Some(body) = &self.body {
            bodies.push((body.replace("{}", value).into_bytes(), None));
        }
        if let Some(body) = &self.base64 {
            bodies.push((STANDARD.decode(body).unwrap(), None));
        }
        assert!(bodies.len() <= 1, "`{}`: at most one body", self.id);
        bodies.pop().map_or((None, None), |(body, kind)| (Some(body), kind))
    }

    /// Headers in their order: those of the client, with those of the case in place of them.
    fn headers(
        &self,
        clients: &Clients,
        value: &str,
        body: Option<&[u8]>,
        body_type: Option<String>,
    ) -> Vec<(String, String)> {
        let is_own =
            |name: &str| self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        let mut found = Vec::new();
        if !is_own("host") {
            found.push(("Host".to_owned(), "www.example.com".to_owned()));
        }
        let client = clients.get(self.from.as_deref().unwrap_or("attacker"));
        let client = client.unwrap_or_else(|| panic!("`{}`: no such client", self.id));
        found.extend(client.headers.iter().filter(|(name, _)| !is_own(name)).cloned());
        let own = self.headers.iter().map(|(name, text)| (name.clone(), text.replace("{}", value)));
        found.extend(own.filter(|(_, text)| !text.is_empty()));
        if let Some(kind) = body_type.filter(|_| !is_own("content-type")) {
            found.push(("Content-Type".to_owned(), kind));
        }
        if let Some(body) = body {
            found.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        found
    }
}

fn pairs(found: &[(String, String)], value: &str) -> String {
    let pair = |(name, text): &(String, String)| {
        format!("{}={}", form_encoded(name), form_encoded(&text.replace("{}", value)))
    };
    found.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// As browsers encode a form.
fn form_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'*' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

fn multipart(parts: &[Part], value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let mut head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"", part.name);
        if let Some(file) = &part.file {
            head += &format!("; filename=\"{file}\"");
        }
        if let Some(kind) = &part.r#type {
            head += &format!("\r\nContent-Type: {kind}");
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        match (&part.body, &part.base64) {
            (Some(text), None) => out.extend_from_slice(text.replace("{}", value).as_bytes()),
            (None, Some(text)) => out.extend(STANDARD.decode(text).unwrap()),
            _ => panic!("part `{}`: either `body` or `base64`", part.name),
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    out
}
