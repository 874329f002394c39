//! Check of identities: one kind each, keys that go with the algorithms, and what routes ask.

use super::check_asking;
use super::check_edits::{self, Field};
use super::check_routes::check_defined;
use super::diagnostics::Problem;
use super::identity::jwt::{MAX_AGE, REFRESH};
use super::tree::{Entry, Node};
use super::validate::join;
use crate::types::units::{ByteSize, Period};
use std::ops::Range;

/// Kinds of an identity, of which it has exactly one.
const KINDS: [&str; 5] = ["api_keys", "basic", "client_certificate", "forward", "jwt"];
/// Identities that a route may name.
const USES_MAX: usize = 4;
/// Fields that clients send for other ends, or that Vanne says itself: one that told a claim would be
/// taken out of all requests.
const CLIENTS: [&str; 36] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "baggage",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "range",
    "referer",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-real-ip",
    "x-request-id",
];
/// The longest token that may be looked at.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// Adds all that is wrong with the identities of `root`, and where routes name them.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let identities = root.get("identity").map(Node::entries).unwrap_or_default();
    for identity in identities {
        let key = format!("identity.{}", identity.key);
        check_kind(identity, &key, problems);
        if let Some(jwt) = identity.node.get("jwt") {
            check_jwt(jwt, &join(&key, "jwt"), problems);
        }
        check_asking::check_identity(root, identity, &key, problems);
    }
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    let mut used = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(identity) = route.get("identity") else { continue };
        let key = format!("route[{index}].identity");
        check_route(root, route, identity, &key, problems);
        let names = identity.get("use").map(Node::items).unwrap_or_default();
        used.extend(names.iter().filter_map(Node::text));
    }
    check_limits(root, routes, problems);
    for identity in identities.iter().filter(|identity| !used.contains(&identity.key.as_str())) {
        let key = format!("identity.{}", identity.key);
        let message = format!("no route uses identity `{}`", identity.key);
        problems.push(Problem::new(&key, identity.key_span.clone(), message).warning());
    }
}

fn check_kind(identity: &Entry, key: &str, problems: &mut Vec<Problem>) {
    let is_kind = |entry: &&Entry| KINDS.contains(&entry.key.as_str());
    let kinds: Vec<&Entry> = identity.node.entries().iter().filter(is_kind).collect();
    let accepted = || format!("exactly one of {}", KINDS.join(", "));
    match kinds[..] {
        [] => {
            let message = "nothing says how it is known who sends a request";
            let problem = Problem::new(key, identity.key_span.clone(), message);
            problems.push(problem.accepts(accepted()));
        }
        [first, ref others @ ..] => {
            for other in others {
                let message = format!("`{}` beside `{}`", other.key, first.key);
                let problem = Problem::new(&join(key, &other.key), other.key_span.clone(), message);
                problems.push(problem.accepts(accepted()));
            }
        }
    }
}

/// Keys and algorithms go together: a secret with `HS256` alone, public keys with the others.
fn check_jwt(jwt: &Node, key: &str, problems: &mut Vec<Problem>) {
    let algorithms = jwt.get("algorithms").map(Node::items).unwrap_or_default();
    let texts: Vec<&str> = algorithms.iter().filter_map(Node::text).collect();
    let is_shared = texts.contains(&"HS256");
    let is_mixed = is_shared && texts.iter().any(|text| *text != "HS256");
    if let (true, Some(node)) = (is_mixed, jwt.get("algorithms")) {
        let message = "HS256 beside algorithms of public keys: one secret and public keys are two \
                       issuers";
        let problem = Problem::new(&join(key, "algorithms"), node.span.clone(), message);
        problems.push(problem.accepts("[\"HS256\"] alone, or an identity of its own for it"));
        return;
    }
    let (jwks, secret) = (jwt.get("jwks"), jwt.get("secret_file"));
    let mut wrong = |name: &str, node: &Node, message: &str, accepted: &str| {
        let problem = Problem::new(&join(key, name), node.span.clone(), message);
        problems.push(problem.accepts(accepted));
    };
    match (is_shared, jwks, secret) {
        (true, Some(node), _) => {
            wrong("jwks", node, "HS256 has no public keys", "`secret_file`, with the secret");
        }
        (true, None, None) => {
            wrong("algorithms", jwt, "nothing says which secret", "`secret_file` beside HS256");
        }
        (false, _, Some(node)) => {
            let message = "these algorithms have no secret that is shared";
            wrong("secret_file", node, message, "`jwks`, with the issuer's public keys");
        }
        (false, None, None) if !texts.is_empty() => {
            wrong("algorithms", jwt, "nothing says whose signatures", "`jwks` beside them");
        }
        _ => {}
    }
    if let Some(node) = jwt.get("max_token") {
        let size = node.text().and_then(|text| text.parse::<ByteSize>().ok());
        let in_range = |size: ByteSize| (1..=TOKEN_BYTES_MAX).contains(&size.as_bytes());
        if size.is_some_and(|size| !in_range(size)) {
            wrong("max_token", node, "out of range", "1B to 16KiB");
        }
    }
    check_age(jwt, key, problems);
    check_loose(jwt, key, problems);
}

/// Keys are fetched anew before they are too old.
fn check_age(jwt: &Node, key: &str, problems: &mut Vec<Problem>) {
    let of = |name: &str, default: Period| {
        let node = jwt.get(name);
        node.map_or(Some(default), |node| node.text()?.parse::<Period>().ok())
    };
    let (refresh, max_age) = (of("refresh", REFRESH), of("max_age", MAX_AGE));
    let (Some(refresh), Some(max_age)) = (refresh, max_age) else { return };
    let named = ["max_age", "refresh"].iter().find_map(|name| Some((name, jwt.get(name)?)));
    if let (Some((name, node)), true) = (named, max_age <= refresh) {
        let message = format!("keys would be too old ({max_age}) before they are fetched anew");
        let problem = Problem::new(&join(key, name), node.span.clone(), message);
        problems.push(problem.accepts(format!("`max_age` longer than `refresh`, {refresh}")));
    }
}

/// What goes with a URL alone, and a URL that anybody could answer for.
fn check_url(jwt: &Node, key: &str, problems: &mut Vec<Problem>) {
    let jwks = jwt.get("jwks");
    let text = jwks.and_then(Node::text).unwrap_or_default();
    let is_url = text.contains("://");
    for name in ["refresh", "max_age", "ca_file"] {
        if let (Some(node), false) = (jwt.get(name), is_url) {
            let message = "keys of a file are not fetched";
            let problem = Problem::new(&join(key, name), node.span.clone(), message);
            problems.push(problem.accepts("this beside `jwks` with a URL"));
        }
    }
    if let (Some(node), true) = (jwks, text.starts_with("http://")) {
        let message = "whoever is on the way can put keys of their own in";
        let problem = Problem::new(&join(key, "jwks"), node.span.clone(), message);
        problems.push(problem.accepts("https://, unless the issuer is on this machine").warning());
    }
}

/// What is allowed, and should be meant.
fn check_loose(jwt: &Node, key: &str, problems: &mut Vec<Problem>) {
    check_url(jwt, key, problems);
    let has = |name: &str| jwt.get(name).is_some();
    if !has("audiences") {
        let message = "tokens that the issuer made for others are taken too";
        let problem = Problem::new(&join(key, "audiences"), jwt.span.clone(), message);
        problems
            .push(problem.accepts("`audiences`, with what `aud` says for this service").warning());
    }
    let required = jwt.get("required_claims").map(Node::items);
    if let Some(claims) = required
        && !claims.iter().any(|claim| claim.text() == Some("exp"))
        && let Some(node) = jwt.get("required_claims")
    {
        let message = "tokens without `exp` are good for ever";
        let problem = Problem::new(&join(key, "required_claims"), node.span.clone(), message);
        problems.push(problem.accepts("\"exp\" among them").warning());
    }
}

fn check_route(root: &Node, route: &Node, identity: &Node, key: &str, problems: &mut Vec<Problem>) {
    let uses = identity.get("use").map(Node::items).unwrap_or_default();
    for (at, node) in uses.iter().enumerate() {
        let Some(name) = node.text() else { continue };
        let key = format!("{key}.use[{at}]");
        check_defined(root, ("identity", name), node, &key, problems);
        if uses.iter().take(at).any(|before| before.text() == Some(name)) {
            let message = format!("`{name}` stands here twice");
            problems.push(Problem::new(&key, node.span.clone(), message).accepts("each once"));
        }
    }
    if let Some(list) = identity.get("use").filter(|_| uses.len() > USES_MAX) {
        let message = format!("{} identities are too many", uses.len());
        let problem = Problem::new(&join(key, "use"), list.span.clone(), message);
        problems.push(problem.accepts(format!("at most {USES_MAX}")));
    }
    let is_optional = identity.get("mode").and_then(Node::text) == Some("optional");
    let scopes = identity.get("scopes").filter(|scopes| !scopes.items().is_empty());
    if let (true, Some(scopes)) = (is_optional, scopes) {
        let message = "who shows nothing has no scopes: this is never optional";
        let problem = Problem::new(&join(key, "scopes"), scopes.span.clone(), message);
        problems.push(problem.accepts("`scopes` where mode is \"required\""));
    }
    check_headers(route, identity, key, problems);
}

/// `name` as programs read it that cannot tell one sign in it from another.
fn folded(name: &str) -> String {
    let fold =
        |byte: char| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { '-' };
    name.chars().map(fold).collect()
}

/// Fields for backends are not of a connection, nor what clients or Vanne send otherwise, and there
/// is a backend.
fn check_headers(route: &Node, identity: &Node, key: &str, problems: &mut Vec<Problem>) {
    let Some(headers) = identity.get("claims_to_headers") else { return };
    let table = join(key, "claims_to_headers");
    let mut names: Vec<String> = Vec::new();
    for entry in headers.entries() {
        let name = folded(&entry.key);
        let key = join(&table, &entry.key);
        let mut wrong = |span: &Range<usize>, message: String, accepted: &str| {
            problems.push(Problem::new(&key, span.clone(), message).accepts(accepted));
        };
        if CLIENTS.contains(&name.as_str()) {
            let message =
                format!("`{}` would be taken out of the requests of all routes", entry.key);
            wrong(&entry.key_span, message, "a field that neither clients nor Vanne send");
        } else if names.contains(&name) {
            let message =
                format!("some programs cannot tell `{}` from another one here", entry.key);
            wrong(&entry.key_span, message, "fields that differ in letters or digits");
        } else {
            let field = Field { name: &entry.key, table: &table, span: &entry.key_span };
            check_edits::check_field(field, &[], problems);
        }
        if entry.node.text() == Some("") {
            let problem = Problem::new(&key, entry.node.span.clone(), "no claim has no name");
            problems.push(problem.accepts("the name of a claim, like \"sub\""));
        }
        names.push(name);
    }
    if route.get("redirect").or(route.get("answer")).is_some() {
        let message = "no backend gets the requests of this route";
        let problem = Problem::new(&table, headers.span.clone(), message);
        problems.push(problem.accepts("this only beside `pool` or `split`"));
    }
}

/// A limit of users on a route that knows none counts addresses.
fn check_limits(root: &Node, routes: &[Node], problems: &mut Vec<Problem>) {
    let is_of_users = |name: &str| {
        let key = root.get("rate_limit")?.get(name)?.get("key")?.text()?;
        key.split('+').any(|part| part == "user").then_some(())
    };
    let open = routes.iter().enumerate().filter(|(_, route)| route.get("identity").is_none());
    for (index, route) in open {
        let names = route.get("rate_limits").map(Node::items).unwrap_or_default();
        for (at, node) in names.iter().enumerate() {
            if node.text().and_then(is_of_users).is_some() {
                let key = format!("route[{index}].rate_limits[{at}]");
                let message = "nobody is known on this route: each address counts as a user";
                let problem = Problem::new(&key, node.span.clone(), message);
                problems.push(problem.accepts("`identity` beside it").warning());
            }
        }
    }
}
