//! Check of what pools say about Kubernetes, and about waiting for their backends.

use super::diagnostics::Problem;
use super::tree::{Node, Value};

/// Keys of a pool that name a source of backends.
const SOURCES: [&str; 3] = ["backends_file", "dns", "kubernetes"];

/// Adds all that is wrong with them in `root`.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    for pool in root.get("pool").map(Node::entries).unwrap_or_default() {
        if let (Some(node), false) = (pool.node.get("kubernetes"), cfg!(feature = "kubernetes")) {
            let key = format!("pool.{}.kubernetes", pool.key);
            let message = "this build of Vanne does not know Kubernetes";
            problems.push(
                Problem::new(&key, node.span.clone(), message)
                    .accepts("a build with the feature `kubernetes`"),
            );
        }
        let required = pool.node.get("required");
        let is_required = |node: &&Node| matches!(node.value, Value::Bool(true));
        let has_source = SOURCES.iter().any(|source| pool.node.get(source).is_some());
        if let (Some(node), false) = (required.filter(is_required), has_source) {
            let key = format!("pool.{}.required", pool.key);
            let message = "nothing finds backends of this pool: there is no list to wait for";
            problems.push(
                Problem::new(&key, node.span.clone(), message)
                    .accepts("`kubernetes`, `dns` or `backends_file` beside it"),
            );
        }
    }
}
