//! Check of what is found out elsewhere: services that are asked about requests, and certificates
//! that clients show to listeners.

use super::check_edits::is_framing;
use super::diagnostics::Problem;
use super::tree::{Entry, Node};
use super::validate::join;

/// How the names of fields begin that say how a request came: those are Vanne's to tell.
const WAY: &str = "x-forwarded-";

/// Adds all that is wrong with `identity`, whose key is `key`, and the TLS of listeners.
pub(super) fn check_identity(
    root: &Node,
    identity: &Entry,
    key: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(forward) = identity.node.get("forward") {
        check_forward(forward, &join(key, "forward"), problems);
    }
    if let Some(certificate) = identity.node.get("client_certificate")
        && !listeners(root).iter().any(|one| of_tls(one, "client_ca").is_some())
    {
        let message = "no listener asks clients for certificates";
        let key = join(key, "client_certificate");
        let problem = Problem::new(&key, certificate.span.clone(), message).warning();
        problems.push(problem.accepts("`tls.client_ca` of a listener"));
    }
}

/// A service that is asked: who it is, what it is told, and what it may say.
fn check_forward(forward: &Node, key: &str, problems: &mut Vec<Problem>) {
    let is_plain = forward.get("url").and_then(Node::text).is_some_and(|url| {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        scheme == Some("http")
    });
    if let (true, Some(url)) = (is_plain, forward.get("url")) {
        let message = "whoever is on the way sees what clients prove themselves by, and can answer";
        let problem = Problem::new(&join(key, "url"), url.span.clone(), message).warning();
        problems.push(problem.accepts("https://, unless the service is on this machine"));
    }
    if let (true, Some(authorities)) = (is_plain, forward.get("ca_file")) {
        let message = "nobody certifies a service without TLS";
        let problem = Problem::new(&join(key, "ca_file"), authorities.span.clone(), message);
        problems.push(problem.accepts("this beside a `url` of https"));
    }
    let names = forward.get("request_headers").map(Node::items).unwrap_or_default();
    let texts: Vec<String> =
        names.iter().map(|name| name.text().unwrap_or_default().to_ascii_lowercase()).collect();
    for (at, (name, text)) in names.iter().zip(&texts).enumerate() {
        let is_ours =
            text.starts_with(WAY) || matches!(text.as_str(), "forwarded" | "x-request-id");
        let (message, accepted) = if texts.iter().take(at).any(|before| before == text) {
            (format!("`{text}` stands here twice"), "each once")
        } else if is_ours || text == "host" {
            let message = format!("`{text}` is told by Vanne, whatever the request says");
            (message, "other fields: it gets X-Forwarded-Host and its like in any case")
        } else if is_framing(text) {
            let message = format!("`{text}` is of the client's connection, or frames its message");
            (message, "other fields")
        } else {
            continue;
        };
        let key = format!("{key}.request_headers[{at}]");
        problems.push(Problem::new(&key, name.span.clone(), message).accepts(accepted));
    }
    let claims = forward.get("claims").map(Node::entries).unwrap_or_default();
    if let Some(entry) = claims.iter().find(|entry| entry.key == "sub") {
        let message = "`sub` is the user's name";
        let key = join(&join(key, "claims"), "sub");
        let problem = Problem::new(&key, entry.key_span.clone(), message);
        problems.push(problem.accepts("`user_header` for it"));
    }
}

/// Adds what is wrong with how the listeners of `root` ask for certificates.
pub(super) fn check_listeners(root: &Node, problems: &mut Vec<Problem>) {
    for listener in listeners(root) {
        let mut wrong = |name: &str, node: &Node, message: &str, accepted: &str| {
            let key = format!("listener.{}.tls.{name}", listener.key);
            problems.push(Problem::new(&key, node.span.clone(), message).accepts(accepted));
        };
        let is_asked = of_tls(listener, "client_ca").is_some();
        if let (Some(node), false) = (of_tls(listener, "client_certificates"), is_asked) {
            let message = "nothing says whose certificates are believed";
            wrong("client_certificates", node, message, "`client_ca` beside it");
        }
        for name in ["ticket_keys_file", "ticket_rotation"] {
            if let (Some(node), true) = (of_tls(listener, name), is_asked) {
                let message = "no tickets where certificates of clients are asked for: a session \
                               that comes back would not show its own again";
                wrong(name, node, message, "either this, or `client_ca`");
            }
        }
    }
}

fn listeners(root: &Node) -> &[Entry] {
    root.get("listener").map(Node::entries).unwrap_or_default()
}

fn of_tls<'a>(listener: &'a Entry, name: &str) -> Option<&'a Node> {
    listener.node.get("tls")?.get(name)
}
