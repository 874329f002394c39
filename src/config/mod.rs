//! Config: text → values that cannot be wrong.
//!
//! A file is read into a tree of values with places (`tree`), variables are filled in
//! (`expand`), and the tree is checked against the schema of the types below (`validate`)
//! and for what no schema can say (`check`). All problems are collected. Only a file
//! without errors becomes a [`Config`]; later code never checks again.
//!
//! To add a key: a field with its doc comment (it is the reference's text), its default,
//! and the test that shows its effect.

pub mod access_log;
pub mod admin;
pub mod answer;
pub mod blocklist;
pub mod check;
mod check_access_log;
mod check_asking;
mod check_edits;
mod check_fallback;
mod check_identity;
mod check_kubernetes;
mod check_limits;
mod check_routes;
mod check_shadows;
mod check_waf;
pub mod cookies;
pub mod cors;
pub mod diagnostics;
pub mod discovery;
pub mod edits;
pub mod error_pages;
pub mod expand;
pub mod fallback;
pub mod formats;
pub mod geoip;
pub mod health;
pub mod identity;
mod json;
pub mod kubernetes;
pub mod listener;
pub mod matching;
pub mod network;
pub mod observe;
pub mod overload;
pub mod page;
mod paths;
pub mod pool;
pub mod probe;
pub mod process;
pub mod profile;
pub mod rate_limit;
pub mod redis;
pub mod reference;
pub mod route;
pub mod rule_files;
pub mod secret;
pub mod security_headers;
mod shown;
pub mod split;
pub mod tls;
pub mod tree;
pub mod validate;
pub mod value_match;
pub mod waf;

pub use access_log::{AccessLog, AccessLogHeaders, AccessLogTarget, Redact, SampleRule};
pub use admin::Admin;
pub use answer::{FieldValue, FixedAnswer, Redirect, RedirectStatus, RedirectTo, Scheme};
pub use blocklist::{AutomaticBlocks, Blocklist};
pub use cookies::Cookies;
pub use cors::{Cors, CorsMethod, OriginPattern};
pub use diagnostics::{Diagnostics, Problem, Severity};
pub use discovery::Dns;
pub use edits::{FieldEdits, PathTemplate, Rewrite, RouteHeaders};
pub use error_pages::{ErrorKey, ErrorPages};
pub use expand::{Environment, ProcessEnvironment};
pub use fallback::{FallbackCache, FallbackStep};
pub use geoip::GeoIp;
pub use health::{HealthCheck, StatusSet};
pub use identity::{
    ApiKeys, Basic, CertificateName, ClientCertificate, Forward, HttpUrl, Identity, IdentityMode,
    Jwt, JwtAlgorithm, KeySource, RouteIdentity, Scope, TokenSource,
};
pub use kubernetes::{Kubernetes, KubernetesService, ObjectName, ServicePort, ZoneRule};
pub use listener::{
    Address, ConnectionRate, DotSegments, EncodedSlashes, Http2, Listener, ListenerPaths,
    ListenerProtocol, ListenerTimeouts, RepeatedSlashes, UnsafeCharacters,
};
pub use matching::{
    CookieName, FieldName, HostPattern, MethodName, ParameterName, PathPattern, RouteMatch,
};
pub use network::Network;
pub use observe::{FilePath, Log, LogLevel};
pub use overload::{Overload, Priority};
pub use page::{Page, PageSource};
pub use pool::{
    AlgorithmName, BackendAddress, BackendBreaker, BackendEntry, Breaker, FailureName, Hash,
    HashSource, LoadFactor, Outliers, Pool, PoolHttp2, PoolProtocol, PoolQueue, PoolRetries,
    PoolTimeouts, PoolTls, RetryOn, SameSiteName, SlowCall, Sticky, WhenDraining, WhenFull,
    WhenOpen,
};
pub use probe::Probe;
pub use process::Process;
pub use profile::Profile;
pub use rate_limit::{
    AdaptiveLimit, LimitAction, LimitCost, LimitKey, LimitPart, LimitSharing, LimitTell, RateLimit,
    RouteLimit,
};
pub use redis::{Redis, RedisAddress, RedisText};
pub use route::{AtOnce, Host, PathPrefix, Route, RouteMirror, RouteTimeouts};
pub use secret::Secret;
pub use security_headers::RouteSecurityHeaders;
pub use shown::{hide, shown};
pub use split::{Split, SplitBy};
pub use tls::{ClientCertificates, ListenerTls, TlsVersion};
pub use tree::Format;
pub use value_match::{ValueMatch, ValueRule};
pub use waf::{
    Waf, WafAbove, WafAnswerBody, WafBody, WafExclusion, WafLog, WafLogFormat, WafLogged, WafMode,
    WafWhenOver,
};

use crate::types::ids::{FilterId, IdentityId, LimitId, ListenerId, PageId, PoolId, WafId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tree::{Node, Value};
use validate::Schema;
use vanne_filters::SecurityHeaders;

/// The config of Vanne: TOML, or the same as YAML or JSON.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the process runs, by which keys that the file leaves out are what is sensible there;
    /// a key that stands in the file is never changed. `vanne show-config --defaults` shows what
    /// that is, and the manual has a table. `"production"`: safe defaults, also for `paths` of
    /// listeners, and the built-in rules of the firewall for all routes that name no other.
    /// `"staging"`: the same, but firewalls only watch, and it tells more and leaves nothing in
    /// browsers. `"development"`: as `"staging"`, with no security headers unless asked for, time
    /// to stand at a breakpoint, a fast exit. Without it: as `"production"`, but paths stay as
    /// they came, and there is no firewall but those that the file has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The process as a whole.
    #[serde(default)]
    pub process: Process,
    /// The process log, on standard error.
    #[serde(default)]
    pub log: Log,
    /// The access log: one line per request.
    #[serde(default)]
    pub access_log: AccessLog,
    /// The port for orchestrators and Prometheus.
    #[serde(default)]
    pub probe: Probe,
    /// How operators reach the running process.
    #[serde(default)]
    pub admin: Admin,
    /// How the API server of Kubernetes is reached.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// Where clients come in; at least one.
    #[serde(default)]
    pub listener: BTreeMap<ListenerId, Listener>,
    /// The backends of each service.
    #[serde(default)]
    pub pool: BTreeMap<PoolId, Pool>,
    /// Pages for `fallback` and `error_pages`.
    #[serde(default)]
    pub page: BTreeMap<PageId, Page>,
    /// The store of good answers that `cached` in a `fallback` gives.
    #[serde(default)]
    pub fallback_cache: FallbackCache,
    /// Sets of security headers, for routes to name. The one called `default` is for routes that
    /// name none and for what no route answers; without it that is as the profile says.
    #[serde(default)]
    pub security_headers: BTreeMap<FilterId, SecurityHeaders>,
    /// Addresses that may not come in.
    #[serde(default)]
    pub blocklist: Blocklist,
    /// Files that say where addresses are.
    #[serde(default)]
    pub geoip: GeoIp,
    /// Ways to know who sends a request, for routes to name.
    #[serde(default)]
    pub identity: BTreeMap<IdentityId, Identity>,
    /// Which pages of other origins may read answers, for routes to name.
    #[serde(default)]
    pub cors: BTreeMap<FilterId, Cors>,
    /// The store through which replicas share what they count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Rate limits, for routes to name.
    #[serde(default)]
    pub rate_limit: BTreeMap<LimitId, RateLimit>,
    /// Web application firewalls, for routes to name. The one called `default` is for routes that
    /// name none; without it the profile says whether they have one.
    #[serde(default)]
    pub waf: BTreeMap<WafId, Waf>,
    /// The log of the web application firewalls.
    #[serde(default)]
    pub waf_log: WafLog,
    /// Which requests go where.
    #[serde(default)]
    pub route: Vec<Route>,
}

impl Config {
    /// Files that the config names and that are part of it: a change in one is a change of
    /// the config.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        paths::files(self)
    }
}

/// A config that can be used, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// What the file itself says, variables filled in; secrets are not hidden.
    pub written: serde_json::Value,
    /// The same with what its profile says of keys that it leaves out.
    pub filled: serde_json::Value,
    /// Warnings only.
    pub warnings: Diagnostics,
}

/// A file's name and text.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its syntax.
    pub format: Format,
    /// The folder that relative paths in it count from.
    pub folder: &'a Path,
}

/// Reads and checks the file at `path`; its extension says its syntax.
///
/// # Errors
/// All that is wrong with it, with places.
pub fn load(path: &Path, environment: &dyn Environment) -> Result<Loaded, Box<Diagnostics>> {
    let name = path.display().to_string();
    let unreadable = |why: String| Box::new(Diagnostics::unreadable(&name, why));
    let Some(format) = format_of(path) else {
        let why = "its extension says no syntax: expected .toml, .yaml, .yml or .json";
        return Err(unreadable(why.into()));
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("not UTF-8: {}", error.utf8_error())))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&Source { name: &name, text: &text, format, folder }, environment)
}

/// Where the value of `key`, like `pool.api.tls` or `route[2].answer`, stands in `text`; at its start if nowhere.
#[must_use]
pub fn place(text: &str, format: Format, key: &str) -> Range<usize> {
    let Ok(root) = tree::parse(text, format) else { return 0..0 };
    let found = key.split('.').try_fold(&root, |node, part| match part.split_once('[') {
        None => node.get(part),
        Some((name, index)) => {
            node.get(name)?.items().get(index.strip_suffix(']')?.parse::<usize>().ok()?)
        }
    });
    found.map_or(0..0, |node| node.span.clone())
}

/// The syntax of the file at `path`, by its extension.
#[must_use]
pub fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "toml" => Some(Format::Toml),
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// The `socket` and `address` of `[admin]` in the file at `path`, whatever else is wrong with it.
///
/// # Errors
/// When the file cannot be read.
pub fn admin_places(path: &Path, environment: &dyn Environment) -> Result<Admin, std::io::Error> {
    let text = std::fs::read_to_string(path)?;
    let format = format_of(path).unwrap_or(Format::Toml);
    let Ok(mut root) = tree::parse(&text, format) else { return Ok(Admin::default()) };
    expand::expand(&mut root, "", environment, &mut Vec::new());
    let folder = path.parent().unwrap_or(Path::new("."));
    let named = |key| root.get("admin").and_then(|admin| admin.get(key)).and_then(Node::text);
    Ok(Admin {
        socket: named("socket").map(|socket| FilePath(folder.join(socket))),
        address: named("address").and_then(|address| address.parse().ok()),
        ..Admin::default()
    })
}

/// Reads and checks a text.
///
/// # Errors
/// All that is wrong with it, with places.
pub fn parse(
    source: &Source<'_>,
    environment: &dyn Environment,
) -> Result<Loaded, Box<Diagnostics>> {
    let diagnostics = |mut problems: Vec<Problem>| {
        problems.sort_by_key(|problem| problem.span.start);
        Diagnostics {
            file: source.name.to_owned(),
            text: source.text.to_owned(),
            problems,
            is_readable: true,
        }
    };
    let mut root = match tree::parse(source.text, source.format) {
        Ok(root) => root,
        Err(problems) => return Err(Box::new(diagnostics(problems))),
    };
    let mut problems = Vec::new();
    drop_nothings(&mut root);
    expand::expand(&mut root, "", environment, &mut problems);
    Schema::of_config().check(&mut root, &mut problems);
    let written = root.to_json();
    profile::fill(&mut root);
    check::check(&root, &mut problems);
    let token = secret::from_file(&root, source.folder, &mut problems);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Box::new(diagnostics(problems)));
    }
    let filled = root.to_json();
    match Config::deserialize(&filled) {
        Ok(mut config) => {
            paths::resolve(&mut config, source.folder);
            if token.is_some() {
                config.probe.metrics_token = token;
            }
            Ok(Loaded { config, written, filled, warnings: diagnostics(problems) })
        }
        // The schema and the types are one, so this should not be; say it all the same.
        Err(error) => Err(Box::new(diagnostics(vec![Problem::new("", 0..0, error.to_string())]))),
    }
}

/// A key without a value in YAML (`pool:`) is an empty table at the top, nothing elsewhere.
fn drop_nothings(node: &mut Node) {
    if let Value::Table(entries) = &mut node.value {
        entries.retain(|entry| !matches!(entry.node.value, Value::Null));
    }
}
