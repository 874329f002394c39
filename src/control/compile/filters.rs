//! Filters of routes, and of what no route answers.

use super::{CompileError, dangling};
use crate::config::security_headers::DEFAULT;
use crate::config::{self, Config, SameSiteName};
use crate::data::chain::Chain;
use std::fmt::Display;
use vanne_filters::security_headers::preset::Preset;
use vanne_filters::{FilterConfig, cookies, cors};

/// The filters of `route`, or of what no route answers, in the order in which they run.
///
/// # Errors
/// When the config was not checked.
pub(super) fn chain(route: Option<&config::Route>, config: &Config) -> Result<Chain, CompileError> {
    let headers = config.security_headers_of(route).ok_or_else(|| {
        dangling("security_headers", &route.map_or(DEFAULT, |route| route.name.as_str()))
    })?;
    let mut filters = Vec::with_capacity(3);
    if *headers != vanne_filters::SecurityHeaders::of(Preset::Off) {
        filters.push(FilterConfig::SecurityHeaders(headers.into_owned()));
    }
    if let Some(id) = route.and_then(|route| route.cors.as_ref()) {
        let cors = config.cors.get(id).ok_or_else(|| dangling("cors", id))?;
        filters.push(FilterConfig::Cors(policy(cors)));
    }
    if let Some(cookies) = route.and_then(|route| route.cookies.as_ref()) {
        filters.push(FilterConfig::Cookies(rules(cookies)));
    }
    Ok(Chain::new(filters.iter().filter_map(vanne_filters::build).collect()))
}

fn policy(config: &config::Cors) -> cors::Policy {
    cors::Policy {
        origins: config.origins.iter().map(|origin| origin.0.clone()).collect(),
        methods: list(&config.methods),
        headers: list(&config.headers),
        expose: list(&config.expose),
        credentials: config.credentials,
        max_age_seconds: config.max_age.as_duration().as_secs(),
        private_network: config.private_network,
    }
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn rules(config: &config::Cookies) -> cookies::Rules {
    cookies::Rules {
        secure: config.secure,
        http_only: config.http_only,
        same_site: config.same_site.map(|same_site| match same_site {
            SameSiteName::Lax => "Lax",
            SameSiteName::None => "None",
            SameSiteName::Strict => "Strict",
        }),
        except: config.except.iter().map(|name| name.as_str().into()).collect(),
    }
}
