//! Check: what no schema can say, about names, places and order.
//!
//! Works on the tree, so that it also runs when other parts of the file are wrong: all
//! problems are found in one pass.

use super::check_access_log;
use super::check_asking;
use super::check_fallback;
use super::check_identity;
use super::check_kubernetes;
use super::check_limits;
use super::check_routes;
use super::check_shadows;
use super::check_waf;
use super::cookies;
use super::cors;
use super::diagnostics::Problem;
use super::pool::BackendEntry;
use super::security_headers;
use super::tree::{Entry, Node};
use crate::types::units::Period;
use std::collections::HashMap;
use std::net::SocketAddr;

/// A key file alone does nothing, and ALPN needs TLS to happen in.
fn check_pool_tls(pool: &str, node: &Node, problems: &mut Vec<Problem>) {
    let tls = node.get("tls");
    let of_tls = |key: &str| tls.and_then(|tls| tls.get(key));
    if let (Some(key), None) = (of_tls("key_file"), of_tls("certificate_file")) {
        let message = "key_file without certificate_file does nothing";
        problems.push(
            Problem::new(&format!("pool.{pool}.tls.key_file"), key.span.clone(), message)
                .accepts("both, or neither"),
        );
    }
    if let (Some("auto"), Some(node), None) =
        (node.get("protocol").and_then(Node::text), node.get("protocol"), tls)
    {
        let message = "auto is agreed on in the TLS handshake, and this pool has no tls";
        problems.push(
            Problem::new(&format!("pool.{pool}.protocol"), node.span.clone(), message)
                .accepts("`tls` beside it, or \"h2\" or \"http/1.1\""),
        );
    }
}

/// Adds all that is wrong between the parts of `root`.
pub fn check(root: &Node, problems: &mut Vec<Problem>) {
    check_listeners(root, problems);
    check_addresses(root, problems);
    check_redirects(root, problems);
    check_drain(root, problems);
    super::admin::check(root, problems);
    check_pools(root, problems);
    check_routes::check(root, problems);
    check_identity::check(root, problems);
    check_shadows::check(root, problems);
    check_asking::check_listeners(root, problems);
    check_limits::check(root, problems);
    check_waf::check(root, problems);
    check_fallback::check(root, problems);
    check_kubernetes::check(root, problems);
    check_access_log::check(root, problems);
    security_headers::check(root, problems);
    cookies::check(root, problems);
    cors::check(root, problems);
    check_unused(root, problems);
}

fn check_listeners(root: &Node, problems: &mut Vec<Problem>) {
    let is_there = root.get("listener").is_some_and(|table| !table.entries().is_empty());
    if !is_there {
        problems.push(
            Problem::new("listener", root.span.start..root.span.start, "no listener")
                .accepts("at least one, like `[listener.http]` with `address = \"0.0.0.0:8080\"`"),
        );
    }
}

/// No two sockets on one address, however it is written.
fn check_addresses(root: &Node, problems: &mut Vec<Problem>) {
    let mut seen: Vec<(SocketAddr, String)> = Vec::new();
    let probe = root.get("probe").and_then(|probe| probe.get("address"));
    if probe.is_none() {
        seen.push((super::Probe::default().address.0, "probe, by default".to_owned()));
    }
    let listeners = root.get("listener").map(Node::entries).unwrap_or_default();
    let named = listeners
        .iter()
        .filter_map(|e| Some((format!("listener.{}", e.key), e.node.get("address")?)));
    let admin = root.get("admin").and_then(|admin| admin.get("address"));
    let own = [("probe", probe), ("admin", admin)];
    let own = own.into_iter().filter_map(|(owner, node)| Some((owner.to_owned(), node?)));
    for (owner, node) in named.chain(own) {
        let Some(address) = node.text().and_then(|text| text.parse().ok()) else { continue };
        if let Some((first, of)) = seen.iter().find(|(first, _)| collide(*first, address)) {
            let message = if *first == address {
                format!("{address} is already the address of {of}")
            } else {
                format!("{address} and {first} of {of} are not free for both")
            };
            problems.push(
                Problem::new(&format!("{owner}.address"), node.span.clone(), message)
                    .accepts("an address of its own"),
            );
        } else {
            seen.push((address, owner));
        }
    }
}

/// Whether two sockets cannot listen on these: "all addresses" holds each single one, and
/// `[::]` also those of IPv4.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let holds = |all: SocketAddr, one: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
    };
    a.port() == b.port() && (a.ip() == b.ip() || holds(a, b) || holds(b, a))
}

/// A redirect to HTTPS from HTTPS would never end.
fn check_redirects(root: &Node, problems: &mut Vec<Problem>) {
    for listener in root.get("listener").map(Node::entries).unwrap_or_default() {
        let redirect = listener.node.get("redirect_to_https");
        let is_on = redirect.is_some_and(|node| node.to_json() == serde_json::Value::Bool(true));
        if let (Some(node), true, Some(_)) = (redirect, is_on, listener.node.get("tls")) {
            let key = format!("listener.{}.redirect_to_https", listener.key);
            let message = "this listener speaks HTTPS itself: its redirects would never end";
            problems.push(
                Problem::new(&key, node.span.clone(), message)
                    .accepts("`redirect_to_https` on a listener without `tls`"),
            );
        }
    }
}

fn check_drain(root: &Node, problems: &mut Vec<Problem>) {
    let defaults = super::Process::default();
    let process = root.get("process");
    let period = |key: &str, default: Period| {
        let node = process.and_then(|process| process.get(key));
        let value = node.and_then(|node| node.text()?.parse().ok());
        (node, value.unwrap_or(default))
    };
    let (delay_node, delay) = period("drain_delay", defaults.drain_delay);
    let (deadline_node, deadline) = period("drain_deadline", defaults.drain_deadline);
    if let (true, Some(node)) = (deadline <= delay, deadline_node.or(delay_node)) {
        let message = format!("drain_deadline {deadline} is not longer than drain_delay {delay}");
        problems.push(
            Problem::new("process.drain_deadline", node.span.clone(), message)
                .accepts("a deadline that leaves time after the delay"),
        );
    }
}

fn check_pools(root: &Node, problems: &mut Vec<Problem>) {
    for pool in root.get("pool").map(Node::entries).unwrap_or_default() {
        check_pool_tls(&pool.key, &pool.node, problems);
        let key = format!("pool.{}", pool.key);
        check_sticky(pool, problems);
        if let Some(breaker) = pool.node.get("breaker") {
            super::pool::check_breaker(&format!("{key}.breaker"), breaker, problems);
        }
        if let Some(dns) = pool.node.get("dns") {
            super::discovery::check(&format!("{key}.dns"), dns, problems);
        }
        if let Some(health) = pool.node.get("health") {
            super::health::check(&format!("{key}.health"), health, problems);
        }
        let backends = pool.node.get("backends").map(Node::items).unwrap_or_default();
        let mut seen = HashMap::new();
        for (index, backend) in backends.iter().enumerate() {
            let parsed = backend.text().and_then(|text| text.parse::<BackendEntry>().ok());
            let Some(BackendEntry { address, .. }) = parsed else { continue };
            if let Some(first) = seen.insert(address, index) {
                let key = format!("pool.{}.backends[{index}]", pool.key);
                let message = format!("{address} is there twice: it is also backends[{first}]");
                problems.push(
                    Problem::new(&key, backend.span.clone(), message).accepts("each backend once"),
                );
            }
        }
    }
}

/// A token is carried in one way.
fn check_sticky(pool: &Entry, problems: &mut Vec<Problem>) {
    let Some(sticky) = pool.node.get("sticky") else { return };
    let message = match (sticky.get("cookie"), sticky.get("header")) {
        (None, None) => "nothing carries the token",
        (Some(_), Some(_)) => "both cookie and header carry the token",
        _ => return,
    };
    problems.push(
        Problem::new(&format!("pool.{}.sticky", pool.key), sticky.span.clone(), message)
            .accepts("either `cookie` or `header`, like { cookie = \"VANNE\" }"),
    );
}

fn check_unused(root: &Node, problems: &mut Vec<Problem>) {
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for kind in ["cors", "pool", "security_headers"] {
        let is_own =
            |entry: &&Entry| (kind, &*entry.key) != ("security_headers", security_headers::DEFAULT);
        let entries = root.get(kind).map(Node::entries).unwrap_or_default();
        for entry in entries.iter().filter(is_own) {
            let names = |node: &Node, key: &str| {
                node.get(key).and_then(Node::text) == Some(entry.key.as_str())
            };
            let mirrors = |route: &Node| {
                kind == "pool" && route.get("mirror").is_some_and(|mirror| names(mirror, "pool"))
            };
            let splits = |route: &Node| {
                let pools = route.get("split").and_then(|split| split.get("pools"));
                kind == "pool" && pools.is_some_and(|pools| pools.get(&entry.key).is_some())
            };
            let uses = |route: &Node| names(route, kind) || mirrors(route) || splits(route);
            let is_used = routes.iter().any(uses)
                || (kind == "pool" && check_fallback::falls_back_to(root, &entry.key));
            if !is_used {
                let key = format!("{kind}.{}", entry.key);
                let message = format!("no route uses {kind} `{}`", entry.key);
                problems.push(Problem::new(&key, entry.key_span.clone(), message).warning());
            }
        }
    }
    let pages = check_fallback::pages_used(root);
    for entry in root.get("page").map(Node::entries).unwrap_or_default() {
        if !pages.contains(&entry.key) {
            let key = format!("page.{}", entry.key);
            let message = format!("nothing uses page `{}`", entry.key);
            problems.push(Problem::new(&key, entry.key_span.clone(), message).warning());
        }
    }
}
