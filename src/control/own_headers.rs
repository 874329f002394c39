//! Own headers: what browsers are told by each answer of the admin API and of the probe port.
//!
//! Both answer programs, so it is what the preset `api` says: nothing may be loaded by an
//! answer, no page may frame one, none is taken for something else. They speak plain text, so
//! there is no word about HTTPS.

use axum::Router;
use axum::http::HeaderMap;
use axum::middleware::map_response;
use axum::response::Response;
use std::sync::LazyLock;
use vanne_filters::Lines;
use vanne_filters::security_headers::SecurityHeaders;
use vanne_filters::security_headers::preset::Preset;

static LINES: LazyLock<Lines> = LazyLock::new(|| SecurityHeaders::of(Preset::Api).lines(false));

/// `router`, with the fields in each of its answers: also where it knows no path or method.
pub fn careful(router: Router) -> Router {
    router.layer(map_response(add))
}

async fn add(mut response: Response) -> Response {
    set(response.headers_mut());
    response
}

fn set(fields: &mut HeaderMap) {
    for line in LINES.lines() {
        fields.insert(line.name.clone(), line.value.clone());
    }
}
