//! Check of rate limits and automatic blocks: what a bucket can hold, and the names in
//! `rate_limits`.

use super::check_routes::check_defined;
use super::diagnostics::Problem;
use super::tree::Node;
use super::validate::join;
use crate::types::units::{Period, Rate};
use vanne_filters::rate_limit::{FILL_MAX, Quota};

/// Adds all that is wrong with the rate limits of `root`, and where routes name them.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let limits = root.get("rate_limit").map(Node::entries).unwrap_or_default();
    for limit in limits {
        let key = format!("rate_limit.{}", limit.key);
        check_bucket(&limit.node, &key, problems);
        check_delay(&limit.node, &key, problems);
    }
    check_automatic(root, problems);
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        check_names(root, route, &format!("route[{index}].rate_limits"), problems);
    }
    let names = routes.iter().filter_map(|route| route.get("rate_limits")).flat_map(Node::items);
    let used: Vec<&str> = names.filter_map(Node::text).collect();
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

fn check_bucket(limit: &Node, key: &str, problems: &mut Vec<Problem>) {
    let number = |name| {
        let node = limit.get(name)?;
        Some((node, serde_json::from_value::<u32>(node.to_json()).ok()?))
    };
    let rate = limit.get("rate").and_then(Node::text).and_then(|text| text.parse::<Rate>().ok());
    let Some(rate) = rate else { return };
    let burst = number("burst").map_or_else(|| rate.per_second(), |(_, burst)| burst);
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
    if let Some((node, cost)) = number("cost").filter(|(_, cost)| *cost > burst) {
        let message = format!("a request of cost {cost} never finds enough in a bucket of {burst}");
        problems.push(
            Problem::new(&join(key, "cost"), node.span.clone(), message)
                .accepts(format!("at most `burst`, {burst}")),
        );
    }
}

/// `max_delay` goes with `action = "delay"`, and the other way round.
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
        _ => {}
    }
}

fn check_names(root: &Node, route: &Node, key: &str, problems: &mut Vec<Problem>) {
    let names = route.get("rate_limits").map(Node::items).unwrap_or_default();
    for (at, node) in names.iter().enumerate() {
        let Some(name) = node.text() else { continue };
        let key = format!("{key}[{at}]");
        check_defined(root, ("rate_limit", name), node, &key, problems);
        if names.iter().take(at).any(|before| before.text() == Some(name)) {
            let message = format!("`{name}` stands here twice");
            problems.push(Problem::new(&key, node.span.clone(), message).accepts("each once"));
        }
    }
}
