//! Check of rate limits and the blocklist: what a bucket can hold, the names in `rate_limits`, the
//! files that are needed.

use super::check_routes::check_defined;
use super::diagnostics::Problem;
use super::tree::Node;
use super::validate::join;
use crate::types::units::{Period, Rate};
use std::time::Duration;
use vanne_filters::rate_limit::{FILL_MAX, Quota};

/// The longest that a request may be made to wait: it is held all that time.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// Adds all that is wrong with the rate limits of `root`, and where routes name them.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let limits = root.get("rate_limit").map(Node::entries).unwrap_or_default();
    for limit in limits {
        let key = format!("rate_limit.{}", limit.key);
        check_bucket(&limit.node, &key, problems);
        check_delay(&limit.node, &key, problems);
        check_sharing(root, &limit.node, &key, problems);
    }
    for listener in root.get("listener").map(Node::entries).unwrap_or_default() {
        if let Some(rate) = listener.node.get("connection_rate") {
            check_bucket(rate, &format!("listener.{}.connection_rate", listener.key), problems);
        }
    }
    check_automatic(root, problems);
    check_places(root, problems);
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        check_names(root, route, &format!("route[{index}].rate_limits"), problems);
    }
    let named = routes.iter().filter_map(|route| route.get("rate_limits")).flat_map(Node::items);
    let used: Vec<&str> = named.filter_map(name_of).filter_map(Node::text).collect();
    for limit in limits.iter().filter(|limit| !used.contains(&limit.key.as_str())) {
        let key = format!("rate_limit.{}", limit.key);
        let message = format!("no route uses rate_limit `{}`", limit.key);
        problems.push(Problem::new(&key, limit.key_span.clone(), message).warning());
    }
}

/// What blocks of themselves count in has to empty some time.
fn check_automatic(root: &Node, problems: &mut Vec<Problem>) {
    let within = root.get("blocklist").and_then(|list| list.get("automatic")?.get("within"));
    let Some(node) = within else { return };
    let Some(time) = node.text().and_then(|text| text.parse::<Period>().ok()) else { return };
    if time.as_duration() > FILL_MAX {
        let days = FILL_MAX.as_secs() / 86_400;
        let message = format!("{time} is too long to remember addresses");
        problems.push(
            Problem::new("blocklist.automatic.within", node.span.clone(), message)
                .accepts(format!("at most {days} days")),
        );
    }
}

/// Where addresses are is known from a file.
fn check_places(root: &Node, problems: &mut Vec<Problem>) {
    let rows = [("deny_countries", "country"), ("only_countries", "country"), ("deny_asns", "asn")];
    for (list, file) in rows {
        let node = root.get("blocklist").and_then(|blocklist| blocklist.get(list));
        let Some(node) = node.filter(|node| !node.items().is_empty()) else { continue };
        if root.get("geoip").and_then(|geoip| geoip.get(file)).is_none() {
            let message = "there is no file that says where addresses are";
            problems.push(
                Problem::new(&format!("blocklist.{list}"), node.span.clone(), message)
                    .accepts(format!("`geoip.{file}` with a file")),
            );
        }
    }
}

fn check_bucket(limit: &Node, key: &str, problems: &mut Vec<Problem>) {
    let rate = limit.get("rate").and_then(Node::text).and_then(|text| text.parse::<Rate>().ok());
    let Some(rate) = rate else { return };
    let Some(burst) = burst_of(limit) else { return };
    if burst > 0 && Quota::new(rate.count(), rate.per(), burst).is_none() {
        let node = limit.get("burst").unwrap_or(limit);
        let days = FILL_MAX.as_secs() / 86_400;
        let message =
            format!("at {rate} a bucket of {burst} takes longer than {days} days to fill");
        problems.push(
            Problem::new(&join(key, "burst"), node.span.clone(), message)
                .accepts("a smaller burst, or a higher rate"),
        );
    }
    if let Some(node) = limit.get("cost") {
        check_cost((node, burst), &join(key, "cost"), problems);
    }
    for cost in limit.get("method_cost").map(Node::entries).unwrap_or_default() {
        check_cost((&cost.node, burst), &format!("{key}.method_cost.{}", cost.key), problems);
    }
}

/// How many requests the bucket of a limit holds, if that is known.
fn burst_of(limit: &Node) -> Option<u32> {
    let burst = limit.get("burst").map(|node| serde_json::from_value(node.to_json()).ok());
    let rate = || limit.get("rate")?.text()?.parse::<Rate>().ok();
    burst.unwrap_or_else(|| rate().map(|rate| rate.per_second()))
}

/// A cost is at most what the bucket holds.
fn check_cost((node, burst): (&Node, u32), key: &str, problems: &mut Vec<Problem>) {
    let cost = serde_json::from_value::<u32>(node.to_json()).ok();
    if let Some(cost) = cost.filter(|cost| *cost > burst) {
        let message = format!("a request of cost {cost} never finds enough in a bucket of {burst}");
        problems.push(
            Problem::new(key, node.span.clone(), message)
                .accepts(format!("at most `burst`, {burst}")),
        );
    }
}

/// Without a Redis nothing is shared; without a measure nothing adapts.
fn check_sharing(root: &Node, limit: &Node, key: &str, problems: &mut Vec<Problem>) {
    let shared = limit.get("shared").filter(|shared| shared.text() != Some("no"));
    if let (Some(shared), None) = (shared, root.get("redis")) {
        let message = "there is no `[redis]` to share it through";
        problems.push(
            Problem::new(&join(key, "shared"), shared.span.clone(), message)
                .accepts("`[redis]` with its `address`, or \"no\""),
        );
    }
    let Some(adaptive) = limit.get("adaptive") else { return };
    if adaptive.get("latency").is_none() && adaptive.get("errors").is_none() {
        let message = "nothing says what trouble is";
        problems.push(
            Problem::new(&join(key, "adaptive"), adaptive.span.clone(), message)
                .accepts("`latency`, `errors` or both"),
        );
    }
}

/// The name in an entry of `rate_limits`: the entry, or its `name`.
fn name_of(entry: &Node) -> Option<&Node> {
    match entry.text() {
        Some(_) => Some(entry),
        None => entry.get("name"),
    }
}

/// `max_delay` goes with `action = "delay"`, and the other way round; nobody waits for ever.
fn check_delay(limit: &Node, key: &str, problems: &mut Vec<Problem>) {
    let action = limit.get("action");
    let delays = action.and_then(Node::text) == Some("delay");
    match (delays, action, limit.get("max_delay")) {
        (true, Some(action), None) => problems.push(
            Problem::new(&join(key, "action"), action.span.clone(), "nothing says how long")
                .accepts("`max_delay` beside it, like \"1s\""),
        ),
        (false, _, Some(delay)) => {
            let message = "without action = \"delay\" nothing is delayed";
            problems.push(
                Problem::new(&join(key, "max_delay"), delay.span.clone(), message)
                    .accepts("`action = \"delay\"` beside it"),
            );
        }
        (true, _, Some(delay)) => {
            let time = delay.text().and_then(|text| text.parse::<Period>().ok());
            if let Some(time) = time.filter(|time| time.as_duration() > DELAY_MAX) {
                let message = format!("no client waits {time}");
                problems.push(
                    Problem::new(&join(key, "max_delay"), delay.span.clone(), message)
                        .accepts(format!("at most {} seconds", DELAY_MAX.as_secs())),
                );
            }
        }
        _ => {}
    }
}

fn check_names(root: &Node, route: &Node, key: &str, problems: &mut Vec<Problem>) {
    let entries = route.get("rate_limits").map(Node::items).unwrap_or_default();
    for (at, entry) in entries.iter().enumerate() {
        let Some((node, name)) = name_of(entry).and_then(|node| Some((node, node.text()?))) else {
            continue;
        };
        let key = format!("{key}[{at}]");
        check_defined(root, ("rate_limit", name), node, &key, problems);
        let is_named = |before: &Node| name_of(before).and_then(Node::text) == Some(name);
        if entries.iter().take(at).any(is_named) {
            let message = format!("`{name}` stands here twice");
            problems.push(Problem::new(&key, node.span.clone(), message).accepts("each once"));
        }
        let limit = root.get("rate_limit").and_then(|limits| limits.get(name));
        if let (Some(cost), Some(burst)) = (entry.get("cost"), limit.and_then(burst_of)) {
            check_cost((cost, burst), &join(&key, "cost"), problems);
        }
    }
}
