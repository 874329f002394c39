//! Check of the access log: fields that do not exist or are not captured, lengths, rules.

use super::diagnostics::Problem;
use super::tree::Node;
use super::validate::join;
use crate::types::log_field::FIELDS;
use crate::types::log_format::{InvalidLogFormat, LogFormat, LogPiece};
use crate::types::units::ByteSize;

/// The most that is kept of one captured field.
const CAPTURE_BYTES_MAX: u64 = 4096;

/// Adds all that is wrong with the access log of `root`.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let Some(log) = root.get("access_log") else { return };
    check_lengths(log, problems);
    if let Some(format) = log.get("format") {
        check_format(log, format, problems);
    }
    let rules = log.get("sample").map(Node::items).unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        check_rule(root, rule, &format!("access_log.sample[{index}]"), problems);
    }
}

fn check_lengths(log: &Node, problems: &mut Vec<Problem>) {
    for side in ["request", "response"] {
        let captured = log.get("headers").and_then(|headers| headers.get(side));
        for entry in captured.map(Node::entries).unwrap_or_default() {
            let size = entry.node.text().and_then(|text| text.parse::<ByteSize>().ok());
            let Some(size) = size.map(ByteSize::as_bytes) else { continue };
            if !(1..=CAPTURE_BYTES_MAX).contains(&size) {
                let key = format!("access_log.headers.{side}.{}", entry.key);
                let message = format!("{size} bytes are out of range");
                problems.push(
                    Problem::new(&key, entry.node.span.clone(), message)
                        .accepts("a number of bytes from 1B to 4KiB"),
                );
            }
        }
    }
}

fn check_format(log: &Node, node: &Node, problems: &mut Vec<Problem>) {
    let Some(text) = node.text() else { return };
    let wrong = |message: String| Problem::new("access_log.format", node.span.clone(), message);
    match text.parse::<LogFormat>() {
        Err(InvalidLogFormat::Field(name)) => {
            let names = || FIELDS.iter().map(|row| row.name);
            let accepted = names().collect::<Vec<_>>().join(", ");
            problems.push(
                wrong(format!("`{{{name}}}` is no field"))
                    .accepts(format!(
                        "one of {accepted}, request_header:NAME, response_header:NAME"
                    ))
                    .suggests(&name, names()),
            );
        }
        Ok(format) => {
            for piece in format.pieces() {
                let (side, name) = match piece {
                    LogPiece::RequestHeader(name) => ("request", name),
                    LogPiece::ResponseHeader(name) => ("response", name),
                    LogPiece::Text(_) | LogPiece::Field(_) => continue,
                };
                let captured = log.get("headers").and_then(|headers| headers.get(side));
                let is_it = |key: &str| key.eq_ignore_ascii_case(name);
                let captured = captured.map(Node::entries).unwrap_or_default();
                if !captured.iter().any(|entry| is_it(&entry.key)) {
                    let message = format!("`{{{side}_header:{name}}}` is not captured");
                    let instead = format!("`headers.{side} = {{ {name} = \"200B\" }}` beside it");
                    problems.push(wrong(message).accepts(instead));
                }
            }
        }
        // Said by the check of its format.
        Err(_) => {}
    }
}

/// A rule is about a route that there is.
fn check_rule(root: &Node, rule: &Node, key: &str, problems: &mut Vec<Problem>) {
    let Some(node) = rule.get("route") else { return };
    let Some(name) = node.text() else { return };
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    let names: Vec<&str> =
        routes.iter().filter_map(|route| route.get("name").and_then(Node::text)).collect();
    if !names.contains(&name) {
        let message = format!("no route is called `{name}`");
        problems.push(
            Problem::new(&join(key, "route"), node.span.clone(), message)
                .accepts(format!("one of {}", names.join(", ")))
                .suggests(name, names),
        );
    }
}
