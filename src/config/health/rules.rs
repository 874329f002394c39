//! What no schema can say about a check: which keys go together.

use super::HealthCheck;
use crate::config::diagnostics::Problem;
use crate::config::tree::Node;
use crate::config::validate::join;
use crate::types::units::Period;

/// The keys that only some types of checks have, and which.
const KEYS: &[(&str, &[&str])] = &[
    ("body", &["http"]),
    ("body_regex", &["http"]),
    ("headers", &["grpc", "http"]),
    ("host", &["grpc", "http"]),
    ("method", &["http"]),
    ("path", &["http"]),
    ("protocol", &["http"]),
    ("service", &["grpc"]),
    ("status", &["http"]),
];

/// Header fields that are the check's own: they say how the message is framed.
const OWN_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Adds all that is wrong with the `health` of a pool, which stands at `key`.
pub(in crate::config) fn check(key: &str, health: &Node, problems: &mut Vec<Problem>) {
    let kind = health.get("type").map_or(Some("http"), Node::text).unwrap_or_default();
    let is_known = KEYS.iter().any(|(_, kinds)| kinds.contains(&kind)) || kind == "tcp";
    for (name, kinds) in KEYS {
        let Some(node) = health.get(name).filter(|_| is_known && !kinds.contains(&kind)) else {
            continue;
        };
        let message = format!("`{name}` does nothing in a check of type \"{kind}\"");
        let of_kinds = kinds.iter().map(|kind| format!("`type = \"{kind}\"`")).collect::<Vec<_>>();
        problems.push(
            Problem::new(&join(key, name), node.span.clone(), message)
                .accepts(format!("it beside {}", of_kinds.join(" or "))),
        );
    }
    check_timeout(key, health, problems);
    check_method(key, health, problems);
    check_headers(key, health, problems);
}

/// Checks of one backend never overlap, so a longer timeout would stretch the interval.
fn check_timeout(key: &str, health: &Node, problems: &mut Vec<Problem>) {
    let Some(node) = health.get("timeout") else { return };
    let period = |node: &Node| node.text().and_then(|text| text.parse::<Period>().ok());
    let interval = health.get("interval").map_or(Some(HealthCheck::default().interval), period);
    if let (Some(timeout), Some(interval)) = (period(node), interval)
        && timeout > interval
    {
        let message = format!("timeout {timeout} is longer than the interval {interval}");
        problems.push(
            Problem::new(&join(key, "timeout"), node.span.clone(), message)
                .accepts(format!("at most {interval}, or a longer `interval`")),
        );
    }
}

/// The answer to HEAD has no body.
fn check_method(key: &str, health: &Node, problems: &mut Vec<Problem>) {
    if health.get("method").and_then(Node::text) != Some("HEAD") {
        return;
    }
    for name in ["body", "body_regex"] {
        if let Some(node) = health.get(name) {
            let message = "the answer to HEAD has no body to look at";
            problems.push(
                Problem::new(&join(key, name), node.span.clone(), message)
                    .accepts("`method = \"GET\"`"),
            );
        }
    }
}

fn check_headers(key: &str, health: &Node, problems: &mut Vec<Problem>) {
    for entry in health.get("headers").map(Node::entries).unwrap_or_default() {
        if !OWN_FIELDS.contains(&entry.key.as_str()) {
            continue;
        }
        let key = join(&join(key, "headers"), &entry.key);
        let message = format!("`{}` is the check's own", entry.key);
        let accepted = match entry.key.as_str() {
            "host" => "the key `host` of the check",
            _ => "fields that do not say how the request is framed",
        };
        problems.push(Problem::new(&key, entry.key_span.clone(), message).accepts(accepted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::config::tree;

    fn said(text: &str) -> Vec<String> {
        let root = tree::parse(text, Format::Toml).unwrap();
        let mut problems = Vec::new();
        check("health", &root, &mut problems);
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message))
            .collect()
    }

    #[test]
    fn keys_go_together() {
        for (text, want) in [
            ("", vec![]),
            ("path = '/a'\nbody = 'ok'\ninterval = '1s'\ntimeout = '1s'", vec![]),
            ("type = 'grpc'\nservice = 'a'\nhost = 'a'\nheaders = { a = 'b' }", vec![]),
            ("type = 'smtp'\npath = '/'", vec![]),
            (
                "type = 'tcp'\npath = '/'\nstatus = '200'",
                vec![
                    "health.path: `path` does nothing in a check of type \"tcp\"",
                    "health.status: `status` does nothing in a check of type \"tcp\"",
                ],
            ),
            (
                "service = 'a'",
                vec!["health.service: `service` does nothing in a check of type \"http\""],
            ),
            (
                "type = 'grpc'\nprotocol = 'h2'",
                vec!["health.protocol: `protocol` does nothing in a check of type \"grpc\""],
            ),
            (
                "interval = '5s'\ntimeout = '6s'",
                vec!["health.timeout: timeout 6s is longer than the interval 5s"],
            ),
            (
                "timeout = '31s'",
                vec!["health.timeout: timeout 31s is longer than the interval 30s"],
            ),
            ("timeout = '31'", vec![]),
            (
                "method = 'HEAD'\nbody = 'ok'",
                vec!["health.body: the answer to HEAD has no body to look at"],
            ),
            (
                "[headers]\nhost = 'a'\naccept = 'a'\nte = 'a'",
                vec![
                    "health.headers.host: `host` is the check's own",
                    "health.headers.te: `te` is the check's own",
                ],
            ),
        ] {
            assert_eq!(said(text), want, "{text}");
        }
    }
}
