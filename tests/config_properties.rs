//! Properties of the config layer: what is written is read back; no text breaks it; `vanne check`.
//!
//! Configs are made at random within what the types allow, references included. Secrets are left
//! out: they are never written. To add a key: it is in a strategy below, or `any_config` no
//! longer compiles.
#![cfg(test)]

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use vanne::config::AdaptiveLimit;
use vanne::config::{
    self, AccessLog, AccessLogHeaders, AccessLogTarget, Address, AlgorithmName, BackendAddress,
    BackendBreaker, BackendEntry, Breaker, Config, DotSegments, EncodedSlashes, Environment,
    ErrorPages, FailureName, FallbackCache, FallbackStep, FieldEdits, FieldValue, FixedAnswer,
    Format, Hash, Http2, Identity, IdentityMode, Jwt, JwtAlgorithm, LimitAction, LimitSharing,
    LimitTell, Listener, ListenerPaths, ListenerProtocol, ListenerTimeouts, LoadFactor, Log,
    LogLevel, Outliers, Overload, Page, PageSource, PathPrefix, Pool, PoolHttp2, PoolProtocol,
    PoolQueue, PoolRetries, PoolTimeouts, PoolTls, Priority, Probe, Process, Profile, RateLimit,
    Redact, Redirect, RepeatedSlashes, RetryOn, Rewrite, Route, RouteHeaders, RouteIdentity,
    RouteMatch, RouteMirror, RouteSecurityHeaders, RouteTimeouts, SampleRule, Scheme, SlowCall,
    Source, UnsafeCharacters, ValueMatch, ValueRule,
};
use vanne::types::units::{ByteSize, Percent, Period};
use vanne_filters::SecurityHeaders;
use vanne_filters::security_headers::preset::Preset;
use vanne_filters::security_headers::{Field, RemovedField};

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9_-]{0,9}|true|null|1e5|0"
}

fn period() -> impl Strategy<Value = Period> {
    (1_u64..=31_622_400_000).prop_map(|ms| format!("{ms}ms").parse().unwrap())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<Ipv4Addr>().prop_map(IpAddr::from);
    let v6 = any::<Ipv6Addr>().prop_map(IpAddr::from);
    (prop_oneof![v4, v6], 1_u16..).prop_map(SocketAddr::from)
}

fn process() -> impl Strategy<Value = Process> {
    let drain = (1_u64..40_000, 1_u64..40_000);
    (option::of(1_u16..=256), drain, 1_u32..=1_000_000).prop_map(
        |(workers, (delay, longer), idle_upstream_connections)| Process {
            workers,
            drain_delay: format!("{delay}ms").parse().unwrap(),
            drain_deadline: format!("{}ms", delay + longer).parse().unwrap(),
            idle_upstream_connections,
            overload: workers.map(|workers| Overload {
                max_in_flight: workers.into(),
                retry_after: Period::from_secs(1),
            }),
            state_dir: workers.map(|_| config::FilePath("/var/lib/vanne".into())),
            watch_config: false,
        },
    )
}

fn log_level() -> impl Strategy<Value = LogLevel> {
    use LogLevel::{Debug, Error, Info, Off, Warn};
    select(vec![Off, Error, Warn, Info, Debug])
}

fn access_log() -> impl Strategy<Value = AccessLog> {
    let file = "\\PC{0,12}/[^/]{1,12}".prop_map(|path| AccessLogTarget::File(path.into()));
    let server = (select(vec!["udp:a-b.c", "tcp:[::1]", "tcp:192.0.2.1"]), 1_u16..)
        .prop_map(|(host, port)| format!("syslog:{host}:{port}").parse().unwrap());
    let to = prop_oneof![
        Just(AccessLogTarget::Off),
        Just(AccessLogTarget::Stdout),
        Just(AccessLogTarget::SyslogUnix("/dev/log".into())),
        server.boxed(),
        file.prop_filter("not syslog", |to| !to.to_string().starts_with("syslog:")).boxed(),
    ];
    let format = select(vec!["json", "ecs", "httplog", "{{ {client} \"{request_header:x-a}\" {"])
        .prop_map(|format| format.parse().unwrap());
    let captured = |name: &'static str| {
        (1_u64..=4096).prop_map(move |bytes| {
            [(name.parse().unwrap(), format!("{bytes}B").parse().unwrap())].into()
        })
    };
    let headers = (captured("x-a"), captured("server"))
        .prop_map(|(request, response)| AccessLogHeaders { request, response });
    let redact = ("[a-z]{1,9}", "[A-Za-z%_]{1,9}").prop_map(|(header, parameter)| Redact {
        headers: vec![header.parse().unwrap()],
        parameters: vec![parameter.parse().unwrap()],
    });
    let status = option::of(select(vec!["200", "200-299,404"]));
    let rule = (status, 0_u16..=100).prop_map(|(status, share)| SampleRule {
        route: None,
        status: status.map(|set| set.parse().unwrap()),
        share: Percent::from_whole(share),
    });
    (to, format, headers, redact, vec(rule, 0..3)).prop_map(
        |(to, format, headers, redact, sample)| AccessLog { to, format, headers, redact, sample },
    )
}

fn listener() -> impl Strategy<Value = Listener> {
    let protocols = subsequence(vec![ListenerProtocol::Http2, ListenerProtocol::Http1], 1..=2);
    let timeouts = (period(), period(), period(), period()).prop_map(
        |(handshake, head, idle, between_bytes)| ListenerTimeouts {
            handshake,
            head,
            idle,
            between_bytes,
        },
    );
    (address(), 1_u32..=10_000_000, protocols, 1_u32..=10_000, timeouts).prop_map(
        |(address, max_connections, protocols, max_streams, timeouts)| Listener {
            address: Address(address),
            max_connections,
            connection_rate: None,
            protocols: Some(protocols),
            tls: None,
            http2: Http2 { max_streams },
            redirect_to_https: max_streams % 2 == 0,
            paths: ListenerPaths {
                dot_segments: DotSegments::Normalise,
                encoded_slashes: EncodedSlashes::Reject,
                repeated_slashes: RepeatedSlashes::Merge,
                unsafe_characters: UnsafeCharacters::Encode,
            },
            https_port: 443,
            explain_to: Vec::new(),
            error_pages: ErrorPages::default(),
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            timeouts,
        },
    )
}

fn pool() -> impl Strategy<Value = Pool> {
    let timeouts = (period(), period(), period(), period()).prop_map(
        |(connect, first_byte, between_bytes, idle)| PoolTimeouts {
            connect,
            first_byte,
            between_bytes,
            idle,
        },
    );
    let wire =
        (select(vec![PoolProtocol::Http1, PoolProtocol::Http2]), 1_u32..=10_000, any::<bool>());
    (backends(), wire, pool_rules(), timeouts).prop_map(
        |(backends, (protocol, max_streams, verify), rules, timeouts)| Pool {
            protocol,
            http2: PoolHttp2 { max_streams },
            tls: Some(PoolTls { verify, ..PoolTls::default() }),
            backends,
            timeouts,
            ..rules
        },
    )
}

fn backends() -> impl Strategy<Value = Vec<BackendEntry>> {
    let entry = |(address, weight, is_backup, most): (_, u16, bool, u32)| BackendEntry {
        address,
        weight,
        is_backup,
        max_requests: (most > 0).then_some(most),
    };
    let one = (address(), 0_u16..=1000, any::<bool>(), 0_u32..9).prop_map(entry);
    vec(one, 0..4).prop_map(|mut backends| {
        backends.sort_by_key(|backend| backend.address);
        backends.dedup_by_key(|backend| backend.address);
        backends
    })
}

/// A pool's rules for choosing, waiting and trying again.
fn pool_rules() -> impl Strategy<Value = Pool> {
    use AlgorithmName::{IpHash, LeastConnections, LeastResponseTime, RoundRobin, Weighted};
    use RetryOn::{Reset, Status429, Status500, Status502, Status503, Status504, Timeout};
    let algorithm = select(vec![IpHash, LeastConnections, LeastResponseTime, RoundRobin, Weighted]);
    let on = vec![Reset, Status429, Status500, Status502, Status503, Status504, Timeout];
    let retries = (0_u8..=10, subsequence(on, 0..=7), share(), 0_u16..=1000).prop_map(
        |(attempts, on, budget, budget_floor)| PoolRetries {
            attempts,
            on,
            budget,
            budget_floor,
            ..PoolRetries::default()
        },
    );
    let queue = (0_u32..=100_000, period()).prop_map(|(size, timeout)| PoolQueue { size, timeout });
    let source = prop_oneof!["header:[a-z]{1,9}", "cookie:[A-Za-z]{1,9}", "ip|path"];
    let hash = (source, option::of(101_u32..=1000)).prop_map(|(on, load_max)| Hash {
        on: on.parse().unwrap(),
        load_max: load_max.map(LoadFactor),
    });
    let rest = (option::of(1_u32..=1_000_000), option::of(period()), share());
    (algorithm, hash, retries, queue, circuits(), rest).prop_map(
        |(algorithm, hash, retries, queue, (breaker, guard, outliers), rest)| Pool {
            algorithm,
            hash,
            retries,
            queue,
            breaker,
            guard,
            outliers,
            max_requests: rest.0,
            overload: rest
                .0
                .zip(rest.1)
                .map(|(max_in_flight, retry_after)| Overload { max_in_flight, retry_after }),
            slow_start: rest.1,
            panic_threshold: rest.2,
            ..Pool::default()
        },
    )
}

fn page() -> impl Strategy<Value = Page> {
    let body = || "[ -~\\n]{1,9}";
    (option::of(400_u16..=599), option::of(body()), body(), option::of(period())).prop_map(
        |(status, html, json, retry_after)| Page {
            status,
            html,
            json: Some(json),
            retry_after,
            ..Page::default()
        },
    )
}

/// A share of a whole.
fn share() -> impl Strategy<Value = Percent> + Clone {
    (0_u16..=100).prop_map(Percent::from_whole)
}

fn circuits() -> impl Strategy<Value = (Breaker, Percent, Option<Outliers>)> {
    let slow =
        || (period(), share()).prop_map(|(longer_than, rate)| SlowCall { longer_than, rate });
    let own = (option::of(0_u32..=10_000), option::of(share()), option::of(slow())).prop_map(
        |(failures, failure_rate, slow_call)| BackendBreaker {
            failures,
            failure_rate,
            slow_call,
            ..BackendBreaker::default()
        },
    );
    let backends = btree_map(address().prop_map(BackendAddress), own, 0..3);
    let counts = vec(select(FailureName::ALL.to_vec()), 0..4);
    let numbers = (100_u32..=10_000, 1_u32..=100, 0_u32..=10_000, 1_u32..=10);
    let breaker = (numbers, share(), slow(), counts, option::of(period()), backends).prop_map(
        |(numbers, failure_rate, slow_call, counts, window_time, backends)| Breaker {
            window: numbers.0,
            min_calls: numbers.1,
            failures: numbers.2,
            backoff: numbers.3,
            failure_rate,
            slow_call,
            counts,
            window_time,
            backends,
            ..Breaker::default()
        },
    );
    let outliers = (2_u32..=10_000, share(), 0_u32..=1000).prop_map(
        |(min_backends, more_errors, times_slower)| Outliers {
            min_backends,
            more_errors,
            times_slower,
            ..Outliers::default()
        },
    );
    (breaker, share(), option::of(outliers))
}

fn security_headers() -> impl Strategy<Value = SecurityHeaders> {
    let value = || option::of("[\t -~]{0,16}");
    let preset = select(Preset::ALL.to_vec());
    let replace = vec(select(vec![Field::XFrameOptions, Field::ReferrerPolicy]), 0..3);
    let remove = option::of(vec("[a-z]{1,9}".prop_map(RemovedField), 0..3));
    let rest = (preset, replace, remove, value());
    (value(), value(), value(), value(), value(), value(), rest).prop_map(
        |(
            strict_transport_security,
            content_security_policy,
            frame_options,
            content_type_options,
            referrer_policy,
            permissions_policy,
            (preset, replace, remove, cross_origin_opener_policy),
        )| SecurityHeaders {
            preset,
            strict_transport_security,
            content_security_policy,
            frame_options,
            content_type_options,
            referrer_policy,
            permissions_policy,
            cross_origin_embedder_policy: None,
            cross_origin_resource_policy: cross_origin_opener_policy.clone(),
            cross_origin_opener_policy,
            replace,
            remove,
        },
    )
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    let text = || "[ -~]{0,6}";
    let regex = select(vec!["a+", "(x|y)", "$?"]).prop_map(|text| text.parse().unwrap());
    prop_oneof![
        text().prop_map(ValueMatch::Exact),
        prop_oneof![
            text().prop_map(ValueRule::Contains),
            text().prop_map(ValueRule::Prefix),
            text().prop_map(ValueRule::Suffix),
            any::<bool>().prop_map(ValueRule::Present),
            regex.prop_map(ValueRule::Regex),
        ]
        .prop_map(ValueMatch::Rule),
    ]
}

/// What stands in a `match` that holds no others.
fn plain_match() -> impl Strategy<Value = RouteMatch> {
    let host = "(\\*\\.)?[a-z0-9]([a-z0-9_-]{0,5}[a-z0-9])?(\\.[a-z0-9]{1,5}){0,2}|\\[::1\\]";
    let path = "(/[!-\"$-)+-.0->@-~]{1,5}){0,3}/?".prop_map(|path| {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        path.parse::<PathPrefix>().unwrap()
    });
    let paths = (0..4_u8, path).prop_map(|(kind, path)| RouteMatch {
        path: (kind == 1).then(|| path.clone()),
        path_exact: (kind == 2).then(|| path.clone()),
        path_regex: (kind == 3).then(|| "/a.*".parse().unwrap()),
        ..RouteMatch::default()
    });
    let header = btree_map("[a-z-]{1,5}".prop_map(|n| n.parse().unwrap()), value_match(), 0..3);
    let query = btree_map("[A-Za-z.]{1,5}".prop_map(|n| n.parse().unwrap()), value_match(), 0..3);
    let cookie = btree_map("[A-Za-z_]{1,5}".prop_map(|n| n.parse().unwrap()), value_match(), 0..3);
    let methods = vec(select(vec!["GET", "POST", "M-SEARCH"]), 0..3);
    let client = vec(address().prop_map(|address| address.ip().to_string()), 0..3);
    (option::of(host), paths, header, query, cookie, methods, client).prop_map(
        |(host, paths, header, query, cookie, methods, client)| RouteMatch {
            host: host.map(|host| host.parse().unwrap()),
            header,
            query,
            cookie,
            method: methods.into_iter().map(|method| method.parse().unwrap()).collect(),
            client: client.into_iter().map(|network| network.parse().unwrap()).collect(),
            ..paths
        },
    )
}

fn matches() -> impl Strategy<Value = RouteMatch> {
    plain_match().prop_recursive(2, 6, 2, |inner| {
        (plain_match(), vec(inner.clone(), 0..2), vec(inner.clone(), 0..2), option::of(inner))
            .prop_map(|(plain, all, any, not)| RouteMatch {
                all,
                any,
                not: not.map(Box::new),
                ..plain
            })
    })
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let to = select(vec!["/new", "https://a.example/x?y=1", "http://a:80"]);
    let status = select(vec![301, 302, 303, 307, 308_u16]);
    let parts = (option::of(1_u16..), option::of(select(vec![Scheme::Http, Scheme::Https])));
    (to, any::<bool>(), parts, status, any::<bool>()).prop_map(
        |(to, is_whole, (port, scheme), status, keep_query)| Redirect {
            to: is_whole.then(|| to.parse().unwrap()),
            host: (!is_whole).then(|| "b.example".parse().unwrap()),
            path: (!is_whole && keep_query).then(|| "/x".parse().unwrap()),
            port: port.filter(|_| !is_whole),
            scheme: scheme.filter(|_| !is_whole),
            status: status.try_into().unwrap(),
            keep_query,
        },
    )
}

fn fixed_answer() -> impl Strategy<Value = FixedAnswer> {
    let headers = btree_map("x-[a-z]{1,5}", "[ -~]{0,8}", 0..3);
    (206_u16..=303, option::of("\\PC{0,20}"), headers).prop_map(|(status, body, headers)| {
        FixedAnswer {
            status,
            body,
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), FieldValue(value)))
                .collect(),
            ..FixedAnswer::default()
        }
    })
}

fn field_edits() -> impl Strategy<Value = FieldEdits> {
    let name = || "x-[a-z]{1,5}".prop_map(|name| name.parse().unwrap());
    let value = || "[ -z|~]{0,4}(\\{(client|host|request_id)\\})?".prop_map(|v| v.parse().unwrap());
    (btree_map(name(), value(), 0..2), btree_map(name(), value(), 0..2), vec(name(), 0..2))
        .prop_map(|(set, add, remove)| FieldEdits { set, add, remove })
}

fn rewrite() -> impl Strategy<Value = Rewrite> {
    let path = select(vec!["/a", "/$1/x", "/$$"]);
    (any::<bool>(), path).prop_map(|(has_host, path)| Rewrite {
        host: has_host.then(|| "c.example".parse().unwrap()),
        path_prefix: None,
        path_regex: path.contains("$1").then(|| "/(.*)".parse().unwrap()),
        path: Some(path.parse().unwrap()),
    })
}

/// Where the requests of a route go.
#[derive(Clone, Debug)]
enum Target {
    Pool(Index),
    Redirect(Redirect),
    Answer(FixedAnswer),
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        any::<Index>().prop_map(Target::Pool),
        redirect().prop_map(Target::Redirect),
        fixed_answer().prop_map(Target::Answer),
    ]
}

/// A route but for what it refers to, which is chosen among what there is.
#[derive(Clone, Debug)]
struct Sketch {
    name: String,
    matches: RouteMatch,
    timeouts: RouteTimeouts,
    target: Target,
    edits: (FieldEdits, FieldEdits, Option<Rewrite>),
    mirror: Option<(Index, u16)>,
    headers: Option<Index>,
}

fn route() -> impl Strategy<Value = Sketch> {
    let timeouts =
        (period(), period()).prop_map(|(total, tunnel_idle)| RouteTimeouts { total, tunnel_idle });
    let edits = (field_edits(), field_edits(), option::of(rewrite()));
    let mirror = option::of((any::<Index>(), 0_u16..=100));
    (name(), matches(), timeouts, target(), edits, mirror, any::<Option<Index>>()).prop_map(
        |(name, matches, timeouts, target, edits, mirror, headers)| Sketch {
            name,
            matches,
            timeouts,
            target,
            edits,
            mirror,
            headers,
        },
    )
}

/// Two of the same may take the same requests.
fn place(matches: &RouteMatch) -> (Option<String>, String) {
    let path = matches.path.as_ref().or(matches.path_exact.as_ref()).map(PathPrefix::as_str);
    let host = matches.host.as_ref().map(ToString::to_string);
    (host, path.unwrap_or_default().trim_end_matches('/').to_owned())
}

prop_compose! {
    /// A config that is right.
    fn any_config()(
        process in process(),
        level in log_level(),
        access_log in access_log(),
        probe in address(),
        listeners in btree_map(name(), listener(), 1..4),
        mut pools in btree_map(name(), pool(), 1..4),
        pages in btree_map(name(), page(), 0..3),
        headers in btree_map(name().prop_map(|name| format!("set-{name}")), security_headers(), 0..3),
        default_headers in security_headers(),
        sketches in vec(route(), 0..5),
    ) -> Config {
        let mut ports = BTreeSet::from([probe.port()]);
        let mut listener: std::collections::BTreeMap<_, _> = listeners
            .into_iter()
            .filter(|(_, listener)| ports.insert(listener.address.0.port()))
            .map(|(name, listener)| (name.parse().unwrap(), listener))
            .collect();
        if listener.is_empty() {
            let address = Address::loopback(if probe.port() == 1 { 2 } else { 1 });
            let only = Listener {
                address,
                max_connections: 1,
                connection_rate: None,
                protocols: None,
                tls: None,
                http2: Http2::default(),
                redirect_to_https: false,
                paths: ListenerPaths::default(),
                https_port: 443,
                explain_to: Vec::new(),
                error_pages: ErrorPages::default(),
                trusted_proxies: Vec::new(),
                timeouts: ListenerTimeouts::default(),
            };
            listener.insert("a".parse().unwrap(), only);
        }
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        let sources: Vec<PageSource> = pages.keys().map(|name| name.parse().unwrap()).collect();
        for (pool, page) in pools.values_mut().zip(&sources) {
            pool.fallback = vec![FallbackStep::Cached, FallbackStep::Static(page.clone())];
        }
        let pool_names: Vec<&String> = pools.keys().collect();
        let header_names: Vec<&String> = headers.keys().collect();
        let route = sketches
            .into_iter()
            .filter(|sketch| {
                names.insert(sketch.name.clone()) && places.insert(place(&sketch.matches))
            })
            .map(|sketch| Route {
                name: sketch.name.parse().unwrap(),
                headers: RouteHeaders {
                    request: match &sketch.target {
                        Target::Pool(_) => sketch.edits.0,
                        _ => FieldEdits::default(),
                    },
                    response: sketch.edits.1,
                },
                fallback: match &sketch.target {
                    Target::Pool(_) if sketch.mirror.is_some() => Some(vec![FallbackStep::Cached]),
                    _ => None,
                },
                priority: match &sketch.target {
                    Target::Pool(_) if sketch.mirror.is_some() => Some(Priority::Low),
                    _ => None,
                },
                error_pages: sources
                    .iter()
                    .zip(["503", "no_route"])
                    .map(|(page, key)| (key.parse().unwrap(), page.clone()))
                    .collect(),
                mirror: sketch
                    .mirror
                    .filter(|_| matches!(sketch.target, Target::Pool(_)))
                    .map(|(index, share)| (index.get(&pool_names), Percent::from_whole(share)))
                    .filter(|(name, _)| pools[**name].protocol == PoolProtocol::Http1)
                    .map(|(name, share)| RouteMirror { pool: name.parse().unwrap(), share }),
                rewrite: sketch.edits.2.filter(|_| matches!(sketch.target, Target::Pool(_))),
                matches: sketch.matches,
                pool: match &sketch.target {
                    Target::Pool(index) => Some(index.get(&pool_names).parse().unwrap()),
                    _ => None,
                },
                split: None,
                redirect: match &sketch.target {
                    Target::Redirect(redirect) => Some(redirect.clone()),
                    _ => None,
                },
                answer: match sketch.target {
                    Target::Answer(answer) => Some(answer),
                    _ => None,
                },
                identity: (sketch.timeouts.total.as_duration().as_secs() % 3 == 0).then(known),
                rate_limits: match sketch.timeouts.total.as_duration().as_secs() % 2 {
                    0 => vec![config::RouteLimit::Name("clients".parse().unwrap())],
                    _ => Vec::new(),
                },
                at_once: None,
                security_headers: sketch
                    .headers
                    .filter(|_| !header_names.is_empty())
                    .map(|index| match index.get(&header_names) {
                        name if name.len() % 2 == 0 => {
                            RouteSecurityHeaders::Own(Box::new(headers[*name].clone()))
                        }
                        name => RouteSecurityHeaders::Named(name.parse().unwrap()),
                    }),
                cors: sketch.timeouts.total.as_duration().as_secs().is_multiple_of(3)
                    .then(|| "pages".parse().unwrap()),
                cookies: Some(config::Cookies {
                    secure: true,
                    http_only: false,
                    same_site: Some(config::SameSiteName::None),
                    except: vec!["XSRF".parse().unwrap()],
                }),
                timeouts: sketch.timeouts,
                waf: Some("off".parse().unwrap()),
            })
            .collect();
        Config {
            profile: Some(Profile::Staging),
            admin: config::Admin::default(),
            kubernetes: config::Kubernetes::default(),
            redis: None,
            process,
            log: Log { level },
            access_log,
            probe: Probe { address: Address(probe), ..Probe::default() },
            listener,
            pool: pools.into_iter().map(|(name, pool)| (name.parse().unwrap(), pool)).collect(),
            page: pages.into_iter().map(|(name, page)| (name.parse().unwrap(), page)).collect(),
            fallback_cache: FallbackCache::default(),
            blocklist: blocklist(),
            geoip: config::GeoIp {
                country: Some(config::FilePath("/country.mmdb".into())),
                asn: Some(config::FilePath("/asn.mmdb".into())),
            },
            identity: [
                ("certified".parse().unwrap(), certified()),
                ("portal".parse().unwrap(), portal()),
                ("staff".parse().unwrap(), identity()),
            ]
            .into(),
            cors: [("pages".parse().unwrap(), cors())].into(),
            rate_limit: [("clients".parse().unwrap(), limit())].into(),
            waf: [("default".parse().unwrap(), waf())].into(),
            waf_log: config::WafLog::default(),
            security_headers: headers
                .clone()
                .into_iter()
                .chain([("default".to_owned(), default_headers)])
                .map(|(name, headers)| (name.parse().unwrap(), headers))
                .collect(),
            route,
        }
    }
}

fn waf() -> config::Waf {
    config::Waf {
        mode: config::WafMode::Detect,
        crs: Some(config::FilePath("/usr/share/modsecurity-crs".into())),
        own_rules: true,
        rules: vec![config::FilePath("/etc/vanne/waf/*.conf".into())],
        paranoia: Some(2),
        inbound_threshold: Some(7),
        answers: true,
        outbound_threshold: Some(6),
        exclusions: vec![config::WafExclusion {
            route: None,
            rule: Some(942_100),
            tag: None,
            target: Some("ARGS:comment".to_owned()),
        }],
        body: config::WafBody { max: ByteSize::from_kib(64), above: config::WafAbove::FirstPart },
        answer_body: config::WafAnswerBody {
            max: ByteSize::from_kib(32),
            above: config::WafAbove::Reject,
            types: vec!["text/html".to_owned()],
        },
        time_budget: Period::from_millis(50),
        when_over: config::WafWhenOver::Open,
        log: config::WafLogged::Refused,
        sample: Some("10%".parse().unwrap()),
    }
}

fn blocklist() -> config::Blocklist {
    config::Blocklist {
        allow: vec!["192.0.2.7".parse().unwrap()],
        deny: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        files: vec![config::FilePath("/etc/vanne/blocked/*.txt".into())],
        deny_countries: vec!["FR".parse().unwrap()],
        only_countries: vec!["BE".parse().unwrap()],
        deny_asns: vec![64_496],
        max_blocks: 7,
        shared: false,
        automatic: Some(config::AutomaticBlocks {
            after: 5,
            within: Period::from_secs(60),
            block_for: Period::from_secs(600),
            on: vec!["429".parse().unwrap(), "no_route".parse().unwrap()],
            max_addresses: 9,
        }),
    }
}

fn identity() -> Identity {
    let jwt = Jwt {
        algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::EdDsa],
        jwks: Some("/keys.json".parse().unwrap()),
        refresh: None,
        max_age: None,
        ca_file: None,
        secret_file: None,
        from: "cookie:session".parse().unwrap(),
        issuer: Some("https://idp.example".to_owned()),
        audiences: vec!["api".to_owned()],
        required_claims: vec!["exp".to_owned(), "sub".to_owned()],
        skew: Period::from_secs(7),
        user_claim: "email".to_owned(),
        scopes_claim: "scp".to_owned(),
        max_token: ByteSize::from_kib(3),
        max_cached: 11,
    };
    Identity { jwt: Some(jwt), ..Identity::default() }
}

fn certified() -> Identity {
    let certificate = config::ClientCertificate { user: config::CertificateName::SanUri };
    Identity { client_certificate: Some(certificate), ..Identity::default() }
}

fn portal() -> Identity {
    let forward = config::Forward {
        url: "https://auth.example/check?a=b".parse().unwrap(),
        ca_file: Some(config::FilePath("/ca.pem".into())),
        request_headers: vec!["cookie".parse().unwrap(), "x-a".parse().unwrap()],
        user_header: Some("x-user".parse().unwrap()),
        claims: [("groups".to_owned(), "x-groups".parse().unwrap())].into(),
        timeout: Period::from_millis(700),
        max_at_once: 13,
        remember: Some(Period::from_secs(3)),
    };
    Identity { forward: Some(forward), ..Identity::default() }
}

fn known() -> RouteIdentity {
    RouteIdentity {
        uses: vec!["staff".parse().unwrap()],
        mode: IdentityMode::Required,
        scopes: vec!["read".parse().unwrap()],
        claims_to_headers: [].into(),
    }
}

fn cors() -> config::Cors {
    config::Cors {
        origins: vec!["https://*.a.example:8443".parse().unwrap(), "null".parse().unwrap()],
        methods: vec!["*".parse().unwrap()],
        headers: vec!["authorization".parse().unwrap()],
        expose: vec!["*".parse().unwrap()],
        credentials: false,
        max_age: Period::from_secs(7),
        private_network: true,
    }
}

fn limit() -> RateLimit {
    RateLimit {
        key: "ip+cookie:sid".parse().unwrap(),
        rate: "6000/m".parse().unwrap(),
        burst: Some(7),
        cost: 3,
        method_cost: [("POST".parse().unwrap(), 5)].into(),
        cost_header: Some("X-Tokens".parse().unwrap()),
        shared: Some(LimitSharing::No),
        adaptive: Some(AdaptiveLimit {
            latency: Some(Period::from_millis(5)),
            errors: None,
            floor: Percent::from_whole(5),
        }),
        action: LimitAction::Delay,
        max_delay: Some(Period::from_millis(1500)),
        max_keys: 9,
        ipv6_prefix: 48,
        tell: LimitTell::Always,
    }
}

fn read(text: &str, format: Format) -> Result<Config, String> {
    let source = Source { name: "a", text, format, folder: Path::new("/nowhere") };
    match config::parse(&source, &Nothing) {
        Ok(loaded) => Ok(loaded.config),
        Err(diagnostics) => Err(diagnostics.to_text(false)),
    }
}

/// `config` with each `${` written so that it is no variable.
fn escaped(config: &Config) -> serde_json::Value {
    fn escape(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = text.replace("${", "$${"),
            serde_json::Value::Array(items) => items.iter_mut().for_each(escape),
            serde_json::Value::Object(entries) => entries.values_mut().for_each(escape),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(config).unwrap();
    escape(&mut value);
    value
}

/// `text` with all that is not ASCII escaped, as many JSON writers do.
fn ascii(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
            _ => out += &format!("\\u{unit:04x}"),
        }
    }
    out
}

/// `text` with tabs where each line is indented by blanks.
fn tabbed(text: &str) -> String {
    let tabs = |line: &str| {
        let inner = line.trim_start_matches(' ');
        format!("{}{inner}\n", "\t".repeat((line.len() - inner.len()) / 2))
    };
    text.lines().map(tabs).collect()
}

fn is_read_back(text: &str, format: Format, config: &Config) -> Result<(), TestCaseError> {
    let read = read(text, format);
    prop_assert_eq!(read.as_ref(), Ok(config), "{:?}: {}", format, text);
    Ok(())
}

/// Text that is a little like a config.
fn config_like() -> impl Strategy<Value = String> {
    let parts = [
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        ":",
        ",",
        "=",
        "\n",
        "\r",
        "\t",
        " ",
        "  ",
        "- ",
        "# ",
        ".",
        "|",
        ">",
        "&a",
        "*a",
        "!!str",
        "---",
        "${",
        "}",
        "$",
        "\\u",
        "\\ud83d",
        "é",
        "😀",
        "\u{feff}",
        "listener",
        "http",
        "address",
        "0.0.0.0:80",
        "pool",
        "route",
        "match",
        "host",
        "name",
        "1",
        "-1",
        "1e999",
        "99999999999999999999",
        "2020-01-01",
        "true",
        "null",
        "\u{85}",
        "\u{2028}",
    ];
    vec(select(parts.to_vec()), 0..60).prop_map(|parts| parts.concat())
}

/// Reads `text` in every format and shows what is wrong in both forms.
fn does_not_panic(text: &str) {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let source = Source { name: "a", text, format, folder: Path::new("/nowhere") };
        let shown = match config::parse(&source, &Nothing) {
            Ok(loaded) => loaded.warnings,
            Err(diagnostics) => *diagnostics,
        };
        let (_, _) = (shown.to_text(true), shown.to_json().unwrap());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(config in any_config()) {
        let json = escaped(&config);
        let toml = toml::to_string(&json).unwrap();
        is_read_back(&toml, Format::Toml, &config)?;
        let (short, long) = (json.to_string(), format!("{json:#}"));
        is_read_back(&ascii(&short), Format::Json, &config)?;
        is_read_back(&tabbed(&long), Format::Json, &config)?;
        for format in [Format::Yaml, Format::Json] {
            is_read_back(&short, format, &config)?;
            is_read_back(&long, format, &config)?;
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        does_not_panic(&text);
    }

    #[test]
    fn no_text_like_a_config_panics(text in config_like()) {
        does_not_panic(&text);
    }

    #[test]
    fn no_cut_or_changed_config_panics(config in any_config(), at in any::<Index>(), new in any::<char>()) {
        let text = escaped(&config).to_string();
        let mut changed: Vec<char> = text.chars().collect();
        let at = at.index(changed.len());
        does_not_panic(&changed.iter().take(at).collect::<String>());
        changed[at] = new;
        does_not_panic(&changed.into_iter().collect::<String>());
    }
}

/// `vanne check --json` on a file with `text`.
fn check(name: &str, text: Option<&str>) -> (Output, serde_json::Value) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    if let Some(text) = text {
        std::fs::write(&path, text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_vanne"));
    let output = command.arg("check").arg(&path).args(["--json"]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    (output, report)
}

const RIGHT: &str = "[listener.http]\naddress = \"127.0.0.1:8080\"\n";

#[test]
fn check_says_in_json_that_a_config_is_right() {
    let (output, report) = check("a.toml", Some(RIGHT));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&report["errors"], &report["warnings"]), (&json!([]), &json!([])));
    let (output, report) = check("a.toml", Some(&format!("{RIGHT}[pool.a]\n")));
    assert_eq!(output.status.code(), Some(0), "a warning is no error");
    assert_eq!(report["warnings"][0]["key"], "pool.a");
}

#[test]
fn check_says_in_json_what_is_wrong_and_where() {
    let (output, report) = check("a.toml", Some(&format!("{RIGHT}max_conections = 1\n"))); // misspelt on purpose
    assert_eq!(output.status.code(), Some(1));
    let error = &report["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&3.into(), &1.into()));
    assert_eq!(error["suggestion"], "max_connections");
    assert_eq!(error["key"], "listener.http.max_conections"); // misspelt on purpose
    assert!(error["accepted"].is_string() && error["message"].is_string(), "{report}");
}

#[test]
fn check_says_in_json_that_a_file_cannot_be_read() {
    for (name, text) in [("missing.toml", None), ("a.conf", Some(RIGHT))] {
        let (output, report) = check(name, text);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(report["errors"][0]["message"].is_string(), "{report}");
    }
}
