//! Fuzz: the head of a request, as any fields, on its way to the backend.
//!
//! After the edits no hop-by-hop field is left and none that `Connection` named; Host (one is
//! added where none was) and the framing are as they were; what the client claims about its own
//! way is gone.
#![no_main]

use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use vanne::data::listener::Client;
use vanne::data::listener::admit::{asks_for_websocket, tokens};
use vanne::data::upstream::forward::{Passing, REQUEST_ID, Sender, request_edits};
use vanne::types::request_id::RequestId;
use vanne_filters::{Edit, FieldList, HeadEdits, RequestHead, Version};

const HOP_BY_HOP: [&str; 6] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "http2-settings",
];
const KEPT: [&str; 3] = ["host", "content-length", "transfer-encoding"];
const OURS: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// Fields as an engine gives them: names are tokens, values are bytes that a field may hold.
struct Fields(Vec<(HeaderName, Vec<u8>)>);

impl Fields {
    /// A field a line; `name:value`. Lines that no engine would let through are left out.
    fn of(bytes: &[u8]) -> Self {
        let field = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            let value = value.get(1..)?.trim_ascii();
            HeaderValue::from_bytes(value).ok()?;
            Some((HeaderName::from_bytes(name).ok()?, value.to_vec()))
        };
        Self(bytes.split(|byte| *byte == b'\n').filter_map(field).collect())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_slice())
    }
}

impl FieldList for Fields {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (index, (name, value)) in self.0.iter().enumerate() {
            // Engines keep a name as it was written, in any case.
            let written = name.as_str().to_ascii_uppercase();
            visit(if index % 2 == 0 { name.as_str() } else { &written }.as_bytes(), value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice())
    }
}

/// The fields after the edits, as an engine applies them.
fn applied(fields: &Fields, edits: &HeadEdits) -> Fields {
    let mut after = fields.0.clone();
    for edit in edits {
        match edit {
            Edit::Add(name, value) => after.push((name.clone(), value.to_vec())),
            Edit::Line(line) => after.push((line.name.clone(), line.value.as_bytes().to_vec())),
            Edit::Remove(name) => after.retain(|(field, _)| field != name),
            Edit::Set(name, value) => {
                after.retain(|(field, _)| field != name);
                after.push((name.clone(), value.to_vec()));
            }
            Edit::SetIfAbsent(name, value) => {
                if !after.iter().any(|(field, _)| field == name) {
                    after.push((name.clone(), value.to_vec()));
                }
            }
        }
    }
    Fields(after)
}

fuzz_target!(|bytes: &[u8]| {
    let (target, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    // No engine lets another target through.
    if !target.iter().all(u8::is_ascii_graphic) {
        return;
    }
    let before = Fields::of(rest);
    let head = RequestHead::new("GET", target, Version::Http11, &before);
    let is_websocket = asks_for_websocket(&head);
    let client = Client::new("192.0.2.1:5000".parse().expect("an address"), 80, false);
    let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
    let mut edits = HeadEdits::new();
    let passing = Passing { websocket: is_websocket, trailers: false };
    let sender = Sender { client: &client, claim: None };
    request_edits(&head, sender, id, passing, &mut edits);
    let after = applied(&before, &edits);

    for name in HOP_BY_HOP {
        assert_eq!(after.count(name), 0, "{name} is for one connection only");
    }
    for name in KEPT {
        // A backend that speaks HTTP/1.1 is told one, if only that there is none.
        if name == "host" && before.count(name) == 0 {
            assert_eq!(after.count(name), 1, "one host is added");
            continue;
        }
        assert!(before.all(name).eq(after.all(name)), "{name} must stay as it was");
    }
    let upgrade: &[&[u8]] = if is_websocket { &[b"websocket"] } else { &[] };
    assert!(after.all("upgrade").eq(upgrade.iter().copied()), "upgrade is ours alone");
    let connection: &[&[u8]] = if is_websocket { &[b"upgrade"] } else { &[] };
    assert!(after.all("connection").eq(connection.iter().copied()), "connection is ours alone");
    for named in before.all("connection").flat_map(tokens) {
        let Ok(name) = HeaderName::from_bytes(named) else { continue };
        let name = name.as_str();
        if !KEPT.contains(&name)
            && !OURS.contains(&name)
            && !matches!(name, "upgrade" | "connection")
        {
            assert_eq!(after.count(name), 0, "{name} was named by Connection");
        }
    }
    for (name, value) in &after.0 {
        let name = name.as_str();
        let is_claim = name.starts_with("x-forwarded-") && !OURS.contains(&name);
        assert!(!is_claim && !matches!(name, "forwarded" | "x-real-ip"), "{name} is a claim");
        assert!(HeaderValue::from_bytes(value).is_ok());
    }
    assert!(after.all("x-forwarded-for").eq([&b"192.0.2.1"[..]]));
    assert!(after.all(REQUEST_ID.as_str()).eq([&id.to_hex()[..]]));
    let host = head.authority.filter(|host| HeaderValue::from_bytes(host).is_ok());
    assert!(after.all("x-forwarded-host").eq(host), "the host that was asked for, or none");
});
