//! `cookies` of a route: what those get that backends set.

use super::diagnostics::Problem;
use super::matching::CookieName;
use super::pool::SameSiteName;
use super::tree::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Attributes that cookies of backends get where they do not have them; what a backend says of
/// them itself stays. Whatever browsers take for a cookie is one, also with a name that none should
/// have, or without any.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cookies {
    /// `Secure`: browsers send them over HTTPS only, and take them over nothing else. Also for
    /// Vanne's own (`sticky`, `split`).
    pub secure: bool,
    /// `HttpOnly`: scripts in pages do not see them.
    pub http_only: bool,
    /// `SameSite`: whether browsers send them with requests that other sites cause. `"none"` needs
    /// `secure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_site: Option<SameSiteName>,
    /// Cookies that stay as they are, by name: those that scripts have to see, for example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<CookieName>,
}

/// Adds what is wrong with `cookies` of routes.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let routes = root.get("route").map(Node::items).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        let Some(cookies) = route.get("cookies") else { continue };
        let is_secure = cookies.get("secure").is_some_and(|node| node.to_json() == json!(true));
        let same_site = cookies.get("same_site");
        if let (Some("none"), Some(node), false) =
            (same_site.and_then(Node::text), same_site, is_secure)
        {
            let key = format!("route[{index}].cookies.same_site");
            let message = "browsers take no cookie with SameSite=None that is not Secure";
            problems.push(
                Problem::new(&key, node.span.clone(), message).accepts("`secure = true` beside it"),
            );
        }
    }
}
