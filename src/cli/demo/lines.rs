//! Lines: what `vanne demo` prints: commands that work as they stand.
//!
//! Made from the config that is served and from the backends that were started, so that they
//! are right for other configs and ports too.

use crate::config::{Config, Pool, PoolTimeouts, Route};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The lines for a proxy that serves `config`, and demo backends at `backends`.
pub(super) fn of_proxy(config: &Config, backends: &[SocketAddr]) -> String {
    let Some(listener) = config.listener.values().next() else { return of_backends(backends) };
    let probe = reachable(config.probe.address.0);
    let route = config.route.first();
    let asked = Asked::new(reachable(listener.address.0), route);
    let pool = route.and_then(|route| config.pool.get(&route.pool));
    let mut out = format!("\nThe proxy listens on {}. Try, in another terminal:\n", asked.address);
    let mut line = |title: &str, command: &str| {
        out.push_str(&format!("\n  # {title}\n  {command}\n"));
    };
    let plain = asked.curl("-sS", "");
    line("each backend in turn", &format!("{plain}; {plain}; {plain}"));
    slow_line(pool, &asked, &mut line);
    if let Some(first) = first_of(pool, backends) {
        let switch = format!("http://{first}{}", super::backend::BEHAVIOUR_PATH);
        let codes = asked.curl("-sS -o /dev/null -w '%{http_code}\\n'", "");
        line("one backend fails", &format!("curl -sS -X PUT '{switch}?status=503'"));
        line("its share of the answers is now 503", &format!("{codes}; {codes}; {codes}"));
        line("it recovers", &format!("curl -sS -X DELETE {switch}"));
    }
    line("events, one a second, for three seconds", &asked.curl("-sN --max-time 3", "sse"));
    let token = match config.probe.metrics_token {
        Some(_) => "-H 'Authorization: Bearer YOUR_TOKEN' ",
        None => "",
    };
    line("metrics, for Prometheus", &format!("curl -sS {token}http://{probe}/metrics"));
    line("ready for traffic?", &format!("curl -sS http://{probe}/readyz"));
    line("stop: Ctrl-C here, or", &format!("kill {}", std::process::id()));
    if first_of(pool, backends).is_none() {
        out.push_str("\nNote: the first route's pool names none of the demo backends started.\n");
    }
    out.push_str("\nBelow: the access log, a line per request.\n\n");
    out
}

/// The lines for demo backends without a proxy.
pub(super) fn of_backends(backends: &[SocketAddr]) -> String {
    let mut out = String::from("\nThe demo backends listen. Try, in another terminal:\n\n");
    for backend in backends {
        out.push_str(&format!("  curl -sS http://{backend}/\n"));
    }
    if let Some(first) = backends.first() {
        let switch = format!("http://{first}{}", super::backend::BEHAVIOUR_PATH);
        out.push_str(&format!(
            "  curl -sS -X PUT '{switch}?latency=200ms&status=503&share=50%25'\n"
        ));
        out.push_str(&format!("  curl -sS -X DELETE {switch}\n"));
    }
    out.push_str(&format!("\nStop: Ctrl-C here, or kill {}\n\n", std::process::id()));
    out
}

fn slow_line(pool: Option<&Pool>, asked: &Asked, line: &mut impl FnMut(&str, &str)) {
    let timeouts = pool.map_or_else(PoolTimeouts::default, |pool| pool.timeouts.clone());
    let limit = timeouts.first_byte;
    // Longer than the limit by enough to see who gave up.
    let slow_ms = (limit.as_duration() + Duration::from_secs(3)).as_millis();
    let title = format!("a backend that is too slow: 504 first_byte_timeout after {limit}");
    line(&title, &asked.curl("-sS -i", &format!("slow/{slow_ms}")));
}

/// The first of the started backends that the pool names.
fn first_of(pool: Option<&Pool>, backends: &[SocketAddr]) -> Option<SocketAddr> {
    let named = &pool?.backends;
    backends.iter().copied().find(|backend| named.iter().any(|address| address.0 == *backend))
}

/// Where requests go, so that the first route takes them.
struct Asked {
    address: SocketAddr,
    host: String,
    path: String,
}

impl Asked {
    fn new(address: SocketAddr, route: Option<&Route>) -> Self {
        let matches = route.map(|route| route.matches.clone()).unwrap_or_default();
        let host = matches.host.map(|host| format!("-H 'Host: {host}' ")).unwrap_or_default();
        let path = matches.path.as_str().trim_end_matches('/').to_owned();
        Self { address, host, path }
    }

    /// The command that asks for `path` below the route's.
    fn curl(&self, flags: &str, path: &str) -> String {
        format!(
            "curl {flags} {}'http://{}{}/{path}'",
            self.host,
            self.address,
            // A quote would end the shell's string.
            self.path.replace('\'', "%27")
        )
    }
}

/// Where a client on this machine reaches what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Format, Source};
    use std::path::Path;

    struct Nothing;
    impl config::Environment for Nothing {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn lines(text: &str) -> String {
        let source = Source { name: "a", text, format: Format::Toml, folder: Path::new(".") };
        let config = config::parse(&source, &Nothing).unwrap().config;
        of_proxy(&config, &["127.0.0.1:9001".parse().unwrap()])
    }

    #[test]
    fn the_lines_follow_the_config() {
        let text = lines(
            "[listener.a]\naddress = \"0.0.0.0:81\"\n[probe]\naddress = \"[::]:82\"\n\
             [pool.p]\nbackends = [\"127.0.0.1:9001\"]\ntimeouts = { first_byte = \"1s\" }\n\
             [[route]]\nname = \"r\"\npool = \"p\"\nmatch = { host = \"h\", path = \"/x/\" }\n",
        );
        assert!(text.contains("-H 'Host: h' 'http://127.0.0.1:81/x/slow/4000'"), "{text}");
        assert!(text.contains("http://[::1]:82/metrics"), "{text}");
        assert!(text.contains("after 1s") && !text.contains("Note"), "{text}");
    }

    #[test]
    fn it_is_said_when_the_config_names_other_backends() {
        assert!(lines("[listener.a]\naddress = \"0.0.0.0:81\"\n").contains("Note"));
    }
}
