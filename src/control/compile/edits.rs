//! Edits: the config's `headers` and `rewrite` → what a route changes.

use crate::config::{self, FieldEdits};
use crate::data::edits::{FieldEdit, FieldText, PathRewrite, RouteEdits};
use crate::types::percent::plain_text;
use http::{HeaderName, HeaderValue};

/// What `route` changes.
pub(super) fn compile(route: &config::Route) -> RouteEdits {
    let rewrite = route.rewrite.clone().unwrap_or_default();
    RouteEdits {
        request: fields(&route.headers.request),
        response: fields(&route.headers.response),
        host: rewrite.host.as_ref().and_then(|host| HeaderValue::from_str(host.as_str()).ok()),
        path: path(&rewrite, route),
    }
}

fn fields(edits: &FieldEdits) -> Vec<FieldEdit> {
    // What is in the config was checked.
    let name = |name: &config::FieldName| HeaderName::from_bytes(name.as_str().as_bytes()).ok();
    let remove = edits.remove.iter().filter_map(name).map(FieldEdit::Remove);
    let set = edits
        .set
        .iter()
        .filter_map(|(field, to)| Some(FieldEdit::Set(name(field)?, FieldText::new(to))));
    let add = edits
        .add
        .iter()
        .filter_map(|(field, to)| Some(FieldEdit::Add(name(field)?, FieldText::new(to))));
    remove.chain(set).chain(add).collect()
}

fn path(rewrite: &config::Rewrite, route: &config::Route) -> Option<PathRewrite> {
    let bare = |path: &str| path.strip_suffix('/').unwrap_or(path).as_bytes().into();
    if let (Some(new), Some(old)) = (&rewrite.path_prefix, &route.matches.path) {
        // Routes compare paths without needless encoding, and so do we.
        let old = bare(&plain_text(old.as_str()));
        return Some(PathRewrite::Prefix { old, new: bare(new.as_str()) });
    }
    let parts = rewrite.path.as_ref()?.parts();
    match &rewrite.path_regex {
        Some(pattern) => {
            Some(PathRewrite::Pattern { pattern: pattern.0.clone(), parts: parts.to_vec() })
        }
        None => {
            let whole: Vec<u8> = parts.iter().flat_map(|(text, _)| text.to_vec()).collect();
            Some(PathRewrite::Whole(whole.into()))
        }
    }
}
