//! A check, compiled from the config of a pool.

use super::tls::{self, CheckTls};
use super::{PROBES, ProbeRow};
use crate::config::health::{HealthCheck, HealthKind, HealthProtocol, StatusSet};
use crate::config::{self, PoolProtocol, PoolTls};
use crate::control::compile::CompileError;
use crate::types::ids::PoolId;
use http::{HeaderName, HeaderValue, Method};
use regex::bytes::Regex;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// How a backend is checked.
pub struct Check {
    /// The same for equal checks, and only for them.
    pub id: CheckId,
    /// Its kind.
    pub(super) probe: &'static ProbeRow,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) rise: u32,
    pub(super) fall: u32,
    /// The port that is asked instead of the backend's.
    port: Option<u16>,
    pub(super) tls: Option<CheckTls>,
    protocol: HealthProtocol,
    pub(super) request: Request,
}

/// Tells checks apart: a hash of all that makes one, files included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckId(u64);

/// What is asked, and what has to come.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    /// The host that is asked for, instead of the address.
    pub(super) host: Option<String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) status: StatusSet,
    pub(super) body: Option<String>,
    pub(super) body_regex: Option<Regex>,
    pub(super) service: String,
}

impl Check {
    /// Compiles how the backends of the pool `id` are checked, as `health` says.
    ///
    /// # Errors
    /// When a file that the pool's TLS names cannot be used, or the config was not checked.
    pub fn compile(
        id: &PoolId,
        health: &HealthCheck,
        pool: &config::Pool,
    ) -> Result<Self, CompileError> {
        let protocol = match (health.kind, health.protocol, pool.protocol) {
            (HealthKind::Grpc, _, _) => HealthProtocol::Http2,
            (_, Some(protocol), _) => protocol,
            (_, None, PoolProtocol::Http2) => HealthProtocol::Http2,
            (_, None, _) => HealthProtocol::Http1,
        };
        let mut hasher = DefaultHasher::new();
        let name = health.kind.as_str();
        let probe = PROBES.iter().find(|row| row.name == name);
        let probe = probe.ok_or(CompileError::Dangling { what: "probe", name: name.to_owned() })?;
        let (interval, timeout) = (health.interval.as_duration(), health.timeout());
        (health.kind, protocol, interval, timeout).hash(&mut hasher);
        (health.rise, health.fall, health.port).hash(&mut hasher);
        let without = PoolTls::default();
        let of_pool = pool.tls.as_ref();
        let tls = match health.tls.unwrap_or(of_pool.is_some()) {
            false => None,
            true => {
                let alpn: &[u8] = match protocol {
                    HealthProtocol::Http2 => b"h2",
                    HealthProtocol::Http1 => b"http/1.1",
                };
                Some(tls::compile(id, of_pool.unwrap_or(&without), alpn, &mut hasher)?)
            }
        };
        tls.is_some().hash(&mut hasher);
        Ok(Self {
            probe,
            interval,
            timeout,
            rise: health.rise.into(),
            fall: health.fall.into(),
            port: health.port,
            tls,
            protocol,
            request: request(id, health, &mut hasher)?,
            id: CheckId(hasher.finish()),
        })
    }

    /// The address that is asked to check the backend at `backend`.
    pub(super) fn address(&self, mut backend: SocketAddr) -> SocketAddr {
        if let Some(port) = self.port {
            backend.set_port(port);
        }
        backend
    }

    /// Whether HTTP/2 is spoken.
    pub(super) fn is_http2(&self) -> bool {
        self.probe.name != HealthKind::Tcp.as_str() && self.protocol == HealthProtocol::Http2
    }
}

fn request(
    id: &PoolId,
    health: &HealthCheck,
    hasher: &mut impl Hasher,
) -> Result<Request, CompileError> {
    let mut headers = Vec::with_capacity(health.headers.len());
    for (name, value) in &health.headers {
        (name, value.as_str()).hash(hasher);
        let field = HeaderName::try_from(name.as_str()).ok();
        let field = field.zip(HeaderValue::try_from(value.as_str()).ok());
        headers.push(field.ok_or_else(|| CompileError::Dangling {
            what: "header field",
            name: format!("pool.{id}.health.headers.{name}"),
        })?);
    }
    let text = |text: Option<&str>| text.map(str::to_owned);
    let request = Request {
        method: health.method.as_http(),
        path: health.path.as_str().to_owned(),
        host: text(health.host.as_ref().map(|host| host.as_str())),
        headers,
        status: health.status.clone(),
        body: text(health.body.as_ref().map(|body| body.as_str())),
        body_regex: health.body_regex.as_ref().map(|regex| regex.regex().clone()),
        service: text(health.service.as_ref().map(|name| name.as_str())).unwrap_or_default(),
    };
    (&request.method, &request.path, &request.host, &request.status).hash(hasher);
    let regex = request.body_regex.as_ref().map(Regex::as_str);
    (&request.body, regex, &request.service).hash(hasher);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn id(health: &str, pool: &str) -> CheckId {
        // The order of tests is not known.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let health: HealthCheck = toml::from_str(health).unwrap();
        let pool: config::Pool = toml::from_str(pool).unwrap();
        Check::compile(&"a".parse().unwrap(), &health, &pool).unwrap().id
    }

    #[test]
    fn equal_checks_are_one_and_others_are_not() {
        let tls = "tls = { server_name = 'a' }";
        assert_eq!(id("", ""), id("type = 'http'\ninterval = '30s'\ntimeout = '10s'", ""));
        assert_eq!(id("", "protocol = 'h2'"), id("protocol = 'h2'", ""));
        assert_eq!(id("tls = false", tls), id("", ""));
        assert_eq!(id("tls = true", tls), id("", tls));
        let mut seen = HashMap::new();
        for (health, pool) in [
            ("", ""),
            ("type = 'tcp'", ""),
            ("type = 'grpc'", ""),
            ("type = 'grpc'\nservice = 'a'", ""),
            ("interval = '10s'", ""),
            ("timeout = '1s'", ""),
            ("rise = 3", ""),
            ("fall = 2", ""),
            ("port = 1", ""),
            ("protocol = 'h2'", ""),
            ("method = 'HEAD'", ""),
            ("path = '/a'", ""),
            ("host = 'a'", ""),
            ("headers = { a = 'b' }", ""),
            ("headers = { a = 'c' }", ""),
            ("status = '200'", ""),
            ("body = 'a'", ""),
            ("body_regex = 'a'", ""),
            ("tls = true", ""),
            ("", tls),
            ("", "tls = { server_name = 'b' }"),
            ("", "tls = { server_name = 'a', verify = false }"),
        ] {
            let before = seen.insert(id(health, pool), (health, pool));
            assert_eq!(before, None, "the same as {health} {pool}");
        }
    }

    #[test]
    fn the_port_may_be_another() {
        let pool = config::Pool::default();
        let health = HealthCheck { port: Some(9000), ..HealthCheck::default() };
        let check = Check::compile(&"a".parse().unwrap(), &health, &pool).unwrap();
        let address = check.address("[::1]:80".parse().unwrap());
        assert_eq!(address.to_string(), "[::1]:9000");
    }
}
